"""What a service publishes and has committed, as audit reads it: files, and two rows a look as the read-only auditor.

I/O only; it decides nothing and believes nothing. The auditor's role sees neither a key nor what a sealed part holds.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg2

from services.audit.commands import MOST_NOTE_BYTES
from services.audit.progress import Position
from shared.checkpoint import Checkpoint, open_checkpoint
from shared.errors import InvalidArgument, Tampered, Unavailable
from shared.settings import Settings
from shared.signed_note import Verifier
from shared.tiles import files_in

CONNECT_SECONDS: Final = 2
STATEMENT_SECONDS: Final = 2

_POSITION = (
    "SELECT (SELECT max(sequence) FROM lethe.event), (SELECT index FROM lethe.log WHERE sequence = %s),"
    " (SELECT CASE WHEN term = 0 THEN 'never led' WHEN expires_at < clock_timestamp() THEN 'gone' ELSE 'leads' END"
    " FROM lethe.relay_lease)"
)


class Published:
    """The files of one service's log."""

    def __init__(self, settings: Settings, service: str) -> None:
        self.service = service
        self._folder = settings.path("tiles", service)
        self._key = settings.path("verifiers", f"log-{service}.vkey")
        self.read = files_in(self._folder)

    def note(self) -> bytes | None:
        """The published checkpoint; None where there is none. What is too long for one comes empty, which does not hold."""
        try:
            with (self._folder / "checkpoint").open("rb") as file:
                note = file.read(MOST_NOTE_BYTES + 1)
        except OSError:  # unreadable is as bad as gone
            return None
        return note if len(note) <= MOST_NOTE_BYTES else b""

    def key(self) -> Verifier | None:
        """The verifier key that lies beside; None before the relay's first start, or where it is none."""
        try:
            return Verifier.parse(self._key.read_text("utf-8"))
        except (OSError, InvalidArgument, UnicodeDecodeError):
            return None


def open_published(note: bytes, key: Verifier, origin: str) -> Checkpoint | None:
    """The checkpoint of the log `origin` in a note that `key` signed; None where it is anything else."""
    try:
        checkpoint = open_checkpoint(note, [key])
    except Tampered:
        return None
    return checkpoint if checkpoint.origin == origin else None


class Committed:
    """One connection to a service's database, as the auditor, made when it is needed and again when it broke."""

    def __init__(self, settings: Settings, service: str) -> None:
        self._settings = settings
        self._service = service
        self._connection: Any = None

    def position(self, followed: int) -> Position:
        """How far the service has come; `followed` is the sequence number of the event asked for. Raises `Unavailable`."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.cursor() as cursor:
                cursor.execute(_POSITION, (followed,))
                committed, index, relay = cursor.fetchone()
        except (psycopg2.Error, KeyError) as error:
            self.close()
            raise Unavailable("the database can't be read", service=self._service) from error
        return Position(committed or 0, index, relay)

    def close(self) -> None:
        """Ends the connection; the next question makes another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self) -> Any:
        connection = psycopg2.connect(
            self._settings.database_url(self._service, "auditor"), connect_timeout=CONNECT_SECONDS,
            application_name="lethe-watch", keepalives_idle=5,
            options=f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={STATEMENT_SECONDS}s",
        )  # fmt: skip
        connection.set_session(readonly=True, autocommit=True)
        return connection
