"""Passwords: changed with the old one, or chosen anew with a link from a mail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.answers import nothing_to_say
from services.gateway.openapi import NO_CONTENT, operation
from services.gateway.parameters import CallerOf, GatewayOf, IdempotencyKey, Source, json_body, public_json_body
from services.gateway.requests import ChosenPassword, ForgottenPassword, NewPassword
from services.gateway.resources.sessions import REFUSED_LOGINS
from services.identity.access_commands import ChangePassword
from services.identity.commands import Done, RequestPasswordReset, ResetPassword

router = APIRouter(tags=["passwords"], prefix="/password")


@router.put(
    "",
    **operation(
        status=NO_CONTENT, takes=NewPassword, changes=True,
        example={"old_password": "a long sentence of your own", "new_password": "another long sentence"},
    ),
)  # fmt: skip
def change_password(
    caller: CallerOf, source: Source, asked: Annotated[NewPassword, json_body(NewPassword)], key: IdempotencyKey = None
) -> Response:
    """Changes one's own password. All sessions end, this one too."""
    command = ChangePassword(old_password=asked.old_password, new_password=asked.new_password, source=source)
    caller.change("identity", "change_password", command, Done, key)
    return nothing_to_say()


@router.post(
    "/reset-requests",
    **operation(
        status=202, takes=ForgottenPassword, example={"login": "olga@example.org"}, public=True, also=("too_many_tries",)
    ),
)
def request_password_reset(
    gateway: GatewayOf, source: Source, asked: Annotated[ForgottenPassword, public_json_body(ForgottenPassword)]
) -> Response:
    """Mails a link to the user of this login, if there is one. The answer is the same if there is none."""
    command = RequestPasswordReset(login=asked.login, account_id=asked.account_id, source=source)
    gateway.client.call("identity", "request_password_reset", command, account=None, result_type=Done)
    return Response(status_code=202)


@router.post(
    "/resets",
    **operation(
        status=NO_CONTENT, takes=ChosenPassword, public=True, changes=True, also=REFUSED_LOGINS,
        example={"link_token": "what the mailed link ends with", "password": "another long sentence"},
    ),
)  # fmt: skip
def reset_password(
    gateway: GatewayOf, source: Source, asked: Annotated[ChosenPassword, public_json_body(ChosenPassword)]
) -> Response:
    """Chooses a new password with the link from the mail. All sessions end; the second factor stays."""
    command = ResetPassword(link_token=asked.link_token, password=asked.password, source=source)
    gateway.client.call("identity", "reset_password", command, account=None, result_type=Done)
    return nothing_to_say()
