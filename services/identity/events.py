"""The facts that identity publishes: who works for an account, and as what. Names and logins travel sealed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from shared.erasing import ErasureReceipted, SubjectCut
from shared.events import ERASED, Erased, Event, EventTypes
from shared.ids import StoredId
from shared.personal import Personal

Role = Literal["owner", "admin", "agent"]
State = Literal["active", "deactivated", "removed"]
RemovalReason = Literal["left", "not needed", "security"]
"""Why a user was removed. A fixed list: what somebody typed could tell of a person."""

PasswordChange = Literal["first", "own", "reset"]
LoginFailure = Literal["password", "code", "locked", "source"]
"""What was wrong: never what was typed. `locked`: right or not, there were too many failures before; `source`: the address."""
SessionsEnd = Literal["logged out", "by a manager", "password changed", "second factor changed", "rights changed"]
ApiScope = Literal["read", "write", "manage"]

_WORKING = "to let the account's people in, and to show who did what"
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


class ActorCutOff(Event, frozen=True, kw_only=True):
    """Tokens of this user from before this moment are good for nothing any more, in any service: their rights changed."""

    user_id: StoredId
    not_before: datetime


class Names:
    """The full names of the types, for reactions and queries."""

    USER_ADDED: ClassVar = "identity.UserAdded"


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
        "RecoveryCodeUsed": RecoveryCodeUsed,
        "RecoveryCodesRenewed": RecoveryCodesRenewed,
        "SecondFactorRequirementSet": SecondFactorRequirementSet,
        "ActorCutOff": ActorCutOff,
        "SubjectCut": SubjectCut,
        "ErasureReceipted": ErasureReceipted,
    },
)
