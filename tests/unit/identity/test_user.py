"""Who may add and remove whom."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.identity.events import (
    Role,
    RoleChanged,
    State,
    UserAdded,
    UserDeactivated,
    UserDeleted,
    UserReactivated,
    UserRemoved,
)
from services.identity.permissions import RANK
from services.identity.user import (
    User,
    check_changes_profile,
    check_deletes,
    check_operator_adds,
    check_user_adds,
    deactivation,
    fold,
    reactivation,
    removal,
    role_change,
)
from shared.errors import NotFound, PermissionRefused, Refused

ROLES: tuple[Role, ...] = ("owner", "admin", "agent")


def user(role: Role = "agent", *, is_removed: bool = False, state: State = "active") -> User:
    return User("user", role, "removed" if is_removed else state, 1)


def test_a_user_is_what_their_events_say() -> None:
    """Added, a user is active in their role; removed, they are not; without events there is none."""
    added = UserAdded(user_id="user", person_id="person", role="admin")
    assert fold([]) is None
    assert fold([added]) == User("user", "admin", "active", 1, "person")
    assert fold([added, UserRemoved(user_id="user", reason="left")]) == User("user", "admin", "removed", 2, "person")
    back = [UserDeactivated(user_id="user"), UserReactivated(user_id="user")]
    changed = [added, *back, RoleChanged(user_id="user", role="agent")]
    assert [one.state for one in map(fold, (changed[:2], changed[:3])) if one] == ["deactivated", "active"]
    assert fold(changed) == User("user", "agent", "active", 4, "person")
    assert fold([*changed, UserDeleted(user_id="user", keys=[])]) == User("user", "agent", "removed", 5, "person", True)


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


def test_a_role_is_changed_by_who_holds_the_old_and_the_new_one() -> None:
    """An owner changes every role to every other; an admin none from or to owner; an agent none, their own neither."""
    for held in ROLES:
        for old in ROLES:
            for new in ROLES:
                if held != "agent" and max(RANK[old], RANK[new]) <= RANK[held]:
                    expected = [] if old == new else [RoleChanged(user_id="user", role=new)]
                    assert role_change(held, user(old), 2, new) == expected
                else:
                    with pytest.raises(PermissionRefused):
                        role_change(held, user(old), 2, new)


def test_a_user_is_deactivated_and_reactivated() -> None:
    """Each of them twice is once; the role stays; a removed user is neither."""
    assert deactivation("admin", user(), 1) == [UserDeactivated(user_id="user")]
    assert deactivation("admin", user(state="deactivated"), 1) == []
    assert reactivation("admin", user(state="deactivated")) == [UserReactivated(user_id="user")]
    assert reactivation("admin", user()) == []
    for gone in (None, user(is_removed=True)):
        with pytest.raises(NotFound):
            reactivation("owner", gone)
        with pytest.raises(NotFound):
            deactivation("owner", gone, 1)


LEAVING: list[Callable[[User, int], object]] = [
    lambda owner, owners: removal("owner", owner, owners, "left"),
    lambda owner, owners: role_change("owner", owner, owners, "admin"),
    lambda owner, owners: deactivation("owner", owner, owners),
    lambda owner, owners: check_deletes("owner", owner, owners),
]


@pytest.mark.parametrize("leave", LEAVING)
def test_the_last_owner_leaves_in_no_way(leave: Callable[[User, int], object]) -> None:
    """Not removed, not made less, not deactivated, not deleted (mission E5); one of two does, and one who is deactivated."""
    with pytest.raises(Refused) as refused:
        leave(user("owner"), 1)
    assert refused.value.details["reason"] == "last owner"
    leave(user("owner"), 2)
    leave(user("owner", state="deactivated"), 1)


def test_a_removed_users_profile_can_still_be_deleted() -> None:
    """Removed is not forgotten; but who is above them decides as before."""
    assert check_deletes("admin", user(is_removed=True), 1)
    with pytest.raises(PermissionRefused):
        check_deletes("admin", user("admin", is_removed=True), 1)
    with pytest.raises(NotFound):
        check_deletes("owner", None, 1)


def test_a_profile_is_changed_by_its_user_and_by_managers() -> None:
    """An agent changes their own; an admin an agent's, an owner's not."""
    for role in ROLES:
        check_changes_profile(role, user(role), True)
    check_changes_profile("admin", user(), False)
    for held, of in (("agent", "agent"), ("admin", "owner"), (None, "agent")):
        with pytest.raises(PermissionRefused):
            check_changes_profile(held, user(of), False)  # type: ignore[arg-type]
