"""Health, for whoever watches the gateway: without a credential, and without a word about any account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.answers import answered
from services.gateway.openapi import operation
from services.gateway.parameters import GatewayOf
from shared.errors import Unavailable
from shared.personal import NotPersonal

router = APIRouter(tags=["health"])


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """This process answers."""

    live: bool = True


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The broker is reached, and every service answers with its database."""

    ready: bool
    services: Mapping[Annotated[str, NotPersonal("the name of a service")], bool]


@router.get("/health/live", **operation(answer=Live, public=True))
async def show_liveness() -> Response:
    """Whether this gateway runs. Asks nobody, and waits for no thread."""
    return answered(Live())


@router.get("/health", **operation(answer=Health, public=True))
def show_health(gateway: GatewayOf) -> Response:
    """Whether this gateway can do its work; 503 where a service does not answer, which `reason` names."""
    services = gateway.readiness.services()
    silent = sorted(service for service, answers in services.items() if not answers)
    if silent:
        raise Unavailable("A service does not answer.", reason=", ".join(silent))
    return answered(Health(ready=True, services=services))
