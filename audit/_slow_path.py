"""What `_fast_path.pyx` does, in Python: where nothing was compiled. To the same outcome, in more time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from audit.log_rows import LogRow, parse_row
from shared.merkle import leaf_hash, root_of

_FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TIME = struct.Struct(">iq")
_NULL = b"\xff\xff\xff\xff"
_ID_HEAD = struct.pack(">i", 16)
_ID_CHARACTERS = 36
_ID_DASHES = (8, 13, 18, 23)


class PlainRows:
    """Takes no row, so that each one is checked by itself, which comes to the same."""

    def __init__(
        self, service: str, plain: Iterable[bytes], versions: dict[bytes, int], saw: Callable[[str, int], object]
    ) -> None:
        pass

    def take(self, rows: list[bytes], entries: list[bytes], at: int) -> int:
        """None is taken."""
        return 0


def parse_rows(rows: list[bytes]) -> list[LogRow]:
    """These rows of a COPY, each cut up."""
    return [parse_row(row) for row in rows]


def digest_of(data: bytes | memoryview) -> bytes:
    """The SHA-256 of bytes or a view of bytes."""
    return sha256(data).digest()


def leaf_hashes(entries: list[bytes]) -> list[bytes]:
    """The leaves of a tree over these entries."""
    return [leaf_hash(entry) for entry in entries]


def root_of_tile(hashes: list[bytes]) -> bytes:
    """The root over the 256 hashes of a full tile."""
    return root_of(hashes)


def ids_copied(values: Sequence[str | None]) -> list[bytes]:
    """Ids as a binary COPY has them, each with its length before it. Raises `ValueError` where one is not written as one."""
    # All at once: so each has to have its dashes, and nothing else that is no digit, where the others have theirs
    there = [value for value in values if value is not None]
    text = "".join(there)
    raw = bytes.fromhex(text.replace("-", ""))
    lengths, dashes = set(map(len, there)), {text[place::_ID_CHARACTERS] for place in _ID_DASHES}
    if lengths | {_ID_CHARACTERS} != {_ID_CHARACTERS} or dashes != {"-" * len(there)} or len(raw) != 16 * len(there):
        raise ValueError("an id that is not written as one")
    made = iter([_ID_HEAD + raw[at : at + 16] for at in range(0, len(raw), 16)])
    return [_NULL if value is None else next(made) for value in values]


def times_copied(values: Sequence[datetime | None]) -> list[bytes]:
    """Times as a binary COPY has them, each with its length before it. Raises `TypeError` where one has no offset."""
    return [_NULL if value is None else _TIME.pack(8, (value - _FIRST_DAY) // _MICROSECOND) for value in values]
