"""The user: pure state and decisions about who may add and remove whom. No I/O, no keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.identity.events import RemovalReason, Role, State, UserAdded, UserRemoved
from shared.errors import NotFound, PermissionRefused, Refused
from shared.events import Event

RANK: dict[Role, int] = {"agent": 1, "admin": 2, "owner": 3}
"""owner > admin > agent (mission I6)."""

MANAGERS: frozenset[Role] = frozenset({"owner", "admin"})


@dataclass(frozen=True)
class User:
    """A user as their events make them. `version` is that of their stream."""

    user_id: str
    role: Role
    state: State
    version: int


def stream_of(user_id: str) -> str:
    """The stream of a user's events."""
    return f"user/{user_id}"


def fold(events: Iterable[Event]) -> User | None:
    """The user after these events of their stream; None where there is none."""
    user: User | None = None
    for event in events:
        if isinstance(event, UserAdded):
            user = User(event.user_id, event.role, "active", 1)
            continue
        assert user is not None, "a stream begins with UserAdded"
        user = replace(user, version=user.version + 1)
        if isinstance(event, UserRemoved):
            user = replace(user, state="removed")
    return user


def check_operator_adds(role: Role, owners: int) -> None:
    """The vendor's operator gives an account its first owner and nobody else: from then on it is the account that decides
    who sees its data. Raises `PermissionRefused`."""
    if role != "owner" or owners > 0:
        raise PermissionRefused("An operator adds the first owner of an account; its owner and admins add the others.")


def check_user_adds(held: Role | None, role: Role) -> None:
    """Nobody grants more than they hold (mission I6). `held` is None for who is no user any more, whatever their token says.
    Raises `PermissionRefused`."""
    if held not in MANAGERS:
        raise PermissionRefused()
    if RANK[role] > RANK[held]:
        raise PermissionRefused("Nobody grants more than they hold.")


def check_manages(held: Role | None, role: Role) -> None:
    """Owners and admins manage who does not rank above them. Raises `PermissionRefused`."""
    if held not in MANAGERS or RANK[role] > RANK[held]:
        raise PermissionRefused()


def removal(held: Role | None, user: User | None, owners: int, reason: RemovalReason) -> Sequence[Event]:
    """Removes a user; nothing where they are removed already. `owners` counts the account's active owners, this one included.

    Raises `NotFound`, `PermissionRefused` for somebody who ranks lower, `Refused` for a last owner (mission E5).
    """
    if user is None:
        raise NotFound()
    check_manages(held, user.role)
    if user.state == "removed":
        return []
    if user.role == "owner" and owners <= 1:
        raise Refused("The last owner of an account can't be removed.", reason="last owner")
    return [UserRemoved(user_id=user.user_id, reason=reason)]
