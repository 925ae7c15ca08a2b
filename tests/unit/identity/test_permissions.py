"""The table of permissions."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from services.identity.events import Role
from services.identity.permissions import PERMISSIONS, RANK, Action, check, check_grants, may
from shared.errors import PermissionRefused
from tests.support.permissions_page import page

ROLES: tuple[Role, ...] = ("owner", "admin", "agent")
ACTIONS: tuple[Action, ...] = get_args(Action)
GRANTING: tuple[Action, ...] = ("add a user", "invite a user", "change a role")


def test_each_action_has_its_row() -> None:
    """The table has every action, and nothing else."""
    assert set(ACTIONS) == set(PERMISSIONS)


@pytest.mark.parametrize("action", ACTIONS)
def test_nobody_may_anything_who_is_no_user(action: Action) -> None:
    """A token of somebody who was removed is worth nothing."""
    assert not any(may(None, action, to=to, is_self=is_self) for to in (*ROLES, None) for is_self in (True, False))


@pytest.mark.parametrize("action", ACTIONS)
def test_a_higher_role_may_all_that_a_lower_one_may(action: Action) -> None:
    """owner > admin > agent in each row: what an agent may an admin may, and what an admin may an owner may (mission I6)."""
    for to in (*ROLES, None):
        for lower, higher in (("agent", "admin"), ("admin", "owner")):
            assert not may(lower, action, to=to) or may(higher, action, to=to)  # type: ignore[arg-type]


@pytest.mark.parametrize("action", [action for action in ACTIONS if action != "see users"])
def test_nobody_acts_on_who_ranks_above_them(action: Action) -> None:
    """Whatever it is: an admin does it to no owner, an agent to nobody but themselves."""
    assert not any(may(held, action, to=to) for held in ROLES for to in ROLES if RANK[to] > RANK[held])
    assert not any(may("agent", action, to=to) for to in ROLES)


@pytest.mark.parametrize("action", GRANTING)
def test_nobody_grants_more_than_they_hold(action: Action) -> None:
    """An owner grants every role, an admin all but owner, an agent none."""
    granted = {(held, role) for held in ROLES for role in ROLES if may(held, action, to=role)}
    assert granted == {("owner", "owner"), ("owner", "admin"), ("owner", "agent"), ("admin", "admin"), ("admin", "agent")}
    with pytest.raises(PermissionRefused, match="more than they hold"):
        check_grants("admin", action, "owner")
    with pytest.raises(PermissionRefused, match="Your role"):
        check_grants("agent", action, "agent")


def test_a_profile_is_deleted_by_those_above() -> None:
    """An admin deletes agents, no admins; owners delete everybody, other owners too (mission E5)."""
    deleted = {(held, to) for held in ROLES for to in ROLES if may(held, "delete", to=to)}
    assert deleted == {("owner", "owner"), ("owner", "admin"), ("owner", "agent"), ("admin", "agent")}


def test_everybody_changes_their_own_profile_and_ends_their_own_sessions() -> None:
    """Agents too; another agent's they do not."""
    for action in ("change a profile", "look after credentials"):
        for role in ROLES:
            check(role, action, to=role, is_self=True)  # type: ignore[arg-type]
        with pytest.raises(PermissionRefused):
            check("agent", action, to="agent")  # type: ignore[arg-type]


def test_what_concerns_the_account_is_for_those_who_manage_it() -> None:
    """IP ranges: set by owners, seen by admins as well. The second factor for all: owners."""
    assert {role for role in ROLES if may(role, "set IP ranges")} == {"owner"}
    assert {role for role in ROLES if may(role, "see IP ranges")} == {"owner", "admin"}
    assert {role for role in ROLES if may(role, "require the second factor")} == {"owner"}
    assert not may("owner", "delete"), "an action on users is not one on the account"


def test_the_page_shows_the_table() -> None:
    """`docs/permissions.md` is what `tests/support/permissions_page.py` makes of the table."""
    assert page() == Path("docs/permissions.md").read_text()
