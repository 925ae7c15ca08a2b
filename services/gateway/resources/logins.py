"""Logins: that the mailbox of one is somebody's own, and the way back in past IP ranges."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.answers import nothing_to_say
from services.gateway.openapi import NO_CONTENT, operation
from services.gateway.parameters import GatewayOf, Source, public_json_body
from services.gateway.requests import ForgottenPassword, MailedLink
from services.gateway.resources.sessions import REFUSED_LOGINS
from services.identity.commands import ConfirmLogin, Done, RequestRangeRecovery

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


@router.post(
    "/ip-range-recovery",
    **operation(
        status=202, takes=ForgottenPassword, example={"login": "olga@example.org"}, public=True, also=("too_many_tries",)
    ),
)
def request_range_recovery(
    gateway: GatewayOf, source: Source, asked: Annotated[ForgottenPassword, public_json_body(ForgottenPassword)]
) -> Response:
    """For an owner whose own address is not let in any more: mails a link with which `POST /v1/sessions` lets them in once, for
    an hour. The answer is the same where the login is no owner's, or nobody's."""
    command = RequestRangeRecovery(login=asked.login, account_id=asked.account_id, source=source)
    gateway.client.call("identity", "request_range_recovery", command, account=None, result_type=Done)
    return Response(status_code=202)
