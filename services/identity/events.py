"""The facts that identity publishes: who works for an account, and as what. Names and logins travel sealed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from services.identity.portal_events import PORTAL_TYPES
from services.identity.staff_events import STAFF_TYPES
from shared.account_end import AccountGone, LeavesGone
from shared.erasing import Count, ErasureReceipted, SubjectCut
from shared.events import ERASED, Erased, Event, EventTypes, HexDigest
from shared.ids import StoredId
from shared.legal_holds import KeptItemCut, PersonsHeld, PersonsReleased
from shared.personal import Personal
from shared.read_records import ReadsRecorded, reads_1_to_2
from shared.recovery_events import CutRepeated, RowsLost
from shared.staff_lookups import StaffLookedUp

Role = Literal["owner", "admin", "agent"]
State = Literal["active", "deactivated", "removed"]
RemovalReason = Literal["left", "not needed", "security"]
"""Why a user was removed. A fixed list: what somebody typed could tell of a person."""
MailFailure = Literal["rejected", "too old"]
"""Why a mail was given up: the mail server will never take it, or it took too long."""

PasswordChange = Literal["first", "own", "reset"]
LoginFailure = Literal["password", "code", "locked", "source"]
"""What was wrong: never what was typed. `locked`: right or not, there were too many failures before; `source`: the address."""
SessionsEnd = Literal["logged out", "by a manager", "password changed", "second factor changed", "rights changed"]
ApiScope = Literal["read", "write", "manage"]

_WORKING = "to let the account's people in, and to show who did what"
_INVITING = "to let somebody become a user of the account"
_LIMITING = "to let the account's people in from where the account wants to"
_SAFETY = "to notice when somebody else uses a user's credentials"
Source = Annotated[str | Erased, Personal(category="ip-address", purpose=_SAFETY, item="user_id", person="person_id")]


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


class PasswordSet(Event, frozen=True, kw_only=True):
    """The user has a new password. The password and its hash are no part of any event."""

    user_id: StoredId
    how: PasswordChange


class UserLoggedIn(Event, frozen=True, kw_only=True):
    """A session began."""

    user_id: StoredId
    person_id: StoredId
    session_id: StoredId
    with_second_factor: bool
    source: Source = ERASED


class LoginFailed(Event, frozen=True, kw_only=True):
    """Somebody knew the login, and that was all, or nearly all."""

    user_id: StoredId
    person_id: StoredId
    reason: LoginFailure
    source: Source = ERASED


class SessionsEnded(Event, frozen=True, kw_only=True):
    """Sessions ended before their time."""

    user_id: StoredId
    session_ids: list[StoredId]
    reason: SessionsEnd


class PasswordUsedOnDay(Event, frozen=True, kw_only=True):
    """The password was used over HTTP Basic on this day (midnight, UTC)."""

    user_id: StoredId
    day: datetime


class ApiTokenCreated(Event, frozen=True, kw_only=True):
    """A program may act as the user. Its name stands with the token."""

    user_id: StoredId
    api_token_id: StoredId
    scope: ApiScope
    expires_at: datetime


class ApiTokenRevoked(Event, frozen=True, kw_only=True):
    """The token is good for nothing any more."""

    user_id: StoredId
    api_token_id: StoredId


class ApiTokenUsedOnDay(Event, frozen=True, kw_only=True):
    """The token was used on this day (midnight, UTC)."""

    user_id: StoredId
    api_token_id: StoredId
    day: datetime


class SecondFactorEnabled(Event, frozen=True, kw_only=True):
    """From now on every login needs a code."""

    user_id: StoredId


class SecondFactorDisabled(Event, frozen=True, kw_only=True):
    """The password is enough again."""

    user_id: StoredId


class SecondFactorReset(Event, frozen=True, kw_only=True):
    """Somebody above the user took the second factor away, for the user has lost it. The password is enough again, unless it is
    too short to stand alone (`is_password_void`): then it is gone as well, and the user chooses one by a mailed link."""

    user_id: StoredId
    is_password_void: bool


class RecoveryCodeUsed(Event, frozen=True, kw_only=True):
    """A recovery code took the place of the app's code. It is good for nothing any more."""

    user_id: StoredId
    left: int


class RecoveryCodesRenewed(Event, frozen=True, kw_only=True):
    """The user has ten new recovery codes; those before are void."""

    user_id: StoredId


class SecondFactorRequirementSet(Event, frozen=True, kw_only=True):
    """From this moment on nobody of the account gets in without a second factor; None where it is each user's choice."""

    required_from: datetime | None


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
    """The invitation was used, once: there is a user, who has the login now. `keys` were cut with it: they explain what is
    pruned."""

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


class LoginChangeRequested(Event, frozen=True, kw_only=True):
    """A link was mailed to an address that the user wants to be their login."""

    user_id: StoredId


class LoginConfirmed(Event, frozen=True, kw_only=True):
    """The user followed a link that was mailed to their login: the mailbox is theirs."""

    user_id: StoredId


class RangeRecoveryRequested(Event, frozen=True, kw_only=True):
    """A link was mailed to an owner with which to log in once from outside of the account's IP ranges."""

    user_id: StoredId


class IpRangesSuspended(Event, frozen=True, kw_only=True):
    """An owner logged in by such a link. For this session alone the IP ranges do not hold."""

    user_id: StoredId
    session_id: StoredId


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
    failure: MailFailure
    attempts: int
    reply_code: int
    """The mail server's last answer (RFC 5321, section 4.2); 0 where there was none."""


class ActorCutOff(Event, frozen=True, kw_only=True):
    """Tokens of this user, or staff member, from before this moment are good for nothing any more, in any service: their
    rights changed."""

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
        "PasswordSet": PasswordSet,
        "UserLoggedIn": UserLoggedIn,
        "LoginFailed": LoginFailed,
        "SessionsEnded": SessionsEnded,
        "PasswordUsedOnDay": PasswordUsedOnDay,
        "ApiTokenCreated": ApiTokenCreated,
        "ApiTokenRevoked": ApiTokenRevoked,
        "ApiTokenUsedOnDay": ApiTokenUsedOnDay,
        "SecondFactorEnabled": SecondFactorEnabled,
        "SecondFactorDisabled": SecondFactorDisabled,
        "SecondFactorReset": SecondFactorReset,
        "RecoveryCodeUsed": RecoveryCodeUsed,
        "RecoveryCodesRenewed": RecoveryCodesRenewed,
        "SecondFactorRequirementSet": SecondFactorRequirementSet,
        "UserInvited": UserInvited,
        "InvitationAccepted": InvitationAccepted,
        "InvitationWithdrawn": InvitationWithdrawn,
        "RoleChanged": RoleChanged,
        "ProfileChanged": ProfileChanged,
        "UserDeactivated": UserDeactivated,
        "UserReactivated": UserReactivated,
        "UserDeleted": UserDeleted,
        "PasswordResetRequested": PasswordResetRequested,
        "LoginChangeRequested": LoginChangeRequested,
        "LoginConfirmed": LoginConfirmed,
        "RangeRecoveryRequested": RangeRecoveryRequested,
        "IpRangesSuspended": IpRangesSuspended,
        "IpRangesSet": IpRangesSet,
        "MailGivenUp": MailGivenUp,
        "ActorCutOff": ActorCutOff,
        "ReadsRecorded": ReadsRecorded,
        **PORTAL_TYPES,
        "LeavesGone": LeavesGone,
        "AccountGone": AccountGone,
        "RowsLost": RowsLost,
        "CutRepeated": CutRepeated,
        "PersonsHeld": PersonsHeld,
        "PersonsReleased": PersonsReleased,
        "KeptItemCut": KeptItemCut,
        "SubjectCut": SubjectCut,
        "ErasureReceipted": ErasureReceipted,
        "StaffLookedUp": StaffLookedUp,
        **STAFF_TYPES,
    },
    {("identity.ReadsRecorded", 1): reads_1_to_2},
)
