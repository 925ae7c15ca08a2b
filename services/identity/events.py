"""The facts that identity publishes: who works for an account, and as what. Names and logins travel sealed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from shared.erasing import Count, ErasureReceipted, SubjectCut
from shared.events import ERASED, Erased, Event, EventTypes, HexDigest
from shared.ids import StoredId
from shared.personal import Personal

Role = Literal["owner", "admin", "agent"]
State = Literal["active", "deactivated", "removed"]
RemovalReason = Literal["left", "not needed", "security"]
"""Why a user was removed. A fixed list: what somebody typed could tell of a person."""
MailReason = Literal["refused", "too old"]
"""Why a mail was given up: the mail server will never take it, or it took too long."""

_WORKING = "to let the account's people in, and to show who did what"
_INVITING = "to let somebody become a user of the account"
_LIMITING = "to let the account's people in from where the account wants to"


class UserAdded(Event, frozen=True, kw_only=True):
    """Somebody works for the account from now on. A user is a person too: contacts knows the person."""

    user_id: StoredId
    person_id: StoredId
    role: Role
    name: Annotated[str | Erased, Personal(category="name", purpose=_WORKING, item="user_id", person="person_id")] = ERASED
    login: Annotated[str | Erased, Personal(category="e-mail", purpose=_WORKING, item="user_id", person="person_id")] = ERASED


class UserRemoved(Event, frozen=True, kw_only=True):
    """The user may do nothing any more. Their profile stays until their person is erased."""

    user_id: StoredId
    reason: RemovalReason


class UserInvited(Event, frozen=True, kw_only=True):
    """Somebody may become a user by the link that was mailed to them. The link itself is no part of any event."""

    invitation_id: StoredId
    person_id: StoredId
    role: Role
    expires_at: datetime
    login: Annotated[
        str | Erased, Personal(category="e-mail", purpose=_INVITING, item="invitation_id", person="person_id")
    ] = ERASED


class InvitationAccepted(Event, frozen=True, kw_only=True):
    """The invitation was used, once: there is a user, who has the login now. `keys` were cut with it, and explain what is pruned."""

    invitation_id: StoredId
    user_id: StoredId
    keys: list[HexDigest]


class InvitationWithdrawn(Event, frozen=True, kw_only=True):
    """The invitation's link leads nowhere any more. `keys` as in `InvitationAccepted`."""

    invitation_id: StoredId
    keys: list[HexDigest]


class RoleChanged(Event, frozen=True, kw_only=True):
    """The user may do more or less from now on."""

    user_id: StoredId
    role: Role


class ProfileChanged(Event, frozen=True, kw_only=True):
    """The user's whole profile as it is from now on."""

    user_id: StoredId
    person_id: StoredId
    name: Annotated[str | Erased, Personal(category="name", purpose=_WORKING, item="user_id", person="person_id")] = ERASED
    login: Annotated[str | Erased, Personal(category="e-mail", purpose=_WORKING, item="user_id", person="person_id")] = ERASED


class UserDeactivated(Event, frozen=True, kw_only=True):
    """The user may do nothing until they are reactivated."""

    user_id: StoredId


class UserReactivated(Event, frozen=True, kw_only=True):
    """The user is let in again, in the role that they had."""

    user_id: StoredId


class UserDeleted(Event, frozen=True, kw_only=True):
    """The user's profile is gone for good. It explains every pruned part of theirs: by the ids of the keys that were cut."""

    user_id: StoredId
    keys: list[HexDigest]


class PasswordResetRequested(Event, frozen=True, kw_only=True):
    """A link with which to set a new password was mailed to the user."""

    user_id: StoredId


class IpRangesSet(Event, frozen=True, kw_only=True):
    """From where the account's users are let in; from anywhere where `count` is 0. The ranges may be somebody's home."""

    account_id: StoredId
    count: Count
    ranges: Annotated[
        list[str] | Erased,
        Personal(category="ip-address", purpose=_LIMITING, item="account_id", person=None, retention="account"),
    ] = ERASED
class MailGivenUp(Event, frozen=True, kw_only=True):
    """A mail to a person could not be delivered and is not tried any more."""

    mail_id: StoredId
    item_id: StoredId
    person_id: StoredId
    reason: MailReason
    attempts: int
    reply_code: int
    """The mail server's last answer (RFC 5321, section 4.2); 0 where there was none."""


class ActorCutOff(Event, frozen=True, kw_only=True):
    """Tokens of this user from before this moment are good for nothing any more, in any service: their rights changed."""

    user_id: StoredId
    not_before: datetime


class Names:
    """The full names of the types, for reactions and queries."""

    USER_ADDED: ClassVar = "identity.UserAdded"
    PROFILE_CHANGED: ClassVar = "identity.ProfileChanged"
    USER_INVITED: ClassVar = "identity.UserInvited"
    IP_RANGES_SET: ClassVar = "identity.IpRangesSet"


TYPES = EventTypes(
    "identity",
    {
        "UserAdded": UserAdded,
        "UserRemoved": UserRemoved,
        "UserInvited": UserInvited,
        "InvitationAccepted": InvitationAccepted,
        "InvitationWithdrawn": InvitationWithdrawn,
        "RoleChanged": RoleChanged,
        "ProfileChanged": ProfileChanged,
        "UserDeactivated": UserDeactivated,
        "UserReactivated": UserReactivated,
        "UserDeleted": UserDeleted,
        "PasswordResetRequested": PasswordResetRequested,
        "IpRangesSet": IpRangesSet,
        "MailGivenUp": MailGivenUp,
        "ActorCutOff": ActorCutOff,
        "SubjectCut": SubjectCut,
        "ErasureReceipted": ErasureReceipted,
    },
)
