"""Builds the application: the resources under /v1, problems for every error, the description, and the edge around it all.

Connects to nothing; `main.py` runs what is built here.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

import anyio.to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from services.gateway.edge import Edge
from services.gateway.limits import TokenBuckets
from services.gateway.openapi import describe, methods_at
from services.gateway.parameters import Gateway, only_known_parameters
from services.gateway.problems import MalformedRequest, MethodNotAllowed, problem_response
from services.gateway.readiness import Readiness
from services.gateway.resources import (
    accounts,
    apps,
    attachments,
    contacts,
    documentation,
    erasure_requests,
    health,
    holds,
    invitations,
    logins,
    logs,
    messages,
    passwords,
    portal,
    searches,
    second_factor,
    sessions,
    tickets,
    tokens,
    users,
)
from services.gateway.settings import GatewaySettings
from shared.errors import InternalError, InvalidArgument, LetheError, NotFound
from shared.rpc_client import RpcClient

RESOURCES: Final = (
    accounts, sessions, second_factor, passwords, logins, users, invitations, tokens, tickets, messages, attachments, searches,
    contacts, erasure_requests, holds, portal, apps, health, documentation,
)  # fmt: skip
THREADS: Final = 100
"""Requests at work at once in one process: each waits for the answer of a service."""
CORS_HEADERS: Final = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Lethe-Account")

_RULES: Final = {
    "missing": "is required",
    "string_pattern_mismatch": "has the form that is asked for",
    "string_too_short": "is longer",
    "string_too_long": "is shorter",
    "int_parsing": "is an integer",
    "greater_than_equal": "is larger",
    "less_than_equal": "is smaller",
    "bool_parsing": "is true or false",
    "literal_error": "is one of the values that are allowed",
}
"""pydantic's kind of error → the rule that was broken. Its own texts may hold what was sent."""


def build(settings: GatewaySettings, client: RpcClient, etag_secret: bytes) -> Edge:
    """The application of one gateway. `etag_secret` is the same in all gateways of a cell."""
    app = FastAPI(
        title="Lethe", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=_lifespan,
        generate_unique_id_function=lambda route: route.name, dependencies=[Depends(only_known_parameters)],
    )  # fmt: skip
    app.state.gateway = Gateway(
        settings=settings,
        client=client,
        etag_key=hashlib.blake2b(b"etag", key=etag_secret, digest_size=32).digest(),
        doors=TokenBuckets(settings.door_rate, settings.door_burst),
        sign_ups=TokenBuckets(settings.sign_ups_per_hour / 3600, settings.sign_ups_per_hour),
        readiness=Readiness(client),
    )
    for resource in RESOURCES:
        app.include_router(resource.router, prefix="/v1")
    app.include_router(logs.router)  # as C2SP's tlog-tiles lays it out, so neither under /v1 nor in its description
    description = _description()
    app.openapi = lambda: description  # type: ignore[method-assign]
    _handle_errors(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.cors_origins), allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=list(CORS_HEADERS), expose_headers=["ETag", "Link", "Location", "Retry-After"], max_age=600,
        )  # fmt: skip
    return Edge(app, settings)


@cache
def _description() -> dict[str, Any]:
    """The same for every application of this process. It takes half a second, so it is made before the first request."""
    described = FastAPI(generate_unique_id_function=lambda route: route.name)
    for resource in RESOURCES:
        described.include_router(resource.router, prefix="/v1")
    return describe(described.routes)


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _handle_errors(app: FastAPI) -> None:
    """What FastAPI and Starlette say by themselves is said as a problem as well. What is unforeseen goes on to the edge."""

    def as_problem(request: Request, error: Exception) -> Response:
        typed = _typed(error)
        if isinstance(typed, MethodNotAllowed):
            allowed = methods_at(app.openapi(), request.url.path)
            typed = MethodNotAllowed(allow=", ".join(allowed) or _allowed_by_route(error))
        return problem_response(typed, request.state.request_id)

    for kind in (LetheError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, as_problem)


def _allowed_by_route(error: Exception) -> str:
    """The methods of a route that is not in the description."""
    headers = getattr(error, "headers", None) or {}
    return ", ".join(sorted(headers.get("Allow", "GET").replace(" ", "").split(",")))


def _typed(error: Exception) -> LetheError:
    if isinstance(error, LetheError):
        return error
    if isinstance(error, RequestValidationError):
        return _of_validation(error.errors()[0])
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return NotFound("There is nothing at this address.")
    if status == 405:
        return MethodNotAllowed()
    return MalformedRequest() if 400 <= status < 500 else InternalError()


def _of_validation(first: dict[str, Any]) -> InvalidArgument:
    """The parameter's name is ours; its value and pydantic's text are not said."""
    return InvalidArgument(field=str(first["loc"][-1]), rule=_RULES.get(str(first["type"]), "is valid"))
