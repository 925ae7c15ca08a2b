"""Callers of the two gateways of a stack; each test opens an account of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deploy.stack import Stack
from tests.support.gateway import Api, api


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
