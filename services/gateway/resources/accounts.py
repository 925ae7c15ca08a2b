"""Accounts: opened by whoever signs up, where the operator lets them; the caller's own, and from where its users are let in."""

from __future__ import annotations

import hashlib
from ipaddress import ip_address
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Header, Request
from starlette.responses import Response

from services.gateway.answers import LOCATION, answered
from services.gateway.client_address import source_of
from services.gateway.openapi import operation
from services.gateway.parameters import (
    CallerOf,
    Gateway,
    GatewayOf,
    IdempotencyKey,
    Source,
    gateway_of,
    json_body,
    public_json_body,
    source_address,
)
from services.gateway.problems import RateLimited
from services.gateway.requests import AllowedRanges, OpenAccountWithOwner
from services.identity.access_commands import RequireSecondFactor, SecondFactorPolicy
from services.identity.commands import AddFirstOwner, IpRanges, SetIpRanges, UserView
from services.lifecycle.commands import AccountView, OpenAccount
from shared.errors import InvalidArgument, PermissionRefused

router = APIRouter(tags=["accounts"])
_EXAMPLE = {
    "name": "Example Ltd",
    "owner": {"name": "Olga Example", "login": "olga@example.org", "password": "a long sentence of your own"},
}


class OpenedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account and its first owner."""

    account: AccountView
    owner: UserView


async def _may_sign_up(request: Request) -> None:
    """Runs in the event loop, as the buckets want it."""
    gateway = gateway_of(request)
    if not gateway.settings.sign_up_open:
        raise PermissionRefused("Accounts are opened by the operator here.")
    wait_seconds = gateway.sign_ups.take(source_of(ip_address(source_address(request))))
    if wait_seconds:
        raise RateLimited(retry_after_seconds=int(wait_seconds) + 1)


RequiredKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=200, pattern=r"^[!-~]+$", examples=["a-random-text"],
        description="Made up at random by the caller, and kept secret until the account is there. Sent again, under the same"
        " key, the request completes what was begun.",
    ),
]  # fmt: skip


@router.post(
    "/accounts", dependencies=[Depends(_may_sign_up)],
    **operation(
        answer=OpenedAccount, status=201, takes=OpenAccountWithOwner, example=_EXAMPLE, public=True, changes=True,
        also=("permission_refused",), headers=LOCATION,
    ),
)  # fmt: skip
def open_account(
    gateway: GatewayOf, command: Annotated[OpenAccountWithOwner, public_json_body(OpenAccountWithOwner)], key: RequiredKey
) -> Response:
    """Opens an account with its first owner, who can log in at once."""
    of_both = _sign_up_key(gateway, key, command)
    account = gateway.client.call(
        "lifecycle", "open_account", OpenAccount(name=command.name, plan="trial"), account=None, idempotency_key=of_both,
        result_type=AccountView,
    )  # fmt: skip
    owner = AddFirstOwner(name=command.owner.name, login=command.owner.login, password=command.owner.password)
    try:
        added = gateway.client.call(
            "identity", "add_first_owner", owner, account=account.account_id, idempotency_key=of_both, result_type=UserView
        )
    except InvalidArgument as error:
        raise InvalidArgument(field=f"owner.{error.field}", rule=error.rule) from None
    return answered(OpenedAccount(account=account, owner=added), 201, {"Location": "/v1/account"})


@router.get("/account", **operation(answer=AccountView))
def show_account(caller: CallerOf) -> Response:
    """The caller's account."""
    return answered(caller.query("lifecycle", "show_account", None, AccountView))


@router.get("/account/ip-ranges", **operation(answer=IpRanges))
def show_ip_ranges(caller: CallerOf) -> Response:
    """From where users of the account are let in; from anywhere where the list is empty."""
    return answered(caller.query("identity", "show_ip_ranges", None, IpRanges))


@router.put(
    "/account/ip-ranges",
    **operation(answer=IpRanges, takes=AllowedRanges, example={"ranges": ["203.0.113.0/24", "2001:db8::/32"]}, changes=True),
)
def set_ip_ranges(
    caller: CallerOf, source: Source, asked: Annotated[AllowedRanges, json_body(AllowedRanges)], key: IdempotencyKey = None
) -> Response:
    """Sets them. The address that the request comes from must be inside: nobody locks themselves out."""
    command = SetIpRanges(ranges=asked.ranges, source=source)
    return answered(caller.change("identity", "set_ip_ranges", command, IpRanges, key))


@router.put(
    "/account/second-factor-policy",
    **operation(answer=SecondFactorPolicy, takes=RequireSecondFactor, example={"required": True, "days": 14}, changes=True),
)
def require_second_factor(
    caller: CallerOf, command: Annotated[RequireSecondFactor, json_body(RequireSecondFactor)], key: IdempotencyKey = None
) -> Response:
    """An owner's choice for the whole account: within so many days nobody gets in without the second factor."""
    return answered(caller.change("identity", "require_second_factor", command, SecondFactorPolicy, key))


def _sign_up_key(gateway: Gateway, key: str, command: OpenAccountWithOwner) -> str:
    """The key of both steps. The keys of all who sign up lie in one room, so each is bound to the login that it came with: who
    has made up the same key as somebody else does not meet them."""
    said = f"sign-up\n{key}\n{command.owner.login.casefold()}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(said, key=gateway.etag_key, digest_size=32).hexdigest()
