"""Who may do what to whom: the one table of it (mission I6). Pure. `docs/permissions.md` shows it; a test holds both together.

What is not in the table is refused. What somebody holds is what their row says at this moment, not what their token says.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from services.identity.events import Role
from shared.errors import PermissionRefused

RANK: Final[Mapping[Role, int]] = MappingProxyType({"agent": 1, "admin": 2, "owner": 3})
"""owner > admin > agent."""

Whom = Literal["themselves", "lower", "not higher", "anybody", "the account"]
"""Whom a role may do it to: `lower` ranks below the one who acts, `not higher` below or the same."""

Action = Literal[
    "see users", "add a user", "invite a user", "withdraw an invitation", "change a role", "change a profile", "deactivate",
    "reactivate", "remove", "delete", "look after credentials", "reset a second factor", "see IP ranges", "set IP ranges",
    "require the second factor",
]  # fmt: skip

PERMISSIONS: Final[Mapping[Action, Mapping[Role, frozenset[Whom]]]] = MappingProxyType(
    {
        "see users": {
            "owner": frozenset({"anybody"}), "admin": frozenset({"anybody"}), "agent": frozenset({"anybody"}),
        },
        # about a user who is not there yet: ranked by the role that they get
        "add a user": {"owner": frozenset({"not higher"}), "admin": frozenset({"not higher"})},
        "invite a user": {"owner": frozenset({"not higher"}), "admin": frozenset({"not higher"})},
        "withdraw an invitation": {"owner": frozenset({"not higher"}), "admin": frozenset({"not higher"})},
        # both the role that the user has and the one that they get
        "change a role": {"owner": frozenset({"not higher"}), "admin": frozenset({"not higher"})},
        # not their equals': whose login is changed can be let in by a mail to the new one
        "change a profile": {
            "owner": frozenset({"lower", "themselves"}), "admin": frozenset({"lower", "themselves"}),
            "agent": frozenset({"themselves"}),
        },
        "deactivate": {"owner": frozenset({"not higher"}), "admin": frozenset({"not higher"})},
        "reactivate": {"owner": frozenset({"not higher"}), "admin": frozenset({"not higher"})},
        "remove": {"owner": frozenset({"not higher"}), "admin": frozenset({"not higher"})},
        # for good, so only by those above; owners have nobody above them (mission E5)
        "delete": {"owner": frozenset({"not higher"}), "admin": frozenset({"lower"})},
        # sessions and API tokens: to see them and to end them. Nobody sees a token itself
        "look after credentials": {
            "owner": frozenset({"not higher", "themselves"}), "admin": frozenset({"not higher", "themselves"}),
            "agent": frozenset({"themselves"}),
        },
        # never one's own; owners have nobody above them, so one helps the other
        "reset a second factor": {"owner": frozenset({"not higher"}), "admin": frozenset({"lower"})},
        "see IP ranges": {"owner": frozenset({"the account"}), "admin": frozenset({"the account"})},
        "set IP ranges": {"owner": frozenset({"the account"})},  # who sets them can keep all others out
        "require the second factor": {"owner": frozenset({"the account"})},
    }
)  # fmt: skip


def may(held: Role | None, action: Action, *, to: Role | None = None, is_self: bool = False) -> bool:
    """Whether somebody who holds a role may do this to a user of role `to`, or (None) to the account. `held` is None for who
    is no active user now, whatever their token says: they may nothing."""
    if held is None:
        return False
    whom = PERMISSIONS[action].get(held, frozenset())
    if to is None:
        return bool(whom & {"the account", "anybody"})
    return (
        "anybody" in whom
        or (is_self and "themselves" in whom)
        or ("not higher" in whom and RANK[to] <= RANK[held])
        or ("lower" in whom and RANK[to] < RANK[held])
    )


def check(held: Role | None, action: Action, *, to: Role | None = None, is_self: bool = False) -> None:
    """Raises `PermissionRefused` unless `may`."""
    if not may(held, action, to=to, is_self=is_self):
        raise PermissionRefused()


def check_grants(held: Role | None, action: Action, granted: Role) -> None:
    """Nobody grants more than they hold. Raises `PermissionRefused`, and says that only to who may grant anything."""
    if not may(held, action, to="agent"):
        raise PermissionRefused()
    if not may(held, action, to=granted):
        raise PermissionRefused("Nobody grants more than they hold.")
