"""How the gateway calls services: as the caller that identity vouches for, or as itself where nobody has logged in yet.

One call to identity a request turns the credential into an actor token; with that the one service is called where the data is,
which checks it, the role, the scope and the account by itself. The gateway decides nothing of that kind, and keeps no token.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
from starlette.datastructures import Headers

from services.gateway.problems import MalformedRequest
from services.identity.access_commands import Authenticate, Authenticated
from shared.errors import InvalidArgument, Unauthenticated
from shared.rpc_client import DEFAULT_TIMEOUT_SECONDS, Argument, RpcClient
from shared.validation import validate

T = TypeVar("T")
ACCOUNT_HEADER: Final = "Lethe-Account"


@dataclass(frozen=True)
class Caller:
    """Whoever sent a request, as identity knows them. `source`: the address that it came from."""

    client: RpcClient = field(repr=False)
    who: Authenticated = field(repr=False)
    source: str = field(repr=False)

    def query(
        self, service: str, method: str, argument: Argument, result_type: type[T],
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> T:  # fmt: skip
        """A call that only reads, so it is sent again if the broker goes away meanwhile."""
        return self.client.call(
            service, method, argument, account=self.who.account_id, token=self.who.actor_token, result_type=result_type,
            repeatable=True, timeout_seconds=timeout_seconds,
        )  # fmt: skip

    def change(
        self, service: str, method: str, argument: Argument, result_type: type[T], idempotency_key: str | None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> T:  # fmt: skip
        """A call that changes something: at most once, or once for a key."""
        return self.client.call(
            service, method, argument, account=self.who.account_id, token=self.who.actor_token, result_type=result_type,
            idempotency_key=idempotency_key, timeout_seconds=timeout_seconds,
        )  # fmt: skip


def authenticate(client: RpcClient, headers: Headers, source: str) -> Caller:
    """The caller of a request. Raises `Unauthenticated`, and what identity refuses: a delay, a second factor, a suspension."""
    who = client.call(
        "identity", "authenticate", credential_of(headers, source), account=None, repeatable=True, result_type=Authenticated
    )
    return Caller(client, who, source)


def credential_of(headers: Headers, source: str) -> Authenticate:
    """What a request shows: a session or an API token (Bearer), or a login with a password or an API token (Basic).

    Raises `Unauthenticated` for none or one that can't be any; `InvalidArgument` for an account that is no id.
    """
    shown = headers.getlist("authorization")
    if len(shown) > 1:
        raise MalformedRequest("There is more than one Authorization header.")
    if not shown:
        raise Unauthenticated("Show a session or an API token (Bearer), or a login with a password or an API token (Basic).")
    scheme, _, credential = shown[0].partition(" ")
    fields: dict[str, str | None] = {"account_id": headers.get(ACCOUNT_HEADER), "source": source}
    match scheme.lower():
        case "bearer":
            fields["token"] = credential.strip()
        case "basic":
            fields["login"], fields["secret"] = _login_and_secret(credential.strip())
        case _:
            raise Unauthenticated()
    try:
        return validate(Authenticate, fields)
    except InvalidArgument as error:
        if error.field == "account_id":
            raise InvalidArgument(field=ACCOUNT_HEADER, rule="an account's id") from None
        raise Unauthenticated() from None


def _login_and_secret(credential: str) -> tuple[str, str]:
    """RFC 7617 in UTF-8, as our challenge says: the login ends at the first colon."""
    try:
        login, colon, secret = base64.b64decode(credential, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Unauthenticated() from None
    if not colon:
        raise Unauthenticated()
    return login, secret


def encoded(value: msgspec.Struct) -> bytes:
    """An answer of a service as JSON."""
    return msgspec.json.encode(value)
