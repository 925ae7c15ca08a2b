"""Reads a service's events in the order of its log, fast: one binary COPY, parsed by hand, in memory that does not grow.

Place: `verify.py`, `replay.py` and the benchmark read through it; `opening.py` opens and decodes what it gives. It hands
over rows as they stand in the database and believes nothing of them. It never writes, and it keeps nothing it has read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg2
import psycopg2.extensions

from shared.errors import Tampered, Unavailable
from shared.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS_AT_ONCE = 64
"""As many as the socket holds while a batch is worked on: with more the server stands still meanwhile."""
NOT_IN_THE_LOG = -1
SALT_BYTES = 16
MICROSECONDS_BEFORE_2000 = 946_684_800_000_000
"""PostgreSQL counts from 2000-01-01, the rest of the world from 1970-01-01."""

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

# Each value has its length before it (4 bytes); the row begins with the number of its values (2 bytes). What is passed over
# (4x: a length that is known) need not be made into a number: that was half of what parsing cost.
_HEAD = struct.Struct(">2x4xq4x32s")
FIXED = struct.Struct(">2x4xq4x32s4xi4xi4xq4x16s4x16s4xi4xi4xi")
_INT = struct.Struct(">i")
ONE_PART = struct.Struct(">ii8xiii")  # an array's length, dimensions, has-null flag, type, elements, lower bound; a length
_WITHOUT_EVENT = b"\xff" * 48  # twelve values that are NULL
_EMPTY_ARRAY = struct.Struct(">ii8x")
_INDEX = struct.Struct(">2x4xq")
_FILE_HEAD = b"PGCOPY\n\xff\r\n\x00"
_FILE_END = b"\xff\xff"


class LogRow(NamedTuple):
    """A row of the log with its event, as they stand. `salted` is empty where the event is not there.

    `at` is its index, NOT_IN_THE_LOG for an event without a row in the log; `occurred_at` counts microseconds since 1970.
    What is only hashed is a view of the bytes that the server sent: copies of it were a twentieth of a verification.
    """

    at: int
    leaf: bytes
    version: int
    schema_version: int
    occurred_at: int
    event_id: bytes
    account_id: bytes
    stream: bytes
    type: bytes
    salted: memoryview
    envelope: bytes
    """The canonical bytes of the envelope, as they stand in `salted`."""
    sealed: tuple[memoryview | None, ...]

    @property
    def stream_name(self) -> str:
        """The stream, for people."""
        return self.stream.decode(errors="replace")


Handle = Callable[[list[LogRow]], object]
HandleBytes = Callable[[list[bytes]], object]


def id_text(octets: bytes) -> str | None:
    """An id as people write it, from its 16 bytes."""
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}" if text else None


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
    return lambda rows: handle([parse_row(row) for row in rows])


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


def parse_row(row: bytes) -> LogRow:
    """A row of the COPY. `_COLUMNS` and this belong together: values of fixed length first, then the lengths of the rest.
    `_fast_path.pyx` cuts rows up in the same way once more, to have no call and no object for each."""
    if len(row) < FIXED.size:
        if len(row) != _HEAD.size + len(_WITHOUT_EVENT) or not row.endswith(_WITHOUT_EVENT):
            return _unreadable(row)
        index, leaf = _HEAD.unpack_from(row)
        return LogRow(index, leaf, 0, 0, 0, b"", b"", b"", b"", memoryview(b""), b"", ())
    (
        index, leaf, version, schema_version, occurred_at, event_id, account_id, stream_bytes, type_bytes, envelope_bytes,
    ) = FIXED.unpack_from(row)  # fmt: skip
    stream = FIXED.size + 4
    type_ = stream + stream_bytes + 4
    salted = type_ + type_bytes + 4
    end = salted + SALT_BYTES + envelope_bytes
    view = memoryview(row)
    part = end + ONE_PART.size
    _, dimensions, count, lower, length = ONE_PART.unpack_from(row, end) if 0 < end < part < len(row) else (0,) * 5
    sealed: tuple[memoryview | None, ...] | None
    if dimensions == count == lower == 1 and part + length == len(row):
        sealed = (view[part:],)
    else:
        sealed = sealed_parts(row, end)
    if sealed is None:
        return _unreadable(row)
    # as LogRow(…), without the call of its own that a named tuple makes for its arguments
    return tuple.__new__(LogRow, (
        index, leaf, version, schema_version, occurred_at + MICROSECONDS_BEFORE_2000, event_id, account_id,
        row[stream : type_ - 4], row[type_ : salted - 4], view[salted:end], row[salted + SALT_BYTES : end],
        sealed,
    ))  # fmt: skip


def sealed_parts(row: bytes, at: int) -> tuple[memoryview | None, ...] | None:
    """The elements of the array `sealed` of a row, whose length stands at `at`, whatever they are; None where the row does not
    end with it, or it is no list that is counted from 1.

    That nothing is left over is what binds all lengths of a row: of those that were passed over one that is not as it should be
    would let somebody hide one event in a column of another.
    """
    end = len(row)
    if at + _EMPTY_ARRAY.size == end:
        size, dimensions = _EMPTY_ARRAY.unpack_from(row, at)
        return () if (size, dimensions) == (_EMPTY_ARRAY.size - 4, 0) else None
    if at < 0 or at + ONE_PART.size > end:
        return None
    size, dimensions, count, lower, _ = ONE_PART.unpack_from(row, at)
    if (size, dimensions, lower) != (end - at - 4, 1, 1):
        return None
    at += ONE_PART.size - 4
    view = memoryview(row)
    parts: list[memoryview | None] = []
    for _ in range(count):
        if at + 4 > end:
            return None
        (length,) = _INT.unpack_from(row, at)
        at += 4
        parts.append(None if length < 0 else view[at : at + length])
        at += max(0, length)
    return tuple(parts) if at == end else None


def _unreadable(row: bytes) -> LogRow:
    """A row that no event of ours can have: what it holds is in no log, so it is found as changed at its index."""
    index = _INDEX.unpack_from(row)[0] if len(row) >= _INDEX.size else NOT_IN_THE_LOG
    return LogRow(index, b"", 0, 0, 0, b"", b"", b"", b"", memoryview(row), b"", ())
