"""Logins: that the mailbox of one is somebody's own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.answers import nothing_to_say
from services.gateway.openapi import NO_CONTENT, operation
from services.gateway.parameters import GatewayOf, Source, public_json_body
from services.gateway.requests import MailedLink
from services.gateway.resources.sessions import REFUSED_LOGINS
from services.identity.commands import ConfirmLogin, Done

router = APIRouter(tags=["logins"], prefix="/logins")


@router.post(
    "/confirmation",
    **operation(
        status=NO_CONTENT, takes=MailedLink, public=True, changes=True, also=REFUSED_LOGINS,
        example={"link_token": "what the mailed link ends with"},
    ),
)  # fmt: skip
def confirm_login(gateway: GatewayOf, source: Source, asked: Annotated[MailedLink, public_json_body(MailedLink)]) -> Response:
    """Shows by a mailed link that the mailbox of a login is one's own: from then on it leads to its account by itself."""
    command = ConfirmLogin(link_token=asked.link_token, source=source)
    gateway.client.call("identity", "confirm_login", command, account=None, result_type=Done)
    return nothing_to_say()
