"""What the texts around a log share: sizes and indices in decimal, and hashes in base64, a line each (C2SP tlog formats).

Pure. There is one spelling of each number and each proof, so that nobody has two texts for one thing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from shared.errors import Tampered
from shared.merkle import HASH_BYTES

MOST_HASHES = 63
MOST_DIGITS = 19


def decimal_in(text: str) -> int | None:
    """The number that a text is: ASCII digits without leading zeros. None where it is not one."""
    is_one = text.isascii() and text.isdigit() and (text == "0" or not text.startswith("0")) and len(text) <= MOST_DIGITS
    return int(text) if is_one else None


def base64_in(line: str) -> bytes:
    """The octets in a line of a proof. Raises `Tampered`."""
    try:
        return base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise Tampered("the proof has a line that is not base64") from None


def hashes_in(lines: Iterable[str]) -> tuple[bytes, ...]:
    """The hashes of a proof, a line each. Raises `Tampered`."""
    hashes = tuple(base64_in(line) for line in lines)
    if len(hashes) > MOST_HASHES or any(len(node) != HASH_BYTES for node in hashes):
        raise Tampered("the proof has lines that are not hashes")
    return hashes


def hash_lines(hashes: Iterable[bytes]) -> list[str]:
    """The lines of a proof's hashes."""
    return [base64.b64encode(node).decode() for node in hashes]
