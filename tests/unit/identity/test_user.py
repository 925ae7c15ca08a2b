"""Who may add and remove whom."""

from __future__ import annotations

import pytest

from services.identity.events import Role, UserAdded, UserRemoved
from services.identity.user import RANK, User, check_operator_adds, check_user_adds, fold, removal
from shared.errors import NotFound, PermissionRefused, Refused

ROLES: tuple[Role, ...] = ("owner", "admin", "agent")


def user(role: Role = "agent", *, is_removed: bool = False) -> User:
    return User("user", role, "removed" if is_removed else "active", 1)


def test_a_user_is_what_their_events_say() -> None:
    """Added, a user is active in their role; removed, they are not; without events there is none."""
    added = UserAdded(user_id="user", person_id="person", role="admin")
    assert fold([]) is None
    assert fold([added]) == User("user", "admin", "active", 1)
    assert fold([added, UserRemoved(user_id="user", reason="left")]) == User("user", "admin", "removed", 2)


@pytest.mark.parametrize("held", ROLES)
@pytest.mark.parametrize("granted", ROLES)
def test_nobody_grants_more_than_they_hold(held: Role, granted: Role) -> None:
    """An owner grants every role, an admin all but owner, an agent none (mission I6)."""
    allowed = {("owner", "owner"), ("owner", "admin"), ("owner", "agent"), ("admin", "admin"), ("admin", "agent")}
    if (held, granted) in allowed:
        check_user_adds(held, granted)
    else:
        with pytest.raises(PermissionRefused):
            check_user_adds(held, granted)


def test_who_is_no_user_any_more_grants_nothing() -> None:
    """The rights of a removed user end, although their token lives on."""
    for role in ROLES:
        with pytest.raises(PermissionRefused):
            check_user_adds(None, role)
    with pytest.raises(PermissionRefused):
        removal(None, user(), 1, "left")


def test_an_operator_adds_the_first_owner_and_nobody_else() -> None:
    """Once an account has an owner, it decides itself who sees its data."""
    check_operator_adds("owner", 0)
    for role, owners in (("owner", 1), ("admin", 0), ("agent", 0), ("agent", 1)):
        with pytest.raises(PermissionRefused):
            check_operator_adds(role, owners)  # type: ignore[arg-type]


@pytest.mark.parametrize("held", ROLES)
@pytest.mark.parametrize("role", ROLES)
def test_nobody_removes_who_ranks_above_them(held: Role, role: Role) -> None:
    """Owners and admins remove users, up to their own rank (mission E5)."""
    if held != "agent" and RANK[role] <= RANK[held]:
        assert removal(held, user(role), 2, "left") == [UserRemoved(user_id="user", reason="left")]
    else:
        with pytest.raises(PermissionRefused):
            removal(held, user(role), 2, "left")


def test_a_last_owner_stays() -> None:
    """The last owner can't be removed; one of two can (mission E5)."""
    with pytest.raises(Refused) as refused:
        removal("owner", user("owner"), 1, "left")
    assert refused.value.details["reason"] == "last owner"
    assert removal("owner", user("owner"), 2, "left")


def test_removing_twice_is_removing_once() -> None:
    """A removed user is removed already; one who never was is not found."""
    assert removal("owner", user(is_removed=True), 1, "left") == []
    with pytest.raises(NotFound):
        removal("owner", None, 1, "left")
