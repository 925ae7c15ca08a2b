"""What identity can be asked by and for customers in the portal: validated arguments and the answers.

Methods that nobody has signed in for yet are called by the gateway, with the account that the portal is of. Credentials and
source addresses pass in sealed RPC bodies only, and are kept as hashes or sealed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from services.identity.access_commands import Credential
from services.identity.commands import LinkToken, Password, SourceAddress
from services.identity.portal_events import GrantScope, SignInBy
from shared.events import ServiceName
from shared.ids import Id
from shared.person_reads import PurposeName
from shared.personal import Erased, InTransit, NotPersonal
from shared.read_records import MethodName

TypedAddress = Annotated[str, msgspec.Meta(min_length=3, max_length=320), InTransit(category="e-mail")]
SearchName = Annotated[str, msgspec.Meta(min_length=1, max_length=200), InTransit(category="content")]
SearchWords = Annotated[str, msgspec.Meta(min_length=1, max_length=500), InTransit(category="content")]
AppName = Annotated[str, msgspec.Meta(min_length=1, max_length=200), InTransit(category="content")]
RedirectUri = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000), InTransit(category="content")]
Parameter = Annotated[str, msgspec.Meta(max_length=2_000), InTransit(category="credential")]
"""A parameter of OAuth 2 as it came: it is checked by the protocol, which has errors of its own."""
ToldReader = Literal["owner", "admin", "agent", "user", "vendor staff"]
"""In which role somebody read. *user*: one whose role is not known any more."""
READ_PLACES = 2**52
"""So many places there are in what a person is told: a page begins after one of them. JSON has no exact numbers beyond 2⁵³."""
ReadPlace = Annotated[int, msgspec.Meta(ge=0, lt=READ_PLACES)]


class AskSignInLink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mails a one-time link to whose address it is, if it is a customer's. The answer is the same if not."""

    address: TypedAddress


class SignInByLink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The token of a link that was mailed. It is good once, for fifteen minutes."""

    link_token: LinkToken
    source: SourceAddress


class SignInByPassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address and the password that its customer has set."""

    address: TypedAddress
    password: Password
    source: SourceAddress


class PortalSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """A session of a customer. Its token is shown here and kept nowhere."""

    session_token: Credential
    session_id: Id
    person_id: Id
    expires_at: datetime
    """The absolute end of the session."""


class SetPortalPassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A first password, or another one: then with the old one, or with the token of a fresh link. All sessions end."""

    new_password: Password
    old_password: Password | None = None
    link_token: LinkToken | None = None


class ToldReadQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of who saw what of the customer who asks, from after the place that the page before ended with."""

    after: ReadPlace | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class ToldReadsOfPerson(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same of any person, for their right of access."""

    person_id: Id
    after: ReadPlace | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class ToldRead(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody was shown something of the person: when, in which role, and for which purpose. `reader` tells one reader
    from another and is no id; `index` is the place of the record in the service's log."""

    at: datetime
    by: ToldReader
    reader: Annotated[str, NotPersonal("keyed, for this person alone")]
    purpose: PurposeName
    service: ServiceName
    method: MethodName
    index: int


class ToldReadPage(msgspec.Struct, frozen=True, kw_only=True):
    reads: list[ToldRead]
    next_after: ReadPlace | None


class PortalSessionView(msgspec.Struct, frozen=True, kw_only=True):
    session_id: Id
    by: SignInBy
    began_at: datetime
    used_at: datetime
    """To the minute."""
    expires_at: datetime
    source: SourceAddress | Erased


class PortalSessionList(msgspec.Struct, frozen=True, kw_only=True):
    sessions: list[PortalSessionView]


class EndOwnSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    session_id: Id


class EndOwnSessions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of one's own, except `keep` (the present one)."""

    keep: Id | None = None


class AddSavedSearch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Words that a customer looks for again and again, under a name of theirs."""

    name: SearchName
    words: SearchWords


class SavedSearchView(msgspec.Struct, frozen=True, kw_only=True):
    search_id: Id
    name: SearchName | Erased
    words: SearchWords | Erased
    added_at: datetime


class SavedSearchList(msgspec.Struct, frozen=True, kw_only=True):
    searches: list[SavedSearchView]


class RemoveSavedSearch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    search_id: Id


class RegisterApp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public client (it keeps no secret), with the exact addresses that it may be answered at."""

    name: AppName
    redirect_uris: Annotated[list[RedirectUri], msgspec.Meta(min_length=1, max_length=10)]


class AppView(msgspec.Struct, frozen=True, kw_only=True):
    app_id: Id
    """The `client_id` of OAuth 2."""
    name: AppName | Erased
    redirect_uris: list[RedirectUri] | Erased
    added_at: datetime


class AppList(msgspec.Struct, frozen=True, kw_only=True):
    apps: list[AppView]


class RemoveApp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    app_id: Id


class AppRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an app asks a customer for: the parameters of the authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3)."""

    response_type: Parameter
    client_id: Parameter
    redirect_uri: Parameter
    code_challenge: Parameter
    code_challenge_method: Parameter
    scope: Parameter | None = None
    state: Parameter | None = None


class AppConsent(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask the customer. Nothing has happened yet."""

    app_id: Id
    name: AppName
    scope: GrantScope


class AnswerApp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The customer's answer to it."""

    request: AppRequest
    approve: bool


class AppAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send the customer's browser: back to the app, with a code or an error."""

    redirect_to: Annotated[str, InTransit(category="credential")]


class IssueAppTokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request to the token endpoint (RFC 6749 §4.1.3 and §6), as the app sent it."""

    grant_type: Parameter | None = None
    client_id: Parameter | None = None
    code: Parameter | None = None
    redirect_uri: Parameter | None = None
    code_verifier: Parameter | None = None
    refresh_token: Parameter | None = None
    scope: Parameter | None = None


class RevokeAppToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request to the revocation endpoint (RFC 7009), as the app sent it."""

    token: Parameter | None = None
    token_type_hint: Parameter | None = None
    client_id: Parameter | None = None


class OAuthAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the endpoint answers, for the gateway to hand over: an HTTP status and a JSON document."""

    status: int
    document: Annotated[str, InTransit(category="credential")]


class AppGrantView(msgspec.Struct, frozen=True, kw_only=True):
    grant_id: Id
    app_id: Id
    app_name: AppName | Erased
    scope: GrantScope
    granted_at: datetime


class AppGrantList(msgspec.Struct, frozen=True, kw_only=True):
    grants: list[AppGrantView]


class EndOwnAppGrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    grant_id: Id


class ShowCustomer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person has in the portal, for their right of access (GDPR Art. 15, 20)."""

    person_id: Id


class CustomerView(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, but for credentials, which nobody can show. Empty for a person who never signed in."""

    since: datetime | None
    signed_in_at: datetime | None
    sessions: list[PortalSessionView]
    saved_searches: list[SavedSearchView]
    app_grants: list[AppGrantView]
