"""Rows as PostgreSQL's binary COPY reads them (its documentation of COPY, "Binary Format"): made column by column.

Pure. Binary, since the server takes such a row in half the time: of a replay into read models, reading ids and times out of
text was most of what it did. What a column's type can't hold is refused here, as the server would refuse the text of it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain, repeat
from typing import Any

from audit.fast_path import ids_copied, times_copied

_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_UUID_OID = 2950
_COLUMNS = struct.Struct(">h")
_LENGTH = struct.Struct(">i")
_BOOLEANS = {False: b"\0\0\0\x01\x00", True: b"\0\0\0\x01\x01"}
_SMALL = struct.Struct(">ii")
_BIG = struct.Struct(">iq")
_ARRAY = struct.Struct(">iiiiii")  # the value's length; dimensions, has-null flag, type of elements, how many, lower bound
_NO_ELEMENTS = struct.Struct(">iiii").pack(12, 0, 0, _UUID_OID)


class Unfit(Exception):
    """A value is not one of its column's type."""


def copied(types: Sequence[str], rows: Collection[Sequence[Any]]) -> bytes:
    """What `COPY … FROM STDIN (FORMAT binary)` takes for rows of columns of these types, all in `TYPES`. Raises `Unfit`."""
    columns: list[Iterable[bytes]] = [repeat(_COLUMNS.pack(len(types)), len(rows))]
    try:
        for type_, values in zip(types, zip(*rows, strict=True), strict=True):
            columns.append(_AT_ONCE[type_](values) if type_ in _AT_ONCE else _column(type_, values))
        return b"".join((_HEAD, *chain.from_iterable(zip(*columns, strict=True)), _END))
    except (struct.error, ValueError, TypeError, AttributeError, KeyError) as error:
        raise Unfit(str(error)) from error


def _column(type_: str, values: Sequence[Any]) -> Iterable[bytes]:
    """Each value of a column with its length before it. One that comes again, as an account's id does, is made once."""
    distinct = dict.fromkeys(values)
    distinct.pop(None, None)
    made = dict(zip(distinct, TYPES[type_](distinct), strict=True))
    made[None] = _NULL
    return map(made.__getitem__, values)


def _octets(values: Iterable[bytes]) -> Iterable[bytes]:
    return [_LENGTH.pack(len(value)) + value for value in values]


def _texts(values: Iterable[str]) -> Iterable[bytes]:
    return _octets(map(str.encode, values))


def _documents(values: Iterable[str]) -> Iterable[bytes]:
    return _octets([b"\x01" + value.encode() for value in values])  # 1 is the version of the format


def _id_arrays(values: Iterable[list[str] | None]) -> Iterable[bytes]:
    arrays = []
    for value in values:
        elements = b"".join(ids_copied(value)) if value else b""
        length = _ARRAY.size - _LENGTH.size + len(elements)
        made = _ARRAY.pack(length, 1, 0, _UUID_OID, len(value), 1) + elements if value else _NO_ELEMENTS
        arrays.append(_NULL if value is None else made)
    return arrays


TYPES: dict[str, Callable[[Any], Iterable[bytes]]] = {
    "UUID": ids_copied,
    "TEXT": _texts,
    "BYTEA": _octets,
    "INTEGER": lambda values: [_SMALL.pack(4, value) for value in values],
    "BIGINT": lambda values: [_BIG.pack(8, value) for value in values],
    "BOOLEAN": lambda values: [_BOOLEANS[value] for value in values],
    "TIMESTAMP WITH TIME ZONE": times_copied,
    "UUID[]": _id_arrays,
    "JSONB": _documents,
}
"""How the values of a column are written, by its type as SQLAlchemy writes it for PostgreSQL."""
_AT_ONCE = {type_: TYPES[type_] for type_ in ("UUID", "TIMESTAMP WITH TIME ZONE", "UUID[]")}
"""Those that take NULLs as well, and are made sooner than looked up."""
