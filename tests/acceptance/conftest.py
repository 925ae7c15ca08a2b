"""What the acceptance tests share: who calls the stack, and a desk from which somebody was erased."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.stack import Stack
from shared.settings import SERVICES
from tests.support.crowd import Doors
from tests.support.desk import Callers, Desk
from tests.support.erased_person import ErasedPerson, erase_somebody
from tests.support.stacks import LIMITS, running_stack


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
def doors() -> Iterator[Doors]:
    """A stack with two gateways and three replicas each of identity and tickets, with limits of the gateways that nobody meets.
    Its services may be stopped, by a test that starts them again."""
    with pytest.MonkeyPatch.context() as patch:
        for name in LIMITS:
            patch.setenv(f"LETHE_GATEWAY_{name}", "100000")
        with running_stack(dict.fromkeys(SERVICES, 1) | {"identity": 3, "tickets": 3, "gateway": 2}) as made:
            yield Doors(made)


@pytest.fixture(scope="session")
def doors_callers(doors: Doors) -> Iterator[Callers]:
    """Everybody who may call the services behind those doors by RPC."""
    made = Callers(doors.stack.home)
    yield made
    made.client.close()
