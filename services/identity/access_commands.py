"""What identity can be asked by and about somebody who wants in: validated arguments and the answers.

Credentials and source addresses pass in sealed RPC bodies only, and are kept as hashes or sealed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from services.identity.commands import LinkToken, Login, Password, SourceAddress, Who
from services.identity.events import Role
from shared.ids import Id
from shared.personal import Erased, InTransit

Scope = Literal["read", "write", "manage"]
Credential = Annotated[str, InTransit(category="credential")]
"""Shown once, in an answer, and kept nowhere."""
BearerToken = Annotated[str, msgspec.Meta(min_length=1, max_length=200), InTransit(category="credential")]
"""A session (`lethe_session_…`) or an API token (`lethe_…`)."""
Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000), InTransit(category="credential")]
"""What stands behind the login in HTTP Basic: a password, or an API token."""
Challenge = Annotated[str, msgspec.Meta(min_length=1, max_length=200), InTransit(category="credential")]
"""Shows that the password was right. Good for one login that is not complete, for ten minutes."""
Code = Annotated[str, msgspec.Meta(min_length=6, max_length=40), InTransit(category="credential")]
"""Six digits of the authenticator app, or a recovery code."""
ApiTokenName = Annotated[str, msgspec.Meta(min_length=1, max_length=200), InTransit(category="content")]


class Authenticate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose request is this? Either `token` (Bearer) or `login` and `secret` (Basic).

    `account_id` (header `Lethe-Account`) picks one where a login exists in several accounts."""

    token: BearerToken | None = None
    login: Login | None = None
    secret: Secret | None = None
    account_id: Id | None = None
    source: SourceAddress


class Authenticated(msgspec.Struct, frozen=True, kw_only=True):
    """The request may go on as this user. `actor_token` is handed to the service where the data is, and good for 60 s."""

    actor_token: Credential
    expires_at: datetime
    account_id: Id
    user_id: Id
    """Of a customer: their person's id."""
    role: Role | Literal["customer"]
    scope: Scope
    by: Literal["session", "api token", "password", "portal session", "app"]
    session_id: Id | None = None
    api_token_id: Id | None = None
    comply_by: datetime | None = None
    """Until when the user has to switch the second factor on; None where they have, or need not."""


class LogIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Login and password, and at once the code where the second factor is on. `range_link` lets an owner in from outside of the
    account's IP ranges, once."""

    login: Login
    password: Password
    code: Code | None = None
    account_id: Id | None = None
    range_link: LinkToken | None = None
    source: SourceAddress


class CompleteLogin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code to a challenge that `log_in` gave; with the same `range_link`, if there was one."""

    challenge: Challenge
    code: Code
    range_link: LinkToken | None = None
    source: SourceAddress


class LoginAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`in`: there is a session. `second factor`: `complete_login` with the challenge and a code is to come. `enrolment`: the
    account requires the second factor and the time to comply is over, so `begin_second_factor` and `confirm_second_factor`
    with the challenge are to come."""

    status: Literal["in", "second factor", "enrolment"]
    account_id: Id
    user_id: Id | None = None
    role: Role | None = None
    session_token: Credential | None = None
    session_id: Id | None = None
    expires_at: datetime | None = None
    """The absolute end of the session."""
    challenge: Credential | None = None
    comply_by: datetime | None = None


class ChangePassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One's own, with the old one. All sessions end, this one too."""

    old_password: Password
    new_password: Password
    source: SourceAddress


class SetFirstPassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By the operator, for a user who has no password yet: the way into a stack without a mail server."""

    user: Who
    password: Password


class ListSessions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sessions that are good, newest first: one's own where `user` is left out, and those of users below oneself."""

    user: Who | None = None


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    session_id: Id
    user_id: Id
    began_at: datetime
    used_at: datetime
    """To the minute."""
    expires_at: datetime
    source: SourceAddress | Erased
    """Where the login came from."""


class SessionList(msgspec.Struct, frozen=True, kw_only=True):
    sessions: list[SessionView]


class EndSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One session: one's own (logging out), or one of a user below oneself."""

    session_id: Id


class EndSessions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All sessions of a user, one's own where `user` is left out, except `keep` (the present one)."""

    user: Who | None = None
    keep: Id | None = None


class SessionsEndedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    ended: int


class CreateApiToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token for programs that act as oneself. Its scope is no wider than that of the credential it is asked with."""

    name: ApiTokenName
    scope: Scope = "read"
    days: Annotated[int, msgspec.Meta(ge=1, le=366)] = 90


class ListApiTokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens that are good, newest first: one's own where `user` is left out, and those of users below oneself."""

    user: Who | None = None


class RevokeApiToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    api_token_id: Id


class ApiTokenView(msgspec.Struct, frozen=True, kw_only=True):
    api_token_id: Id
    user_id: Id
    name: ApiTokenName | Erased
    scope: Scope
    created_at: datetime
    expires_at: datetime
    used_on: datetime | None
    """The day of its last use (midnight, UTC)."""


class CreatedApiToken(msgspec.Struct, frozen=True, kw_only=True):
    token: Credential
    api_token: ApiTokenView


class ApiTokenList(msgspec.Struct, frozen=True, kw_only=True):
    api_tokens: list[ApiTokenView]


class ShowSecondFactor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One's own second factor."""


class SecondFactorView(msgspec.Struct, frozen=True, kw_only=True):
    is_on: bool
    on_since: datetime | None
    recovery_codes_left: int
    is_required: bool
    """By the account."""
    comply_by: datetime | None


class BeginSecondFactor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new seed, which counts once a code of it was confirmed. `challenge` takes the place of a session where a login waits
    for it (the gateway then calls as itself)."""

    challenge: Challenge | None = None


class SecondFactorBegun(msgspec.Struct, frozen=True, kw_only=True):
    """For the authenticator app: as text, and as a QR code."""

    uri: Credential
    """otpauth://totp/…"""
    qr_png: Annotated[bytes, InTransit(category="credential")]


class ConfirmSecondFactor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    code: Code
    challenge: Challenge | None = None
    source: SourceAddress


class SecondFactorOn(msgspec.Struct, frozen=True, kw_only=True):
    """The second factor is on, and all sessions have ended: the next login needs a code. Where a login waited for it, that is
    complete with this, and `login` has its session."""

    recovery_codes: list[Credential]
    login: LoginAnswer | None


class DisableSecondFactor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Refused where the account requires it, or the password is too short to stand alone."""

    code: Code


class RenewRecoveryCodes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ten new ones; the old ones are void."""

    code: Code


class RecoveryCodes(msgspec.Struct, frozen=True, kw_only=True):
    recovery_codes: list[Credential]


class ResetSecondFactor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Takes the second factor of a user away who has lost it, with their recovery codes."""

    user: Who


class RequireSecondFactor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An owner's choice for the whole account: within so many days, nobody gets in without."""

    required: bool
    days: Annotated[int, msgspec.Meta(ge=0, le=90)] = 14


class SecondFactorPolicy(msgspec.Struct, frozen=True, kw_only=True):
    required: bool
    comply_by: datetime | None
