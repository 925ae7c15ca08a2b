"""The user: pure state and decisions about who may do what to whom. No I/O, no keys. The rules are in `permissions.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.identity.events import (
    ProfileChanged,
    RemovalReason,
    Role,
    RoleChanged,
    State,
    UserAdded,
    UserDeactivated,
    UserDeleted,
    UserReactivated,
    UserRemoved,
)
from services.identity.permissions import check, check_grants
from shared.errors import NotFound, PermissionRefused, PreconditionFailed, Refused
from shared.events import Event

FORMER_AGENT = "former agent"
"""What stands in place of the name of a user whose profile is gone (mission E5)."""


@dataclass(frozen=True)
class User:
    """A user as their events make them. `version` is that of their stream; `person_id` whose profile it is."""

    user_id: str
    role: Role
    state: State
    version: int
    person_id: str = ""
    is_deleted: bool = False
    """The profile is gone for good, so the user never comes back."""


def stream_of(user_id: str) -> str:
    """The stream of a user's events."""
    return f"user/{user_id}"


def fold(events: Iterable[Event]) -> User | None:
    """The user after these events of their stream; None where there is none."""
    user: User | None = None
    for event in events:
        if isinstance(event, UserAdded):
            user = User(event.user_id, event.role, "active", 1, event.person_id)
            continue
        assert user is not None, "a stream begins with UserAdded"
        user = replace(user, version=user.version + 1)
        match event:
            case UserRemoved():
                user = replace(user, state="removed")
            case UserDeactivated():
                user = replace(user, state="deactivated")
            case UserReactivated():
                user = replace(user, state="active")
            case RoleChanged():
                user = replace(user, role=event.role)
            case ProfileChanged():
                user = replace(user, person_id=event.person_id)
            case UserDeleted():
                user = replace(user, state="removed", is_deleted=True)
            case _:
                pass
    return user


def check_operator_adds(role: Role, owners: int) -> None:
    """The vendor's operator gives an account its first owner and nobody else: from then on it is the account that decides
    who sees its data. Raises `PermissionRefused`."""
    if role != "owner" or owners > 0:
        raise PermissionRefused("An operator adds the first owner of an account; its owner and admins add the others.")


def check_user_adds(held: Role | None, role: Role) -> None:
    """Nobody grants more than they hold (mission I6). `held` is None for who is no user any more, whatever their token says.
    Raises `PermissionRefused`."""
    check_grants(held, "add a user", role)


def check_manages(held: Role | None, role: Role) -> None:
    """Owners and admins look after the credentials of who does not rank above them. Raises `PermissionRefused`."""
    check(held, "look after credentials", to=role)


def check_resets_second_factor(held: Role | None, role: Role, is_self: bool) -> None:
    """Those above a user take a lost second factor away, an owner that of another owner; nobody their own, since whoever has
    their session could do it too. Raises `PermissionRefused`."""
    check(held, "reset a second factor", to=role)
    if is_self:
        raise PermissionRefused("Nobody resets their own second factor: switch it off with a code, or ask another owner.")


def removal(held: Role | None, user: User | None, owners: int, reason: RemovalReason) -> Sequence[Event]:
    """Removes a user; nothing where they are removed already. `owners` counts the account's active owners, this one included.

    Raises `NotFound`, `PermissionRefused` for somebody who ranks lower, `Refused` for a last owner (mission E5).
    """
    if user is None:
        raise NotFound()
    check(held, "remove", to=user.role)
    if user.state == "removed":
        return []
    _check_an_owner_stays(user, owners)
    return [UserRemoved(user_id=user.user_id, reason=reason)]


def role_change(held: Role | None, user: User | None, owners: int, role: Role) -> Sequence[Event]:
    """Gives a user another role; nothing where they have it. Who acts may hold no less than the old and the new one.

    Raises as `removal`: the last owner stays one."""
    user = _present(user)
    check(held, "change a role", to=user.role)
    check_grants(held, "change a role", role)
    if user.role == role:
        return []
    _check_an_owner_stays(user, owners)
    return [RoleChanged(user_id=user.user_id, role=role)]


def deactivation(held: Role | None, user: User | None, owners: int) -> Sequence[Event]:
    """Lets a user do nothing until they are reactivated; nothing where that is so. Raises as `removal`."""
    user = _present(user)
    check(held, "deactivate", to=user.role)
    if user.state == "deactivated":
        return []
    _check_an_owner_stays(user, owners)
    return [UserDeactivated(user_id=user.user_id)]


def reactivation(held: Role | None, user: User | None) -> Sequence[Event]:
    """Lets a user in again, in the role that they had; nothing where they are active. Raises as `removal`."""
    user = _present(user)
    check(held, "reactivate", to=user.role)
    return [] if user.state == "active" else [UserReactivated(user_id=user.user_id)]


def check_changes_profile(held: Role | None, user: User | None, is_self: bool) -> User:
    """The user, if their profile may be changed. Raises `NotFound`, `PermissionRefused`."""
    user = _present(user)
    check(held, "change a profile", to=user.role, is_self=is_self)
    return user


def check_as_seen(version: int, expected: int | None) -> None:
    """Whether a user is as the caller saw them; `expected` is None for who does not care. Decided in the transaction of the
    edit: of many who saw the same, one passes. Raises `PreconditionFailed`."""
    if expected is not None and version != expected:
        raise PreconditionFailed()


def check_deletes(held: Role | None, user: User | None, owners: int) -> User:
    """The user, if their profile may be deleted for good: by those above them, an owner's by an owner, and never the last
    owner's (mission E5). Raises as `removal`."""
    if user is None:
        raise NotFound()
    check(held, "delete", to=user.role)
    if user.state != "removed":
        _check_an_owner_stays(user, owners)
    return user


def _present(user: User | None) -> User:
    """A user who is not removed."""
    if user is None or user.state == "removed":
        raise NotFound()
    return user


def _check_an_owner_stays(user: User, owners: int) -> None:
    """A deactivated owner is none of the `owners`, who are active, so they can always go."""
    if user.role == "owner" and user.state == "active" and owners <= 1:
        raise Refused("The last owner of an account can't be removed.", reason="last owner")
