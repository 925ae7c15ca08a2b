"""The state of one ticket as of a time, from its own events: they are found by account and stream, so no log is scanned (A4).

The ticket's events up to then are checked against their leaves and the signed tiles, played through the projection into
temporary tables, and the rows read back. An erasure stands in another stream; it has pruned what it took from the ticket, so
only where something is pruned are the account's receipts looked at, and those of that time played as well. As the auditor,
without a key: sealed values are shown by their digests, and what was erased since then stays erased, whatever the time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa

from audit.findings import Findings
from audit.log_rows import LogRow
from audit.log_time import size_at
from audit.opening import Opener
from audit.reading import auditor_connection, read_events
from audit.replay import tables_of
from audit.row_batch import digested
from audit.tile_check import read_published
from services.tickets.events import TYPES
from services.tickets.projections import project
from shared.errors import InvalidArgument, LetheError, NotFound, Tampered
from shared.events import Recorded, TypeName
from shared.ids import StoredId
from shared.personal import NotPersonal
from shared.settings import Settings
from shared.tiles import TileReader, files_in

SERVICE = "tickets"
MOST_EVENTS = 10_000
"""Of one ticket: more are not held in memory."""

_TABLES = ("ticket", "message", "attachment")
# Each account is one look into the index of the streams.
_ACCOUNTS = """
WITH RECURSIVE account (id) AS (
    (SELECT account_id FROM lethe.event ORDER BY account_id LIMIT 1)
    UNION ALL
    SELECT (SELECT account_id FROM lethe.event WHERE account_id > account.id ORDER BY account_id LIMIT 1)
    FROM account WHERE account.id IS NOT NULL)
SELECT id::text FROM account
WHERE EXISTS (SELECT 1 FROM lethe.event e WHERE e.account_id = account.id AND e.stream = %s)
"""
_OF_TICKET = "e.account_id = %s AND e.stream = %s AND e.version <= %s"
# The bounds let the index find the streams of erasures; in every collation they are around all of them.
_RECEIPTS = (
    "e.account_id = %s AND e.stream >= 'erasure/00000000-0000-0000-0000-000000000000'"
    " AND e.stream <= 'erasure/ffffffff-ffff-ffff-ffff-ffffffffffff' AND e.type = 'tickets.ErasureReceipted'"
)

Sealed = Literal["nothing sealed", "sealed", "erased", "partly erased"]


class TicketEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the ticket's story."""

    index: int
    version: int
    event_id: StoredId
    type: TypeName
    time: datetime
    actor_id: StoredId
    sealed: Sealed
    """What is left of its sealed parts now."""


class TicketRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the read model as it was, column by column: sealed bytes as `sha256:…`, None for NULL and for what is erased."""

    table: Annotated[str, NotPersonal("the name of a table")]
    values: dict[
        Annotated[str, NotPersonal("the name of a column")],
        Annotated[str | None, NotPersonal("an id, a time, a number, a name from a list, or a digest")],
    ]


class TicketState(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket as of a time: its events until then, and the rows that they and the erasures until then amount to."""

    account_id: StoredId
    ticket_id: StoredId
    as_of: datetime | None
    """None for now."""
    size: int
    """How many events the log of tickets had at that time, by its published checkpoints."""
    events: list[TicketEvent]
    rows: list[TicketRow]
    """Empty where the whole ticket was erased by then."""


def ticket_state(
    settings: Settings, ticket_id: str, as_of: datetime | None = None, account_id: str | None = None
) -> TicketState:
    """A ticket as of a time (`log_time.py` says what that means), or now. Without its account, all accounts are asked.

    Raises `NotFound` where there was no such ticket then, `Tampered` where one of its events is not as it was signed,
    `InvalidArgument` where it has more events than are looked at.
    """
    tiles = _published(settings)
    stream = f"ticket/{ticket_id}"
    with auditor_connection(settings, SERVICE) as connection, connection.cursor() as cursor:
        size = tiles.size if as_of is None else size_at(cursor, as_of, tiles.size)
        account = account_id or _account_of(cursor, stream)
        rows = read_events(connection, _OF_TICKET, (account, stream, MOST_EVENTS + 1))
        if len(rows) > MOST_EVENTS:
            raise InvalidArgument(field="ticket", rule=f"has more than {MOST_EVENTS} events; replay the log instead")
        story = _until(rows, size)
        if not story:
            raise NotFound("there was no such ticket then")
        if [row.version for row in story] != list(range(1, len(story) + 1)):
            raise Tampered("the versions of the ticket's events do not follow one another", stream=stream)
        receipts: list[LogRow] = []
        if any(part is None for row in story for part in row.sealed):
            receipts = _until(read_events(connection, _RECEIPTS, (account,)), size)
        played = sorted(story + receipts)
        _check_leaves(played, tiles)
        opened = list(Opener(TYPES, key_of=None).open(played))
        return TicketState(
            account_id=account, ticket_id=ticket_id, as_of=as_of, size=size,
            events=[_event(row, one) for row, one in zip(played, opened, strict=True) if row.stream == stream.encode()],
            rows=_rows(cursor, opened),
        )  # fmt: skip


def _published(settings: Settings) -> TileReader:
    findings = Findings()
    published, _ = read_published(settings, SERVICE, findings)
    if findings.kept:
        raise Tampered(findings.kept[0].text, service=SERVICE)
    return TileReader(files_in(settings.path("tiles", SERVICE)), published.size)


def _account_of(cursor: Any, stream: str) -> str:
    cursor.execute(_ACCOUNTS, (stream,))
    found = cursor.fetchall()
    if not found:
        raise NotFound("there is no such ticket")
    return str(found[0][0])


def _until(rows: list[LogRow], size: int) -> list[LogRow]:
    return [row for row in rows if 0 <= row.at < size]


def _check_leaves(rows: list[LogRow], tiles: TileReader) -> None:
    """The leaves of the rows are the signed ones; the opener compares the events with the leaves."""
    for row in rows:
        try:
            (entry,) = tiles.entries(row.at, row.at + 1)
        except LetheError as error:
            raise Tampered("the tiles of the log can't be read", index=row.at) from error
        if entry != row.leaf:
            raise Tampered("the log's row has another leaf than the signed tiles", index=row.at)


def _event(row: LogRow, one: Recorded) -> TicketEvent:
    envelope = one.envelope
    return TicketEvent(
        index=row.at, version=row.version, event_id=envelope.event, type=envelope.type, time=envelope.time,
        actor_id=envelope.actor, sealed=_left_of(row.sealed),
    )  # fmt: skip


def _left_of(parts: Sequence[memoryview | None]) -> Sealed:
    gone = sum(part is None for part in parts)
    if not parts or not gone:
        return "sealed" if parts else "nothing sealed"
    return "erased" if gone == len(parts) else "partly erased"


def _rows(cursor: Any, opened: list[Recorded]) -> list[TicketRow]:
    """Plays the events into temporary tables, which go with the transaction: those that they name."""
    statements = [statement for one in opened for statement in project(one)]
    named = {word for statement in statements for word in re.findall(r"\w+", statement.sql)}
    all_tables = {str(table.name): table for table in tables_of(SERVICE)}
    tables = {name: all_tables[name] for name in _TABLES if name in named}
    made = [f'CREATE TEMPORARY TABLE {name} (LIKE "{table.schema}".{name})' for name, table in tables.items()]
    cursor.execute("; ".join([*made, "SET LOCAL search_path = pg_temp; SET LOCAL jit = off"]))
    cursor.execute(b";".join(cursor.mogrify(one.sql, digested(one.values) or None) for one in statements))
    rows: list[TicketRow] = []
    for name, table in tables.items():
        columns = [str(column.name) for column in table.columns]
        order = {"ticket": "ticket_id", "message": "place", "attachment": "blob_id"}[name]
        cursor.execute(f"SELECT {', '.join(_shown(column) for column in table.columns)} FROM {name} ORDER BY {order}")
        rows += [TicketRow(table=name, values=dict(zip(columns, row, strict=True))) for row in cursor.fetchall()]
    return rows


def _shown(column: sa.Column[Any]) -> str:
    name = f'"{column.name}"'
    return f"'sha256:' || encode({name}, 'hex')" if isinstance(column.type, sa.LargeBinary) else f"{name}::text"
