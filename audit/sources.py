"""Where an auditor's events come from: the services' databases, read as the auditor, or an exported folder. No key in either.

Both give a service's envelopes in the order of its log, one after another, in memory that does not grow. Every envelope that
the database gives was compared with the leaf beside it; whether leaves and lines are those that were signed is for
`lethe audit verify` to say, which an auditor runs first. A folder is not believed: each line is checked for its form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from audit.exported import EVENTS, GONE_END, ExportedLine, ExportedLog, read_manifest
from audit.reading import auditor_connection
from shared.account_end import CELL
from shared.errors import InvalidArgument, Tampered
from shared.events import UNREADABLE
from shared.ids import is_id
from shared.settings import SERVICES, Settings

MOST_LINE_BYTES = 16 * 2**20
"""A longer line is no event: an envelope travels in one message."""
_ROWS_AT_ONCE = 500

_ACCOUNT_WITH_STREAM = """
WITH RECURSIVE account (id) AS (
    (SELECT account_id FROM lethe.event ORDER BY account_id LIMIT 1)
    UNION ALL
    SELECT (SELECT e.account_id FROM lethe.event e WHERE e.account_id > account.id ORDER BY e.account_id LIMIT 1)
    FROM account WHERE account.id IS NOT NULL
)
SELECT id::text FROM account
WHERE EXISTS (SELECT 1 FROM lethe.event e WHERE e.account_id = account.id AND e.stream = %s) LIMIT 1
"""
# One look into the index for each account, instead of a look at each event
_ENVELOPES = """
SELECT l.index, l.leaf, e.salt, e.envelope FROM lethe.log l JOIN lethe.event e ON e.sequence = l.sequence
WHERE (%(account)s::uuid IS NULL OR e.account_id IN (%(account)s::uuid, %(cell)s::uuid))
  AND (%(types)s::text[] IS NULL OR e.type = ANY (%(types)s::text[]))
  AND (%(naming)s::bytea[] IS NULL
       OR EXISTS (SELECT 1 FROM unnest(%(naming)s::bytea[]) AS name WHERE position(name IN e.envelope) > 0))
ORDER BY l.index
"""


class Placed(NamedTuple):
    """An envelope's canonical bytes, and where they stand."""

    service: str
    at: int
    """The index in the service's log."""
    envelope: bytes


class Source(Protocol):
    """Where events come from."""

    @property
    def services(self) -> Sequence[str]:
        """The services whose logs are there."""

    def account_with(self, service: str, stream: str) -> str | None:
        """The account that has this stream in a service, where an index tells; None where it does not."""

    def envelopes(
        self, service: str, *, account: str | None = None, naming: Sequence[str] = (), types: Sequence[str] = ()
    ) -> Iterator[Placed]:
        """A service's envelopes in the order of its log; with `account` that account's and what the cell says of it, with
        `naming` those in whose bytes one of these ids stands anywhere, with `types` those of these types. More may be given
        beside what is asked for."""


class DatabaseSource:
    """The logs of a running stack, each in one snapshot of its database, as the role that sees no key."""

    def __init__(self, settings: Settings, services: Sequence[str] = SERVICES) -> None:
        self._settings = settings
        self.services = tuple(services)

    def account_with(self, service: str, stream: str) -> str | None:
        """See `Source`. Raises `Unavailable`."""
        with auditor_connection(self._settings, service) as connection, connection.cursor() as cursor:
            cursor.execute(_ACCOUNT_WITH_STREAM, (stream,))
            row = cursor.fetchone()
        return None if row is None else str(row[0])

    def envelopes(
        self, service: str, *, account: str | None = None, naming: Sequence[str] = (), types: Sequence[str] = ()
    ) -> Iterator[Placed]:
        """See `Source`. Raises `Unavailable`; `Tampered` where an envelope is not that of its leaf."""
        values: dict[str, Any] = {
            "account": account, "cell": CELL, "naming": [one.encode() for one in naming] or None, "types": list(types) or None,
        }  # fmt: skip
        with auditor_connection(self._settings, service) as connection:
            with connection.cursor() as plain:
                plain.execute("SET LOCAL statement_timeout = 0; SET LOCAL max_parallel_workers_per_gather = 0")
            with connection.cursor(name="envelopes") as cursor:
                cursor.itersize = _ROWS_AT_ONCE
                cursor.execute(_ENVELOPES, values)
                for index, leaf, salt, envelope in cursor:
                    raw = bytes(envelope)
                    if sha256(bytes(salt) + raw).digest() != bytes(leaf):
                        raise Tampered("the event is not the one whose leaf is in the log", service=service, index=index)
                    yield Placed(service, index, raw)


class FolderSource:
    """A folder that `lethe audit export` wrote. Its manifest is read at once, its events as they are asked for.

    Raises `InvalidArgument` where it is no such folder, `Tampered` where its manifest or a line of it can't be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        manifest = read_manifest(folder)
        self.cell = manifest.cell
        self.taken_at = manifest.taken_at
        self.logs: Mapping[str, ExportedLog] = manifest.services
        self.services = tuple(sorted(self.logs, key=_usual_order))
        self._decode = msgspec.json.Decoder(ExportedLine).decode

    def account_with(self, service: str, stream: str) -> str | None:
        """See `Source`: a folder has no index."""
        return None

    def envelopes(
        self, service: str, *, account: str | None = None, naming: Sequence[str] = (), types: Sequence[str] = ()
    ) -> Iterator[Placed]:
        """See `Source`."""
        wanted = [one.encode() for one in naming]
        kinds = [f'"type":"{one}"'.encode() for one in types]
        owner = b"" if account is None else account.encode()
        for line in self._lines(service):
            if owner in line and _has_any(line, wanted) and _has_any(line, kinds):
                event = self._event(service, line)
                yield Placed(service, event.index, bytes(event.envelope))

    def events(self, service: str) -> Iterator[ExportedLine]:
        """All events of a service that are there, in the order of its log."""
        for line in self._lines(service):
            yield self._event(service, line)

    def _event(self, service: str, line: bytes) -> ExportedLine:
        try:
            return self._decode(line)
        except UNREADABLE:
            raise Tampered("a line of the exported events can't be read", service=service) from None

    def _lines(self, service: str) -> Iterator[bytes]:
        try:
            with (self.folder / service / EVENTS).open("rb") as file:
                while line := file.readline(MOST_LINE_BYTES):
                    if line.endswith(GONE_END):
                        continue
                    if len(line) >= MOST_LINE_BYTES:
                        raise Tampered("a line of the exported events is too long to be an event", service=service)
                    yield line
        except FileNotFoundError:
            raise Tampered("the folder lacks the events of a service that its manifest names", service=service) from None


def _has_any(line: bytes, wanted: Sequence[bytes]) -> bool:
    return not wanted or any(one in line for one in wanted)


def check_ids(ids: Mapping[Any, str | None]) -> None:
    """Raises `InvalidArgument`, which names the field, for what is no id."""
    for field, value in ids.items():
        if value is not None and not is_id(value):
            raise InvalidArgument(field=field, rule="must be an id, such as 5f0c7a8e-3a52-4b0e-9a43-5b8f0a3f8a11")


def _usual_order(service: str) -> tuple[int, str]:
    return (SERVICES.index(service) if service in SERVICES else len(SERVICES), service)
