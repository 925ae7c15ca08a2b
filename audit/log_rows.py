"""One row of a log with its event, as the server sends it in a binary COPY, cut up by hand.

Pure, and believes nothing: what no event of ours can have is found as changed at its index. `_fast_path.pyx` does the same of
the usual row, compiled, and calls this for any other; a test holds the two together.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

NOT_IN_THE_LOG = -1
SALT_BYTES = 16
MICROSECONDS_BEFORE_2000 = 946_684_800_000_000
"""PostgreSQL counts from 2000-01-01, the rest of the world from 1970-01-01."""

# Each value has its length before it (4 bytes); the row begins with the number of its values (2 bytes). What is passed over
# (4x: a length that is known) need not be made into a number: that was half of what parsing cost.
_HEAD = struct.Struct(">2x4xq4x32s")
FIXED = struct.Struct(">2x4xq4x32s4xi4xi4xq4x16s4x16s4xi4xi4xi")
_INT = struct.Struct(">i")
ONE_PART = struct.Struct(">ii8xiii")  # an array's length, dimensions, has-null flag, type, elements, lower bound; a length
_WITHOUT_EVENT = b"\xff" * 48  # twelve values that are NULL
_EMPTY_ARRAY = struct.Struct(">ii8x")
_INDEX = struct.Struct(">2x4xq")


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


def id_text(octets: bytes) -> str | None:
    """An id as people write it, from its 16 bytes."""
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}" if text else None


def parse_row(row: bytes) -> LogRow:
    """A row of the COPY. The columns of `reading.py` and this belong together: values of fixed length first, then the lengths
    of the rest."""
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
