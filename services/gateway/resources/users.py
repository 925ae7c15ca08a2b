"""Users: those who work for the account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.gateway.answers import (
    ETAG,
    LOCATION,
    NEXT_LINK,
    answered,
    check_match,
    etag,
    is_any,
    nothing_to_say,
    page,
    tagged,
)
from services.gateway.calling import Caller
from services.gateway.openapi import NO_CONTENT, operation
from services.gateway.parameters import (
    After,
    CallerOf,
    Gateway,
    GatewayOf,
    IdempotencyKey,
    IfMatch,
    Limit,
    Source,
    id_in_path,
    json_body,
)
from services.gateway.requests import EditedProfile, NewRole
from services.identity.access_commands import ResetSecondFactor
from services.identity.commands import (
    AddUser,
    ChangeProfile,
    ChangeRole,
    DeactivateUser,
    DeleteUser,
    Done,
    ListUsers,
    ReactivateUser,
    ShowUser,
    UserList,
    UserView,
)

router = APIRouter(tags=["users"], prefix="/users")
UserId = Annotated[str, id_in_path("the user")]
Removed = Annotated[bool, Query(description="Those as well who are not with the account any more.")]
_EDITS = ("precondition_failed", "precondition_required")


@router.get("", **operation(answer=UserList, headers=NEXT_LINK))
def list_users(
    request: Request, caller: CallerOf, include_removed: Removed = False, after: After = None, limit: Limit = 100
) -> Response:
    """A page of users in the order in which they were added."""
    asked = ListUsers(include_removed=include_removed, after=after, limit=limit)
    return page(request, caller.query("identity", "list_users", asked, UserList))


@router.post(
    "",
    **operation(
        answer=UserView, status=201, takes=AddUser, changes=True, headers=LOCATION | ETAG,
        example={"role": "agent", "name": "Aron Example", "login": "aron@example.org"},
    ),
)  # fmt: skip
def add_user(
    caller: CallerOf, gateway: GatewayOf, command: Annotated[AddUser, json_body(AddUser)], key: IdempotencyKey = None
) -> Response:
    """Adds a user, who has no password yet; `POST /v1/invitations` lets somebody choose theirs."""
    user = caller.change("identity", "add_user", command, UserView, key)
    return answered(user, 201, {"Location": f"/v1/users/{user.user_id}", "ETag": etag(gateway.etag_key, user)})


@router.get("/me", **operation(answer=UserView, headers=ETAG))
def show_oneself(caller: CallerOf, gateway: GatewayOf) -> Response:
    """The caller."""
    return tagged(gateway.etag_key, _user(caller, caller.who.user_id))


@router.get("/{user_id}", **operation(answer=UserView, headers=ETAG))
def show_user(caller: CallerOf, gateway: GatewayOf, user_id: UserId) -> Response:
    """One user."""
    return tagged(gateway.etag_key, _user(caller, user_id))


@router.patch(
    "/{user_id}",
    **operation(
        answer=UserView, takes=EditedProfile, example={"name": "Aron B. Example"}, changes=True, also=_EDITS, headers=ETAG
    ),
)
def change_profile(
    caller: CallerOf, gateway: GatewayOf, source: Source, user_id: UserId,
    asked: Annotated[EditedProfile, json_body(EditedProfile)], if_match: IfMatch = None, key: IdempotencyKey = None,
) -> Response:  # fmt: skip
    """Another name or login, of oneself or of a user below. A login of one's own needs the password, and counts once the link
    that is mailed to it was followed (`POST /v1/logins/confirmation`): until then the answer has the old one."""
    command = ChangeProfile(
        user=user_id, name=asked.name, login=asked.login, password=asked.password, source=source,
        expected_version=_version_seen(caller, gateway, user_id, if_match),
    )  # fmt: skip
    return tagged(gateway.etag_key, caller.change("identity", "change_profile", command, UserView, key))


@router.put(
    "/{user_id}/role",
    **operation(answer=UserView, takes=NewRole, example={"role": "admin"}, changes=True, also=_EDITS, headers=ETAG),
)
def change_role(
    caller: CallerOf, gateway: GatewayOf, user_id: UserId, asked: Annotated[NewRole, json_body(NewRole)],
    if_match: IfMatch = None, key: IdempotencyKey = None,
) -> Response:  # fmt: skip
    """Gives a user another role. Nobody grants more than they hold, and a last owner stays one."""
    seen = _version_seen(caller, gateway, user_id, if_match)
    command = ChangeRole(user=user_id, role=asked.role, expected_version=seen)
    return tagged(gateway.etag_key, caller.change("identity", "change_role", command, UserView, key))


@router.post("/{user_id}/deactivation", **operation(answer=UserView, changes=True, headers=ETAG))
def deactivate_user(caller: CallerOf, gateway: GatewayOf, user_id: UserId, key: IdempotencyKey = None) -> Response:
    """The user may do nothing until they are reactivated; their sessions and tokens end."""
    user = caller.change("identity", "deactivate_user", DeactivateUser(user=user_id), UserView, key)
    return tagged(gateway.etag_key, user)


@router.post("/{user_id}/reactivation", **operation(answer=UserView, changes=True, headers=ETAG))
def reactivate_user(caller: CallerOf, gateway: GatewayOf, user_id: UserId, key: IdempotencyKey = None) -> Response:
    """Lets a user in again who was deactivated."""
    user = caller.change("identity", "reactivate_user", ReactivateUser(user=user_id), UserView, key)
    return tagged(gateway.etag_key, user)


@router.post("/{user_id}/second-factor-reset", **operation(status=NO_CONTENT, changes=True))
def reset_second_factor(caller: CallerOf, user_id: UserId, key: IdempotencyKey = None) -> Response:
    """Takes the second factor of a user away who has lost it with the recovery codes. Nobody their own; an owner's by another
    owner. The user is logged out, and told by mail."""
    caller.change("identity", "reset_second_factor", ResetSecondFactor(user=user_id), Done, key)
    return nothing_to_say()


@router.delete("/{user_id}", **operation(status=NO_CONTENT, changes=True))
def delete_user(caller: CallerOf, user_id: UserId, key: IdempotencyKey = None) -> Response:
    """The user's profile goes for good; what they did then shows "former agent". A last owner can't be deleted."""
    caller.change("identity", "delete_user", DeleteUser(user=user_id), Done, key)
    return nothing_to_say()


def _user(caller: Caller, user_id: str) -> UserView:
    return caller.query("identity", "show_user", ShowUser(user=user_id), UserView)


def _version_seen(caller: Caller, gateway: Gateway, user_id: str, if_match: str | None) -> int | None:
    """The version that the edit is based on; None for whichever there is. Raises as `check_match`."""
    if is_any(if_match):
        return None
    present = _user(caller, user_id)
    check_match(gateway.etag_key, str(if_match), present)
    return present.version
