"""Makes proofs that stand alone: that an event is in a log, and that one checkpoint of a log extends another (mission A2).

An event's proof is a `.tlog-proof` file whose `extra` opens the entry: it is the event's salt (16 bytes) followed by its
canonical envelope, so the entry is SHA-256 of `extra`, its leaf hash SHA-256(0x00 ‖ entry), and from there the proof's hashes
lead to the root that the checkpoint signs. An event whose account is gone has no `extra`: then the entry must be named.

Reads the tiles that a proof needs (five in a log of a million events) and one row. Each proof is verified before it is given
away. `proof_check.py` verifies proofs; it needs none of what this module reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg2

from audit.exported import CHECKPOINT
from audit.public_log import PublicLog
from audit.reading import auditor_connection
from shared.checkpoint import Checkpoint, open_checkpoint
from shared.consistency_proof import ConsistencyProof
from shared.errors import Incomplete, InvalidArgument, NotFound, Tampered
from shared.events import commitment
from shared.settings import SERVICES, Settings
from shared.signed_note import Verifier
from shared.tiles import ReadFile, TileReader, files_in
from shared.tlog_proof import TlogProof

SEARCH_SECONDS = 120
"""An event id is searched for without an index: the log's own rows need none, and every append would pay for it."""

_COLUMNS = "SELECT l.index, e.event_id::text, e.type, e.envelope, e.salt FROM lethe.log l"
_BY_INDEX = f"{_COLUMNS} LEFT JOIN lethe.event e USING (sequence) WHERE l.index = %s"
_BY_ID = (
    "SELECT l.index, e.event_id::text, e.type, e.envelope, e.salt"
    " FROM lethe.event e LEFT JOIN lethe.log l USING (sequence) WHERE e.event_id = %s"
)


@dataclass(frozen=True)
class Log:
    """A log to make proofs from: its service, its published note, its verifier and its files."""

    service: str
    note: bytes
    checkpoint: Checkpoint
    verifier: Verifier
    read: ReadFile


@dataclass(frozen=True)
class EventProof:
    """The proof of one event, with what it is about. `event_id` and `type` are None where the event is gone."""

    service: str
    origin: str
    event_id: str | None
    type: str | None
    entry: bytes
    size: int
    proof: TlogProof
    tiles_read: int = field(compare=False)


def log_of(settings: Settings, service: str) -> Log:
    """The published log of a service in the home. Raises `NotFound` for an empty one, `Tampered` where its note is not good."""
    log = PublicLog.of(settings, service)
    try:
        verifier = Verifier.parse(log.key.read_text("utf-8"))
        note = (log.tiles / CHECKPOINT).read_bytes()
    except FileNotFoundError:
        raise NotFound("the log of this service has no checkpoint yet", service=service) from None
    checkpoint = open_checkpoint(note, [verifier])
    if checkpoint.origin != log.origin:
        raise Tampered("the published checkpoint is that of another log", service=service, origin=checkpoint.origin)
    return Log(service, note, checkpoint, verifier, files_in(log.tiles))


def prove_event(
    settings: Settings, *, event_id: str | None = None, service: str | None = None, index: int | None = None
) -> EventProof:
    """The proof of an event, by its id (in one service or all) or by service and index.

    Raises `NotFound`, `InvalidArgument`, `Incomplete` (no checkpoint covers it yet), `Unavailable`, and `Tampered` where the
    event's row is not what was signed.
    """
    if (event_id is None) == (index is None) or (index is not None and service is None):
        raise InvalidArgument(field="event", rule="is named by its id, or by a service and an index")
    if index is not None and service is not None:
        return _proof_of(log_of(settings, service), index, _row(settings, service, _BY_INDEX, index))
    for name in (service,) if service else SERVICES:
        row = _row(settings, name, _BY_ID, _event_id(event_id))
        if row is not None:
            if row[0] is None:
                raise Incomplete("the event is committed and not in the log yet", service=name)
            return _proof_of(log_of(settings, name), row[0], row)
    raise NotFound("no log has an event of this id")


def prove_extension(log: Log, old: Checkpoint, note: bytes | None = None) -> ConsistencyProof:
    """The proof that the published checkpoint (or the later one in `note`) extends `old`.

    Raises `Tampered` where it does not: a rewritten log, or one that was cut short.
    """
    note = log.note if note is None else note
    new = open_checkpoint(note, [log.verifier])
    if old.origin != new.origin:
        raise Tampered("the two checkpoints are of different logs", old=old.origin, new=new.origin)
    if old.size > new.size:
        raise Tampered(
            "truncated: the later checkpoint covers fewer events than the one that was kept",
            service=log.service, kept=old.size, now=new.size,
        )  # fmt: skip
    with _tiles_of(log):
        hashes = TileReader(log.read, new.size).consistency_proof(old.size)
    proof = ConsistencyProof(old.size, tuple(hashes), note)
    try:
        proof.verify(old, [log.verifier])
    except Tampered:
        raise Tampered(
            "forked: the log does not extend the checkpoint that was kept", service=log.service, kept=old.size, now=new.size
        ) from None
    return proof


def prove_entry(log: Log, index: int, entry: bytes, extra: bytes | None = None) -> tuple[TlogProof, int]:
    """The proof that `entry` is at `index`, verified, and how many tiles were read for it. Raises `Tampered`."""
    reader = TileReader(log.read, log.checkpoint.size)
    with _tiles_of(log):
        hashes = reader.inclusion_proof(index)
    proof = TlogProof(index, tuple(hashes), log.note, extra)
    try:
        proof.verify(entry, [log.verifier])
    except Tampered:
        raise Tampered(
            "changed: the event is not the one that was signed at this index", service=log.service, index=index
        ) from None
    return proof, reader.tiles_read


def _proof_of(log: Log, index: int, row: Any) -> EventProof:
    """A proof from tiles, with its entry opened by the event's row, if there still is one."""
    if index >= log.checkpoint.size:
        if row is None:
            raise NotFound("the log has no such index", service=log.service, size=log.checkpoint.size)
        raise Incomplete("no checkpoint covers the event yet", service=log.service, index=index, size=log.checkpoint.size)
    extra = None
    if row is not None and row[3] is not None:
        envelope, salt = bytes(row[3]), bytes(row[4])
        entry, extra = commitment(salt, envelope), salt + envelope
    else:
        with _tiles_of(log):
            entry = next(TileReader(log.read, log.checkpoint.size).entries(index, index + 1))
    proof, tiles_read = prove_entry(log, index, entry, extra)
    event_id, kind = (None, None) if extra is None else (row[1], row[2])
    return EventProof(log.service, log.checkpoint.origin, event_id, kind, entry, log.checkpoint.size, proof, tiles_read)


@contextmanager
def _tiles_of(log: Log) -> Iterator[None]:
    """What a signed tree is made of must be there: a tile that is missing was taken away."""
    try:
        yield
    except NotFound as error:
        raise Tampered("truncated: a tile of the signed log is missing", service=log.service, **error.details) from None


def _row(settings: Settings, service: str, statement: str, value: object) -> Any:
    with auditor_connection(settings, service) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SET LOCAL statement_timeout = %s", (SEARCH_SECONDS * 1000,))
        try:
            cursor.execute(statement, (value,))
        except psycopg2.errors.NumericValueOutOfRange:
            return None
        return cursor.fetchone()


def _event_id(text: str | None) -> str:
    try:
        return str(UUID(text))
    except (ValueError, TypeError, AttributeError):
        raise InvalidArgument(field="event", rule="must be an event's id, a UUID") from None
