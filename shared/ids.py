"""Opaque random ids: the only names by which persons and things are known outside their sealed fields."""

from __future__ import annotations

import uuid
from typing import Annotated

import msgspec

from shared.personal import NotPersonal

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

Id = Annotated[str, msgspec.Meta(pattern=_UUID), NotPersonal("an opaque random id")]
"""A UUID in its canonical lower-case text form."""


def new_id() -> str:
    """A new random id (UUID version 4): it says nothing about what it names."""
    return str(uuid.uuid4())
