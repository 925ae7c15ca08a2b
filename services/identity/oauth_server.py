"""The protocol between apps and customers: Authlib's grants (RFC 6749, 7636, 7009) over the rows of `app_grants.py`.

Public clients with PKCE by S256, and nothing else. Each request is one unit of work, and errors of the protocol are answers,
not exceptions, so that what an error changes (a grant that ends) is committed with it. No HTTP here: the gateway carries it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from authlib.oauth2.rfc6749 import (
    AuthorizationCodeMixin,
    AuthorizationServer,
    ClientMixin,
    InvalidRequestError,
    OAuth2Error,
    OAuth2Request,
    TokenMixin,
)
from authlib.oauth2.rfc6749 import grants as rfc6749
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge

from services.identity import session
from services.identity.app import ACCESS_LIFE, App, granted_scope
from services.identity.app_grants import AppGrants, Code, IssuedTokens, Token
from services.identity.portal_commands import AppRequest, IssueAppTokens, OAuthAnswer, RevokeAppToken
from services.identity.portal_events import GrantScope

logging.getLogger("authlib").setLevel(logging.WARNING)  # it would tell tokens to whoever turns its debugging on

_SCOPES: dict[GrantScope, str] = {"read": "read", "write": "read write"}
"""What we grant, as OAuth 2 writes it."""


class Answered(NamedTuple):
    """An answer to an authorization request: where to send the customer, or the name of the error if nowhere."""

    redirect_to: str | None
    error: str


class OAuthServer:
    """Answers one request."""

    def __init__(self, grants: AppGrants) -> None:
        self._server = _Server(grants)

    def consent(self, request: AppRequest, person_id: str) -> App | str:
        """The app that asks, if its request is good; the name of the error if not."""
        if not _is_well_formed(request):
            return "invalid_request"
        try:
            grant = self._server.get_consent_grant(_http("GET", request), person_id)
        except OAuth2Error as error:
            return str(error.error)
        app: App = grant.request.client.app
        return app

    def authorize(self, request: AppRequest, person_id: str | None) -> Answered:
        """The customer's answer: yes (by whom) or no."""
        if not _is_well_formed(request):
            return Answered(None, "invalid_request")
        made = _http("POST", request)
        try:
            grant = self._server.get_authorization_grant(made)
            answer: _Response = self._server.create_authorization_response(made, person_id, grant)
        except OAuth2Error as error:
            error.state = request.state
            answer = self._server.handle_error_response(made, error)
        if answer.location is not None:
            return Answered(answer.location, "")
        return Answered(None, answer.error)

    def token(self, command: IssueAppTokens) -> OAuthAnswer:
        """The token endpoint."""
        if not _is_well_formed(command):
            return self.refusal("invalid_request")
        answer: _Response = self._server.create_token_response(_http("POST", command))
        return answer.as_document()

    def revoke(self, command: RevokeAppToken) -> OAuthAnswer:
        """The revocation endpoint."""
        if not _is_well_formed(command):
            return self.refusal("invalid_request")
        answer: _Response = self._server.create_endpoint_response(_Revocation.ENDPOINT_NAME, _http("POST", command))
        return answer.as_document()

    @staticmethod
    def refusal(error: str) -> OAuthAnswer:
        """An error of the protocol."""
        return OAuthAnswer(status=400, document=json.dumps({"error": error}))


class _Response(NamedTuple):
    status: int
    body: Mapping[str, Any]
    location: str | None

    @property
    def error(self) -> str:
        return str(self.body.get("error", "invalid_request"))

    def as_document(self) -> OAuthAnswer:
        """Without Authlib's descriptions of errors: some repeat what was sent."""
        body = {"error": self.error} if "error" in self.body else dict(self.body)
        return OAuthAnswer(status=self.status, document=json.dumps(body))


class _Request(OAuth2Request):  # type: ignore[misc]
    """A request that came by RPC, with the parameters that were given."""

    def __init__(self, method: str, parameters: Mapping[str, str]) -> None:
        super().__init__(method, "https://portal.invalid/oauth")
        self._parameters = dict(parameters)
        self.payload = BasicOAuth2Payload(self._parameters)

    @property
    def args(self) -> dict[str, str]:
        return self._parameters

    @property
    def form(self) -> dict[str, str]:
        return self._parameters


_TEXT = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
_STATE = re.compile(r"[\x20-\x7e]*")


def _is_well_formed(command: msgspec.Struct) -> bool:
    """Whether the parameters are of the letters that OAuth 2 allows (RFC 6749, appendix A)."""
    given = {name: getattr(command, name) for name in command.__struct_fields__}
    return all(
        (_STATE if name == "state" else _TEXT).fullmatch(value) for name, value in given.items() if value is not None
    )


def _http(method: str, command: msgspec.Struct) -> _Request:
    """As Authlib takes a request. A parameter without a value is one that was left out (RFC 6749 §3.1)."""
    given = {name: getattr(command, name) for name in command.__struct_fields__}
    return _Request(method, {name: value for name, value in given.items() if value})


class _Client(ClientMixin):  # type: ignore[misc]
    """An app as a public client."""

    def __init__(self, app: App) -> None:
        self.app = app

    def get_client_id(self) -> str:
        return self.app.app_id

    def get_default_redirect_uri(self) -> str:
        return ""  # always said

    def get_allowed_scope(self, scope: str | None) -> str | None:
        granted = granted_scope(scope)
        return None if granted is None else _SCOPES[granted]

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.app.redirect_uris  # to the letter

    def check_client_secret(self, client_secret: str) -> bool:
        return False  # it has none

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "none"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")


class _Code(AuthorizationCodeMixin):  # type: ignore[misc]
    def __init__(self, code: Code, app: App) -> None:
        self.code = code
        self.code_challenge = code.challenge
        self.code_challenge_method = "S256"
        self._redirect_uri = app.redirect_uris[code.redirect_place]

    def get_redirect_uri(self) -> str:
        return self._redirect_uri

    def get_scope(self) -> str:
        return _SCOPES[self.code.scope]


class _Token(TokenMixin):  # type: ignore[misc]
    def __init__(self, token: Token) -> None:
        self.token = token

    def check_client(self, client: _Client) -> bool:
        return self.token.app_id == client.app.app_id

    def get_scope(self) -> str:
        return _SCOPES[self.token.scope]


class _ByS256(CodeChallenge):  # type: ignore[misc]
    """PKCE is asked for at both ends, and by S256 only."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if not data.get("code_challenge") or data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE by S256 is required.")
        super().validate_code_challenge(grant, redirect_uri)


class _CodeGrant(rfc6749.AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

    def generate_authorization_code(self) -> str:
        return session.new_token("")

    def save_authorization_code(self, code: str, request: Any) -> None:
        app: App = request.client.app
        scope = granted_scope(request.scope)
        assert scope is not None, "checked with the request"
        self.server.grants.add_code(
            code, app.app_id, request.user, scope, app.redirect_uris.index(request.payload.redirect_uri),
            request.payload.data["code_challenge"],
        )  # fmt: skip

    def query_authorization_code(self, code: str, client: _Client) -> _Code | None:
        found = self.server.grants.hold_code(code, client.app.app_id)
        return None if found is None else _Code(found, client.app)

    def authenticate_user(self, authorization_code: _Code) -> str:
        return authorization_code.code.person_id

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        """Kept until it is over, so that a second use is seen: `save_token` has marked it as used."""


class _RefreshGrant(rfc6749.RefreshTokenGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> _Token | None:
        found = self.server.grants.hold_refresh(refresh_token, self.request.client.app.app_id)
        return None if found is None else _Token(found)

    def authenticate_user(self, refresh_token: _Token) -> str:
        return refresh_token.token.person_id

    def issue_token(self, user: str, refresh_token: _Token) -> Any:
        """With the scope of the grant: a narrower one would not come back with the next token."""
        return self.generate_token(user=user, scope=refresh_token.get_scope(), include_refresh_token=True)

    def revoke_old_credential(self, refresh_token: _Token) -> None:
        """`save_token` has marked it as exchanged."""


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = ("none",)

    def query_token(self, token_string: str, token_type_hint: str | None) -> _Token | None:
        found = self.server.grants.token(token_string)
        return None if found is None else _Token(found)

    def revoke_token(self, token: _Token, request: Any) -> None:
        self.server.grants.end(token.token.grant_id, "by the app")


class _Server(AuthorizationServer):  # type: ignore[misc]
    def __init__(self, grants: AppGrants) -> None:
        super().__init__(scopes_supported=("read", "write"))
        self.grants = grants
        self._tokens = grants.new_tokens()
        self.register_grant(_CodeGrant, [_ByS256(required=True)])
        self.register_grant(_RefreshGrant)
        self.register_endpoint(_Revocation)
        self.register_token_generator("default", BearerTokenGenerator(self._access, self._refresh, self._seconds))

    def _access(self, **_: Any) -> str:
        return self._tokens.access

    def _refresh(self, **_: Any) -> str:
        return self._tokens.refresh

    def _seconds(self, client: object, grant_type: str) -> int:
        return int(ACCESS_LIFE.total_seconds())

    def query_client(self, client_id: str) -> _Client | None:
        app = self.grants.app(client_id)
        return None if app is None else _Client(app)

    def save_token(self, token: Mapping[str, Any], request: Any) -> None:
        """Keeps the tokens with what they came of: a code, which becomes a grant, or the token before, which is exchanged."""
        tokens = IssuedTokens(token["access_token"], token["refresh_token"])
        if request.payload.grant_type == "refresh_token":
            before: Token = request.refresh_token.token
            self.grants.mark_exchanged(before)
            self.grants.keep(tokens, before.grant_id, before.app_id, before.person_id, before.scope)
            return
        code: Code = request.authorization_code.code
        grant_id = self.grants.begin(code.app_id, code.person_id, code.scope)
        self.grants.mark_used(code, grant_id)
        self.grants.keep(tokens, grant_id, code.app_id, code.person_id, code.scope)

    def create_oauth2_request(self, request: _Request) -> _Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> _Response:
        location = dict(headers).get("Location")
        return _Response(status, body if isinstance(body, Mapping) else {}, location)

    def send_signal(self, name: str, *_: Any, **__: Any) -> None:
        """Nobody listens."""


