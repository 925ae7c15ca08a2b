"""A long log of tickets, made fast: real events, sealed and committed to as the product does it, but copied into the database
and signed in one go, without units of work and a relay. For what has to be measured on a million events.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.tickets.events import TYPES
from shared.checkpoint import Checkpoint
from shared.events import Envelope, Event, SealedField, canonical, commitment, sealed_digest
from shared.ids import new_id
from shared.log_signer import LogSigner
from shared.relay import publish_verifier
from shared.sealing import SealingKey, new_key, place_of
from shared.settings import Settings
from shared.signed_note import read_signing_key, sign_note
from shared.tile_writer import TileWriter
from shared.work import SYSTEM_ACTOR
from tests.benchmarks.payload import MessagePayload
from tests.support.databases import superuser

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=1)
"""Between two events, so that an index tells its time."""

MESSAGES = 9
"""In each ticket, after the event that opens it."""

_AT_ONCE = 10_000


class LongLog(NamedTuple):
    """What was made: its account, the ids of its tickets in their order, and how many events it has."""

    account: str
    tickets: list[str]
    size: int

    def time_of(self, index: int) -> datetime:
        """When the event at an index happened and was indexed."""
        return BEGIN + index * STEP


def make_log(settings: Settings, size: int, words: int) -> LongLog:
    """Fills the empty log of tickets. `words` is how long a message is: 165 is the median of a real mail corpus (1.5 kB)."""
    account, tickets, leaves = new_id(), list[str](), list[bytes]()
    folder = settings.path("tiles", "tickets")
    folder.mkdir(parents=True, exist_ok=True)
    publish_verifier(settings, "tickets", LogSigner(settings.path("root-keys", "tickets"), folder, f"{settings.cell}/tickets"))
    writer = TileWriter(folder)
    connection = superuser(settings, "tickets")
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        events, log = io.StringIO(), io.StringIO()

        def write() -> None:
            for table, columns, rows in (
                ("event", "sequence, account_id, stream, version, event_id, type, schema_version, occurred_at, envelope, salt,"
                 " sealed", events),
                ("log", "index, sequence, leaf, term, indexed_at", log),
            ):  # fmt: skip
                rows.seek(0)
                cursor.copy_expert(f"COPY lethe.{table} ({columns}) FROM STDIN", rows)
                rows.seek(0)
                rows.truncate()
            writer.append(leaves)
            leaves.clear()

        for index, (stream, version, event, key) in zip(range(size), _events(tickets, words), strict=False):
            time = BEGIN + index * STEP
            raw, parts, event_id = _recorded(account, stream, version, event, key, time)
            salt = os.urandom(16)
            leaves.append(commitment(salt, raw))
            sealed = "{" + ",".join(f'"\\\\\\\\x{part.hex()}"' for part in parts) + "}"
            events.write(
                f"{index + 1}\t{account}\t{stream}\t{version}\t{event_id}\t{TYPES.name_of(event)}\t1\t{time.isoformat()}"
                f"\t\\\\x{raw.hex()}\t\\\\x{salt.hex()}\t{sealed}\n"
            )
            log.write(f"{index}\t{index + 1}\t\\\\x{leaves[-1].hex()}\t1\t{time.isoformat()}\n")
            if len(leaves) == _AT_ONCE:
                write()
        write()
        cursor.execute("CHECKPOINT")  # before the last commit is on disk, a VACUUM can't mark what it wrote as visible
        cursor.execute("VACUUM (ANALYZE) lethe.event, lethe.log")
        cursor.execute("CHECKPOINT")  # what the server still has to do with what was written is not to be measured
    connection.close()
    key = read_signing_key(settings.path("root-keys", "tickets", "log-signer.key"))
    note = sign_note(Checkpoint(f"{settings.cell}/tickets", writer.size, writer.root()).text(), key)
    (folder / "checkpoint").write_bytes(note)
    return LongLog(account, tickets, size)


def _events(tickets: list[str], words: int) -> Iterator[tuple[str, int, Event, SealingKey]]:
    payload = MessagePayload(seed=1, words=words)
    while True:
        ticket, person = new_id(), new_id()
        key, stream = SealingKey(new_key()), f"ticket/{ticket}"
        tickets.append(ticket)
        yield stream, 1, payload.opened(ticket, person), key
        for version in range(2, MESSAGES + 2):
            yield stream, version, payload.message(ticket, person), key


def _recorded(
    account: str, stream: str, version: int, event: Event, key: SealingKey, time: datetime
) -> tuple[bytes, list[bytes], str]:
    """The canonical envelope and the sealed parts, as `shared/work.py` makes them."""
    event_id, name = new_id(), TYPES.name_of(event)
    parts, fields = [], []
    for field, personal in TYPES.personal[type(event)].items():
        plain = TYPES.encode_value(event, field)
        assert plain is not None
        parts.append(key.seal(plain, place_of("tickets", stream, event_id, name, field)))
        item = getattr(event, personal.item)
        fields.append(SealedField(digest=sealed_digest(parts[-1]), field=field, item=item, key=key.id.hex()))
    envelope = Envelope(
        account=account, actor=SYSTEM_ACTOR, causation=None, data=TYPES.public_data(event), event=event_id,
        schema=type(event).schema_version, sealed=fields, service="tickets", stream=stream, time=time, type=name,
        version=version,
    )  # fmt: skip
    return canonical(envelope), parts, event_id
