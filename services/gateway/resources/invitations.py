"""Invitations: a one-time link by mail, with which somebody becomes a user."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.gateway.answers import NEXT_LINK, answered, nothing_to_say, page
from services.gateway.openapi import NO_CONTENT, operation
from services.gateway.parameters import (
    After,
    CallerOf,
    GatewayOf,
    IdempotencyKey,
    Limit,
    Source,
    id_in_path,
    json_body,
    public_json_body,
)
from services.gateway.requests import AcceptedInvitation
from services.gateway.resources.sessions import REFUSED_LOGINS
from services.identity.access_commands import LoginAnswer
from services.identity.commands import (
    AcceptInvitation,
    Done,
    InvitationList,
    InvitationView,
    InviteUser,
    ListInvitations,
    WithdrawInvitation,
)

router = APIRouter(tags=["invitations"], prefix="/invitations")


@router.get("", **operation(answer=InvitationList, headers=NEXT_LINK))
def list_invitations(request: Request, caller: CallerOf, after: After = None, limit: Limit = 100) -> Response:
    """A page of invitations that are open, oldest first."""
    asked = ListInvitations(after=after, limit=limit)
    return page(request, caller.query("identity", "list_invitations", asked, InvitationList))


@router.post(
    "",
    **operation(
        answer=InvitationView, status=201, takes=InviteUser, changes=True,
        example={"role": "agent", "login": "aron@example.org"},
    ),
)  # fmt: skip
def invite_user(
    caller: CallerOf, command: Annotated[InviteUser, json_body(InviteUser)], key: IdempotencyKey = None
) -> Response:
    """Mails somebody a link. Nobody grants more than they hold."""
    return answered(caller.change("identity", "invite_user", command, InvitationView, key), 201)


@router.delete("/{invitation_id}", **operation(status=NO_CONTENT, changes=True))
def withdraw_invitation(
    caller: CallerOf, invitation_id: Annotated[str, id_in_path("the invitation")], key: IdempotencyKey = None
) -> Response:
    """Makes an invitation's link void."""
    caller.change("identity", "withdraw_invitation", WithdrawInvitation(invitation_id=invitation_id), Done, key)
    return nothing_to_say()


@router.post(
    "/acceptance",
    **operation(
        answer=LoginAnswer, takes=AcceptedInvitation, public=True, changes=True, also=REFUSED_LOGINS,
        example={"link_token": "what the mailed link ends with", "name": "Aron Example", "password": "another long sentence"},
    ),
)  # fmt: skip
def accept_invitation(
    gateway: GatewayOf, source: Source, asked: Annotated[AcceptedInvitation, public_json_body(AcceptedInvitation)]
) -> Response:
    """Becomes a user with the link from the mail, and logs in."""
    command = AcceptInvitation(link_token=asked.link_token, name=asked.name, password=asked.password, source=source)
    return answered(gateway.client.call("identity", "accept_invitation", command, account=None, result_type=LoginAnswer))
