"""One stack with two gateways for the tests of this folder; each test opens an account of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.stack import Stack
from shared.settings import SERVICES
from tests.support.gateway import LOG_TOKEN, Api, api
from tests.support.stacks import LIMITS, running_stack


@pytest.fixture(scope="session")
def desk_stack() -> Iterator[Stack]:
    """Every service, and two gateways side by side, with limits that these tests do not meet."""
    with pytest.MonkeyPatch.context() as patch:
        for name in LIMITS:
            patch.setenv(f"LETHE_GATEWAY_{name}", "100000")
        patch.setenv("LETHE_GATEWAY_HEAD_SECONDS", "2")
        patch.setenv("LETHE_GATEWAY_LOG_TOKENS", hashlib.sha256(LOG_TOKEN.encode()).hexdigest())
        with running_stack(dict.fromkeys(SERVICES, 1) | {"gateway": 2}) as made:
            yield made


@pytest.fixture(scope="session")
def gateway(desk_stack: Stack) -> dict[str, Any]:
    """What `status` says of the gateways."""
    found: dict[str, Any] = desk_stack.status()["gateway"]
    return found


@pytest.fixture(scope="session")
def desk(gateway: dict[str, Any]) -> Iterator[Api]:
    """A caller of the first gateway."""
    with api(gateway["urls"][0], gateway["certificate"]) as made:
        yield made


@pytest.fixture(scope="session")
def other_desk(gateway: dict[str, Any]) -> Iterator[Api]:
    """A caller of the second."""
    with api(gateway["urls"][1], gateway["certificate"]) as made:
        yield made
