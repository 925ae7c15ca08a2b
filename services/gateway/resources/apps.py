"""Apps that act for customers: OAuth 2 (authorization code with PKCE, public clients) as apps meet it, and what the account and
its customers decide about them.

The protocol itself is identity's; here its requests come in and its answers go out as they are.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.answers import answered, nothing_to_say
from services.gateway.bodies import FORM, JSON
from services.gateway.openapi import NO_CONTENT, operation
from services.gateway.parameters import CallerOf, GatewayOf, IdempotencyKey, id_in_path, json_body, public_form_body
from services.identity.commands import Done
from services.identity.portal_commands import (
    AnswerApp,
    AppAnswered,
    AppConsent,
    AppGrantList,
    AppList,
    AppRequest,
    AppView,
    EndOwnAppGrant,
    IssueAppTokens,
    OAuthAnswer,
    RegisterApp,
    RemoveApp,
    RevokeAppToken,
)

router = APIRouter(tags=["apps"])
AccountId = Annotated[str, id_in_path("the account whose portal it is")]
_APP: Final = "5f0c7a8e-3a52-4b0e-9a43-5b8f0a3f8a11"
_BACK: Final = "https://app.example/back"
_REQUEST: Final = {
    "response_type": "code", "client_id": _APP, "redirect_uri": _BACK, "scope": "read", "state": "the app's own",
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256",
}  # fmt: skip
_ERROR: Final = {
    "type": "object", "required": ["error"], "additionalProperties": False,
    "properties": {"error": {"type": "string", "description": "A name from RFC 6749, section 5.2."}},
}  # fmt: skip
_TOKENS: Final = {
    "type": "object",
    "properties": {
        "access_token": {"type": "string"}, "token_type": {"const": "Bearer"}, "expires_in": {"type": "integer"},
        "refresh_token": {"type": "string"}, "scope": {"type": "string"},
    },
}  # fmt: skip


def _endpoint(takes: Any, example: dict[str, str], answer: dict[str, Any]) -> dict[str, Any]:
    """What an endpoint of the protocol is: a form comes in, and errors have the protocol's form."""
    described = operation(
        answer=dict, takes=takes, public=True, media_type=FORM, also=("account_suspended",), example=example
    )
    described["responses"][200]["content"][JSON]["schema"] = answer
    described["responses"][400]["content"][JSON] = {"schema": _ERROR}
    return described


@router.post(
    "/accounts/{account_id}/portal/oauth/token",
    **_endpoint(
        IssueAppTokens,
        {
            "grant_type": "authorization_code", "client_id": _APP, "code": "what came back", "redirect_uri": _BACK,
            "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        },
        _TOKENS,
    ),
)  # fmt: skip
def issue_app_tokens(
    gateway: GatewayOf, account_id: AccountId, command: Annotated[IssueAppTokens, public_form_body(IssueAppTokens)]
) -> Response:
    """The token endpoint (RFC 6749): tokens for a code, or for a refresh token."""
    return _as_it_is(
        gateway.client.call("identity", "issue_app_tokens", command, account=account_id, result_type=OAuthAnswer)
    )


@router.post(
    "/accounts/{account_id}/portal/oauth/revoke",
    **_endpoint(RevokeAppToken, {"client_id": _APP, "token": "lethe_refresh_…"}, {"type": "object"}),
)
def revoke_app_token(
    gateway: GatewayOf, account_id: AccountId, command: Annotated[RevokeAppToken, public_form_body(RevokeAppToken)]
) -> Response:
    """The revocation endpoint (RFC 7009): an app gives back what it was granted."""
    return _as_it_is(
        gateway.client.call("identity", "revoke_app_token", command, account=account_id, result_type=OAuthAnswer)
    )


def _as_it_is(answer: OAuthAnswer) -> Response:
    return Response(answer.document, status_code=answer.status, media_type=JSON)


@router.post("/portal/authorizations/preview", **operation(answer=AppConsent, takes=AppRequest, changes=True, example=_REQUEST))
def show_app_request(caller: CallerOf, asked: Annotated[AppRequest, json_body(AppRequest)]) -> Response:
    """What an app asks the customer for: its name, and the scope. Nothing happens yet."""
    return answered(caller.query("identity", "show_app_request", asked, AppConsent))


@router.post(
    "/portal/authorizations",
    **operation(answer=AppAnswered, takes=AnswerApp, changes=True, example={"request": _REQUEST, "approve": True}),
)
def answer_app(
    caller: CallerOf, command: Annotated[AnswerApp, json_body(AnswerApp)], key: IdempotencyKey = None
) -> Response:
    """The customer's answer: where to send their browser, which is back to the app, with a code or an error."""
    return answered(caller.change("identity", "answer_app", command, AppAnswered, key))


@router.get("/portal/app-grants", **operation(answer=AppGrantList))
def list_own_app_grants(caller: CallerOf) -> Response:
    """What the customer lets which app do."""
    return answered(caller.query("identity", "list_own_app_grants", None, AppGrantList))


@router.delete("/portal/app-grants/{grant_id}", **operation(status=NO_CONTENT, changes=True))
def end_own_app_grant(
    caller: CallerOf, grant_id: Annotated[str, id_in_path("the grant")], key: IdempotencyKey = None
) -> Response:
    """Lets an app act for the customer no longer."""
    caller.change("identity", "end_own_app_grant", EndOwnAppGrant(grant_id=grant_id), Done, key)
    return nothing_to_say()


@router.get("/apps", **operation(answer=AppList))
def list_apps(caller: CallerOf) -> Response:
    """The apps that may ask the account's customers."""
    return answered(caller.query("identity", "list_apps", None, AppList))


@router.post(
    "/apps",
    **operation(
        answer=AppView, status=201, takes=RegisterApp, changes=True,
        example={"name": "The Kettle App", "redirect_uris": [_BACK]},
    ),
)  # fmt: skip
def register_app(
    caller: CallerOf, command: Annotated[RegisterApp, json_body(RegisterApp)], key: IdempotencyKey = None
) -> Response:
    """Registers an app: a public client, with the exact addresses that it may be answered at."""
    return answered(caller.change("identity", "register_app", command, AppView, key), 201)


@router.delete("/apps/{app_id}", **operation(status=NO_CONTENT, changes=True))
def remove_app(caller: CallerOf, app_id: Annotated[str, id_in_path("the app")], key: IdempotencyKey = None) -> Response:
    """Takes an app away, with all that customers granted it."""
    caller.change("identity", "remove_app", RemoveApp(app_id=app_id), Done, key)
    return nothing_to_say()
