"""What an endpoint may ask for in its signature: the caller, ids, pages, headers, and a body that has been checked.

Each is checked before the endpoint runs, the caller first: nobody is told that a body is wrong before they are known. The
endpoints themselves run in threads, since calling a service waits for its answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Header, Path, Query, Request

from services.gateway.bodies import FORM, FORM_BYTES, JSON, JSON_BYTES, MAIL, decoded, decoded_form, read_body
from services.gateway.calling import ACCOUNT_HEADER, Caller, authenticate
from services.gateway.client_address import source_of
from services.gateway.limits import TokenBuckets
from services.gateway.openapi import methods_at
from services.gateway.problems import MethodNotAllowed, RateLimited
from services.gateway.readiness import Readiness
from services.gateway.settings import GatewaySettings
from shared.errors import InvalidArgument, PermissionRefused
from shared.rpc_client import RpcClient

UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_ID_EXAMPLE: Final = "5f0c7a8e-3a52-4b0e-9a43-5b8f0a3f8a11"


@dataclass(frozen=True)
class Gateway:
    """What the endpoints share: `app.state.gateway`."""

    settings: GatewaySettings = field(repr=False)
    client: RpcClient = field(repr=False)
    etag_key: bytes = field(repr=False)
    doors: TokenBuckets = field(repr=False)
    """Per source, for what asks for no credential."""
    sign_ups: TokenBuckets = field(repr=False)
    readiness: Readiness = field(repr=False)


def gateway_of(request: Request) -> Gateway:
    """The gateway that took a request."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def source_address(request: Request) -> str:
    """The address that a request came from, as `edge.py` found it."""
    source: str = request.state.source
    return source


def _authenticated(
    request: Request,
    account: Annotated[
        str | None,
        Header(alias=ACCOUNT_HEADER, description="The account's id, where the login exists in several.", pattern=UUID),
    ] = None,
) -> Caller:
    return authenticate(gateway_of(request).client, request.headers, source_address(request))


GatewayOf = Annotated[Gateway, Depends(gateway_of)]
Source = Annotated[str, Depends(source_address)]
CallerOf = Annotated[Caller, Depends(_authenticated)]

Limit = Annotated[int, Query(ge=1, le=500, description="The most that a page holds.")]
After = Annotated[
    str | None, Query(pattern=UUID, description="The `next_after` of the page before.", examples=[_ID_EXAMPLE])
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=200, pattern=r"^[!-~]+$", examples=["a-random-text"],
        description="Made up at random by the caller. A request that is sent again under it is done once.",
    ),
]  # fmt: skip
IfMatch = Annotated[
    str | None, Header(alias="If-Match", max_length=200, description="The ETag of what was seen, or `*`.", examples=["*"])
]


def id_in_path(what: str) -> Any:
    """A path parameter that is an opaque id."""
    return Path(pattern=UUID, description=f"The id of {what}.", examples=[_ID_EXAMPLE])


def json_body(kind: Any) -> Any:
    """A body in JSON, as a struct of this type; of a caller who is known."""

    async def read(request: Request, _caller: CallerOf) -> Any:
        return await _json(request, kind)

    return Depends(_named(read, kind))


def public_json_body(kind: Any) -> Any:
    """A body in JSON, as a struct of this type; of anybody."""

    async def read(request: Request) -> Any:
        _knock(request)
        return await _json(request, kind)

    return Depends(_named(read, kind))


def _knock(request: Request) -> None:
    """Raises `RateLimited` where a source knocks too often at what asks for no credential. Runs in the event loop, as the
    buckets want it."""
    wait_seconds = gateway_of(request).doors.take(source_of(ip_address(source_address(request))))
    if wait_seconds:
        raise RateLimited(retry_after_seconds=int(wait_seconds) + 1)


def public_form_body(kind: Any) -> Any:
    """A form, as a struct of this type; of anybody."""

    async def read(request: Request) -> Any:
        _knock(request)
        seconds = gateway_of(request).settings.body_seconds
        return decoded_form(await read_body(request, FORM, FORM_BYTES, seconds), kind)

    return Depends(_named(read, kind))


async def _mail(request: Request, caller: CallerOf) -> bytes:
    # Tickets decides who may; but who surely may not shall not have the gateway hold so much for nothing
    if caller.who.role not in ("owner", "admin", "agent") or caller.who.scope == "read":
        raise PermissionRefused()
    settings = gateway_of(request).settings
    return await read_body(request, MAIL, settings.mail_bytes, settings.body_seconds, is_known_caller=True)


MailBody = Annotated[bytes, Depends(_mail)]


@cache
def query_parameters(app: FastAPI) -> Mapping[str, frozenset[str]]:
    """The names of an operation's query parameters, from the description of the API."""
    operations = [operation for item in app.openapi()["paths"].values() for operation in item.values()]
    return {
        operation["operationId"]: frozenset(
            one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"
        )
        for operation in operations
    }


async def only_known_parameters(request: Request) -> None:
    """Refuses a query parameter that the operation does not have, or has once and is given twice. Never says its name.

    And a method that the path does not take: a word that stands in the description is no id of the operation beside it.
    """
    path = request.url.path
    if path in request.app.openapi()["paths"] and request.method not in (allowed := methods_at(request.app.openapi(), path)):
        raise MethodNotAllowed(allow=", ".join(allowed))
    known = query_parameters(request.app).get(request.scope["route"].name, frozenset())
    given = [name for name, _ in request.query_params.multi_items()]
    if not known.issuperset(given):
        raise InvalidArgument(field="query", rule="has only parameters that are known")
    if len(given) != len(set(given)):
        raise InvalidArgument(field="query", rule="has each parameter once")


async def _json(request: Request, kind: Any) -> Any:
    return decoded(await read_body(request, JSON, JSON_BYTES, gateway_of(request).settings.body_seconds), kind)


def _named(read: Callable[..., Awaitable[Any]], kind: Any) -> Callable[..., Awaitable[Any]]:
    read.__name__ = f"read_{kind.__name__}"
    return read
