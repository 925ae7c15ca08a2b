"""What identity can be asked: validated arguments and the answers. Personal data passes here in sealed RPC bodies only."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from services.identity.events import RemovalReason, Role, State
from shared.ids import Id
from shared.personal import Erased, InTransit

UserName = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000), InTransit(category="name")]
Login = Annotated[str, msgspec.Meta(min_length=3, max_length=320), InTransit(category="e-mail")]
Who = Annotated[str, msgspec.Meta(min_length=1, max_length=320), InTransit(category="e-mail")]
"""A user: by id, by login, or as `owner` (the first of the owners)."""


class AddUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who works for the account. The login is a mail address, and nobody else's in this account."""

    role: Role
    name: UserName
    login: Login


class ListUsers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of users in the order in which they were added."""

    include_removed: bool = False
    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class UsersOfPersons(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of these persons work for the account?"""

    person_ids: Annotated[list[Id], msgspec.Meta(max_length=1_000)]


class UsersOfPersonsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The persons among them who are active users."""

    person_ids: list[Id]


class ShowUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    user: Who


class RemoveUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The user may do nothing any more."""

    user: Who
    reason: RemovalReason = "left"


class MintToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token with which to act as a user, good for so many minutes (12 hours at most)."""

    user: Who
    minutes: Annotated[int, msgspec.Meta(ge=1, le=720)] = 60


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """A user as their account sees them."""

    user_id: Id
    person_id: Id
    role: Role
    state: State
    added_at: datetime
    name: UserName | Erased
    login: Login | Erased


class UserList(msgspec.Struct, frozen=True, kw_only=True):
    users: list[UserView]
    next_after: Id | None


class MintedToken(msgspec.Struct, frozen=True, kw_only=True):
    """The token is shown here and kept nowhere."""

    token: Annotated[str, InTransit(category="credential")]
    user_id: Id
    role: Role
    expires_at: datetime
