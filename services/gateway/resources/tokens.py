"""API tokens: for programs that act as a user."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.answers import answered, nothing_to_say
from services.gateway.openapi import NO_CONTENT, operation
from services.gateway.parameters import CallerOf, IdempotencyKey, id_in_path, json_body
from services.gateway.resources.sessions import OfUser
from services.identity.access_commands import (
    ApiTokenList,
    CreateApiToken,
    CreatedApiToken,
    ListApiTokens,
    RevokeApiToken,
)
from services.identity.commands import Done

router = APIRouter(tags=["tokens"], prefix="/tokens")


@router.get("", **operation(answer=ApiTokenList))
def list_tokens(caller: CallerOf, user_id: OfUser = None) -> Response:
    """Tokens that are good, newest first."""
    return answered(caller.query("identity", "list_api_tokens", ListApiTokens(user=user_id), ApiTokenList))


@router.post(
    "",
    **operation(
        answer=CreatedApiToken, status=201, takes=CreateApiToken, changes=True,
        example={"name": "nightly report", "scope": "read", "days": 90},
    ),
)  # fmt: skip
def create_token(
    caller: CallerOf, command: Annotated[CreateApiToken, json_body(CreateApiToken)], key: IdempotencyKey = None
) -> Response:
    """Creates a token whose scope is no wider than the caller's own. It is shown here only."""
    return answered(caller.change("identity", "create_api_token", command, CreatedApiToken, key), 201)


@router.delete("/{api_token_id}", **operation(status=NO_CONTENT, changes=True))
def revoke_token(
    caller: CallerOf, api_token_id: Annotated[str, id_in_path("the token")], key: IdempotencyKey = None
) -> Response:
    """Revokes a token: the next request with it is refused."""
    caller.change("identity", "revoke_api_token", RevokeApiToken(api_token_id=api_token_id), Done, key)
    return nothing_to_say()
