"""What identity can be asked about users: validated arguments and the answers. Personal data passes in sealed RPC bodies only.

What concerns letting somebody in (login, sessions, API tokens, second factor) is in `access_commands.py`.
"""

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
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000), InTransit(category="credential")]
"""What is typed as a password. Its rules are in `password.py`, and apply to new ones only."""
LinkToken = Annotated[str, msgspec.Meta(min_length=1, max_length=200), InTransit(category="credential")]
"""The random token of a one-time link that was mailed."""
SourceAddress = Annotated[str, msgspec.Meta(min_length=2, max_length=45), InTransit(category="ip-address")]
"""The address that a request came from, as the gateway saw it. Never what a client says of itself."""
IpRange = Annotated[str, msgspec.Meta(min_length=3, max_length=50), InTransit(category="ip-address")]
"""CIDR, as in 203.0.113.0/24 or 2001:db8::/32."""


Version = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
"""Of a user, as it was seen: if it is another one now, the edit is refused (`PreconditionFailed`)."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It is done, or was done before. Says nothing else on purpose."""


class AddUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who works for the account. The login is a mail address, and nobody else's in this account."""

    role: Role
    name: UserName
    login: Login


class AddFirstOwner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first owner of a new account, with their password."""

    name: UserName
    login: Login
    password: Password


class ListUsers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of users in the order in which they were added."""

    include_removed: bool = False
    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class UsersOfPersons(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of these persons work for the account?"""

    person_ids: Annotated[list[Id], msgspec.Meta(max_length=1_000)]


class UserOfPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A person who works, or worked, for the account, in the role that they have or had last."""

    person_id: Id
    role: Role


class UsersOfPersonsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The users among them, those who may do nothing any more as well."""

    users: list[UserOfPerson]


class ShowUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    user: Who


class RemoveUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The user may do nothing any more."""

    user: Who
    reason: RemovalReason = "left"


class ChangeRole(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Gives a user another role. Nobody grants more than they hold."""

    user: Who
    role: Role
    expected_version: Version | None = None


class ChangeProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another name or login; one's own where `user` is left out. Another login of one's own needs `password` (and `source`),
    and counts once the link that is mailed to it was followed."""

    user: Who | None = None
    name: UserName | None = None
    login: Login | None = None
    password: Password | None = None
    source: SourceAddress | None = None
    expected_version: Version | None = None


class DeactivateUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The user may do nothing until they are reactivated; sessions and tokens end."""

    user: Who


class ReactivateUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    user: Who


class DeleteUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The profile goes for good: what they did then shows "former agent" (mission E5)."""

    user: Who


class InviteUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mails a one-time link with which somebody becomes a user."""

    role: Role
    login: Login


class ListInvitations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of invitations that are open, oldest first."""

    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class WithdrawInvitation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    invitation_id: Id


class AcceptInvitation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Called by the gateway for somebody who has followed the link."""

    link_token: LinkToken
    name: UserName
    password: Password
    source: SourceAddress


class RequestPasswordReset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mails a one-time link to the login's user, if there is one. The answer is the same if not."""

    login: Login
    account_id: Id | None = None
    source: SourceAddress


class ResetPassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Called by the gateway for somebody who has followed the link. Sessions end; the second factor stays."""

    link_token: LinkToken
    password: Password
    source: SourceAddress


class RequestRangeRecovery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mails a one-time link to the login's user, if they own an account with IP ranges. The answer is the same if not."""

    login: Login
    account_id: Id | None = None
    source: SourceAddress


class ConfirmLogin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Called by the gateway for somebody who has followed the link: the mailbox of a login is theirs."""

    link_token: LinkToken
    source: SourceAddress


class SetIpRanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where users of the account are let in; from anywhere where the list is empty. `source` must be inside."""

    ranges: Annotated[list[IpRange], msgspec.Meta(max_length=200)]
    source: SourceAddress


class IpRanges(msgspec.Struct, frozen=True, kw_only=True):
    ranges: list[IpRange]


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
    version: int
    """Grows with each change of what is shown here; an edit may name the one that it is based on."""


class UserList(msgspec.Struct, frozen=True, kw_only=True):
    users: list[UserView]
    next_after: Id | None


class InvitationView(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation as the account's managers see it. The link is in the mail only."""

    invitation_id: Id
    role: Role
    login: Login | Erased
    invited_at: datetime
    expires_at: datetime


class InvitationList(msgspec.Struct, frozen=True, kw_only=True):
    invitations: list[InvitationView]
    next_after: Id | None


class MintedToken(msgspec.Struct, frozen=True, kw_only=True):
    """The token is shown here and kept nowhere."""

    token: Annotated[str, InTransit(category="credential")]
    user_id: Id
    role: Role
    expires_at: datetime
