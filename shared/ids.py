"""Opaque random ids: the only names by which persons and things are known outside their sealed fields."""

from __future__ import annotations

import os
import re
from typing import Annotated

import msgspec

from shared.personal import NotPersonal

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

Id = Annotated[str, msgspec.Meta(pattern=_UUID), NotPersonal("an opaque random id")]
"""A UUID in its canonical lower-case text form: how an id comes in."""

StoredId = Annotated[str, msgspec.Meta(min_length=36, max_length=36), NotPersonal("an opaque random id")]
"""The same in what is stored. It was checked when it came in, and its bytes are hashed or sealed since: here only its length
is, because matching a pattern at each id cost more than half of reading an event."""

_PATTERN = re.compile(_UUID)


def is_id(text: str) -> bool:
    """Whether a text has the form of an id."""
    return _PATTERN.fullmatch(text) is not None


def new_id() -> str:
    """A new random id (UUID version 4): it says nothing about what it names."""
    octets = bytearray(os.urandom(16))
    octets[6] = octets[6] & 0x0F | 0x40
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
