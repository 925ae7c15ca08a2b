"""By which door somebody came who acts: the kind of credential that they showed, and its opaque id.

Whoever vouches for an actor says it in the token; the RPC entrypoint puts it beside the work in hand, and the unit of work into
the envelope of each event. Kept in a context variable, as the deadline is: a timer's work and a reaction have none. From which
address a credential was used is personal data; the event in identity's log that has the credential's id has it, sealed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal

import msgspec

from shared.ids import StoredId

UserDoor = Literal["session", "password", "api token", "minted token"]
"""Of a user: logged in; login and password with each request (without an id); an API token; a token that an operator minted."""
CustomerDoor = Literal["portal session", "app"]
"""Of a customer: signed in to the portal; an app, by its grant."""
DoorKind = Literal[UserDoor, CustomerDoor, "staff grant", "operator"]
"""Staff of the vendor's come under a grant. The operator's own key has no id."""


class Door(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A credential that was shown."""

    kind: DoorKind
    id: StoredId | None = None


OPERATOR_DOOR: Final = Door(kind="operator")

_door: ContextVar[Door | None] = ContextVar("lethe_door", default=None)


@contextmanager
def came_by(door: Door | None) -> Iterator[None]:
    """Runs the block for somebody who came by this door."""
    token = _door.set(door)
    try:
        yield
    finally:
        _door.reset(token)


def current() -> Door | None:
    """The door of the work in hand; None where nobody came."""
    return _door.get()
