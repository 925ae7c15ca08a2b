"""Reads a service's events in the order of its log, fast: one binary COPY, in memory that does not grow.

Place: `verify.py`, `replay.py` and the benchmark read through it; `opening.py` opens and decodes what it gives. It hands
over rows as they stand in the database and believes nothing of them. It never writes, and it keeps nothing it has read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg2
import psycopg2.extensions

from audit.fast_path import parse_rows
from audit.log_rows import LogRow
from shared.errors import Tampered, Unavailable
from shared.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS_AT_ONCE = 64
"""As many as the socket holds while a batch is worked on: with more the server stands still meanwhile."""

_COLUMNS = """
    e.version, e.schema_version, e.occurred_at, e.event_id, e.account_id, octet_length(e.stream), octet_length(e.type),
    octet_length(e.envelope), e.stream, e.type, e.salt || e.envelope, e.sealed
"""
# Sequence numbers and indices run nearly in parallel, so looking up each event is cheap, while any other plan sorts the
# whole log before it gives the first row.
_PLAN = (
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_sort = off;"
    " SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL statement_timeout = 0"
)
_LOGGED = f"""
COPY (SELECT l.index, l.leaf, {_COLUMNS} FROM lethe.log l LEFT JOIN lethe.event e ON e.sequence = l.sequence
      WHERE l.index >= {{start}} AND l.index < {{end}} ORDER BY l.index) TO STDOUT (FORMAT binary)
"""
_UNLOGGED = f"""
COPY (SELECT -1::bigint, sha256(''::bytea), {_COLUMNS} FROM lethe.event e
      WHERE NOT EXISTS (SELECT 1 FROM lethe.log l WHERE l.sequence = e.sequence) ORDER BY e.sequence)
TO STDOUT (FORMAT binary)
"""
_CHOSEN = f"""
COPY (SELECT COALESCE(l.index, -1), COALESCE(l.leaf, sha256(''::bytea)), {_COLUMNS}
      FROM lethe.event e LEFT JOIN lethe.log l ON l.sequence = e.sequence WHERE {{condition}} ORDER BY l.index)
TO STDOUT (FORMAT binary)
"""

_INT = struct.Struct(">i")
_FILE_HEAD = b"PGCOPY\n\xff\r\n\x00"
_FILE_END = b"\xff\xff"

Handle = Callable[[list[LogRow]], object]
HandleBytes = Callable[[list[bytes]], object]


@contextmanager
def auditor_connection(settings: Settings, service: str, *, snapshot: str | None = None) -> Iterator[Any]:
    """A connection as the auditor, in one REPEATABLE READ transaction that is rolled back at the end.

    `snapshot` is the name of another transaction's, to see the same. Raises `Unavailable`.
    """
    try:
        connection = psycopg2.connect(
            settings.database_url(service, "auditor"), connect_timeout=5, application_name="lethe-audit",
            client_encoding="UTF8",
        )  # fmt: skip
    except psycopg2.OperationalError:
        raise Unavailable("the database can't be reached", service=service) from None
    try:
        connection.set_session(isolation_level=psycopg2.extensions.ISOLATION_LEVEL_REPEATABLE_READ)
        cursor = connection.cursor()
        if snapshot is not None:
            cursor.execute("SET TRANSACTION SNAPSHOT %s", (snapshot,))
        cursor.execute("SET LOCAL timezone = 'UTC'; SET LOCAL idle_in_transaction_session_timeout = 0")
        yield connection
        connection.rollback()
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise Unavailable("the database went away", service=service) from error
    except psycopg2.Error as error:
        # a database that was never set up, where the auditor may not read, or that answers with an error of its own
        raise Unavailable("the auditor can't read this database", service=service, sqlstate=error.pgcode) from error
    finally:
        connection.close()


def read_rows(connection: Any, handle: HandleBytes, start: int = 0, end: int = 2**63 - 1) -> None:
    """Gives the rows of the log at [start, end), in the order of their indices, to `handle`, some at a time, as the server sent
    them: for `parse_row`."""
    _copy(connection, _LOGGED.format(start=int(start), end=int(end)), handle)


def read_log(connection: Any, handle: Handle, start: int = 0, end: int = 2**63 - 1) -> None:
    """The same with each row parsed."""
    read_rows(connection, _parsed(handle), start, end)


def read_unlogged(connection: Any, handle: Handle) -> None:
    """Gives the events that have no row in the log, in the order of their sequence numbers, to `handle`."""
    _copy(connection, _UNLOGGED, _parsed(handle))


def read_events(connection: Any, condition: str, values: Sequence[Any]) -> list[LogRow]:
    """The events `e` that meet a condition with these values, in the order of the log: few, since all are kept."""
    rows: list[LogRow] = []
    with connection.cursor() as cursor:
        chosen = cursor.mogrify(condition, values).decode()
    _copy(connection, _CHOSEN.format(condition=chosen), _parsed(rows.extend))
    return rows


def _parsed(handle: Handle) -> HandleBytes:
    return lambda rows: handle(parse_rows(rows))


def _copy(connection: Any, statement: str, handle: HandleBytes) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_PLAN)
        sink = _Sink(handle)
        cursor.copy_expert(statement, sink)
        sink.flush()


class _Sink:
    """What COPY writes to: libpq gives one row at a time. While a batch is worked on, the server fills the socket."""

    def __init__(self, handle: HandleBytes) -> None:
        self._handle = handle
        self._rows: list[bytes] = []
        self._begun = False

    def write(self, row: bytes) -> None:
        rows = self._rows
        rows.append(row)
        if len(rows) >= ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        rows, self._rows = self._rows, []
        if rows and not self._begun:
            self._begun = True
            if not rows[0].startswith(_FILE_HEAD):
                raise Tampered("the server's answer is not a binary COPY")
            rows[0] = rows[0][19 + _INT.unpack_from(rows[0], 15)[0] :]
        if rows and rows[-1] == _FILE_END:
            rows.pop()
        if rows and not rows[0]:
            rows.pop(0)
        if rows:
            self._handle(rows)
