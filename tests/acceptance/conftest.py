"""What the acceptance tests share: who calls the stack, and a desk from which somebody was erased."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.stack import Stack
from tests.support.crowd import Doors
from tests.support.desk import Callers, Desk
from tests.support.erased_person import ErasedPerson, erase_somebody


@pytest.fixture(scope="session")
def callers(stack: Stack) -> Iterator[Callers]:
    """Everybody who may call the services of the stack."""
    made = Callers(stack.home)
    yield made
    made.client.close()


@pytest.fixture(scope="session")
def erased(callers: Callers, tmp_path_factory: pytest.TempPathFactory) -> ErasedPerson:
    """A desk, and one of its people erased."""
    return erase_somebody(callers, tmp_path_factory.mktemp("erased"))


@pytest.fixture
def fresh_desk(callers: Callers) -> Desk:
    """An account of the test's own."""
    return Desk.open(callers)


@pytest.fixture(scope="session")
def doors(desk_stack: Stack) -> Doors:
    """The gateways of a stack with several replicas."""
    return Doors(desk_stack)


@pytest.fixture(scope="session")
def doors_callers(doors: Doors) -> Iterator[Callers]:
    """Everybody who may call the services behind those doors by RPC."""
    made = Callers(doors.stack.home)
    yield made
    made.client.close()
