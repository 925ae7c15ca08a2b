"""What all tests have: the real servers, fresh databases on them, and a whole stack. Each is made when the first test asks.

`superuser_url` and `broker_url` are of a PostgreSQL and a RabbitMQ alone; `stack` is a whole one, shared by the tests of a run,
so each begins with an account of its own; `new_stack` makes stacks that a test may break.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from deploy.stack import Stack
from shared.settings import SERVICES, Settings
from tests.support.databases import Template, by_tcp, fresh_home, server, template_of
from tests.support.gateway import LOG_TOKEN
from tests.support.private_broker import private_broker
from tests.support.stacks import LIMITS, CheapStack, running_stack, temporary_home

SHARED_STACKS = {
    "tests/integration/gateway/": "doors",
    "tests/integration/messaging/": "broker",
    **{
        f"tests/acceptance/test_{name}.py": stack
        for stack, names in {
            "doors": (
                "doors_of_an_account", "logins_tell_and_cost_little", "no_code_comes_back", "one_effect",
                "reads_are_recorded", "suspension_ends_everything_at_once",
            ),
            "whole 1": ("access_matrix", "api_matrix", "auditor_without_a_network", "main_job", "staff_access_page"),
            "whole 2": (
                "api_page", "api_schema", "malformed_arguments", "no_trace_to_a_user", "nothing_opens_after_an_erasure",
                "nothing_readable_at_rest", "nothing_resurrects", "two_accounts_never_meet",
            ),
        }.items()
        for name in names
    },
}  # fmt: skip
"""What shares a stack or a broker, by the beginning of its place. Those of a whole one are enough for two processes."""
hypothesis.settings.register_profile("lethe", deadline=None)  # how long an example takes is for the benchmarks
hypothesis.settings.load_profile("lethe")
FOLDERS = {"faults": pytest.mark.fault, "acceptance": pytest.mark.acceptance}
ORDER = ("unit", "contract", "integration", "audit", "gateway", "messaging", "acceptance", "stack", "faults")
"""Folders from the last to the first, in which a file takes longest. What is short is for the process that is done early."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the groups by their folders, and orders them."""
    for item in items:
        for folder in FOLDERS.keys() & set(item.path.parts):
            item.add_marker(FOLDERS[folder])
    items.sort(key=_place, reverse=True)


def _place(item: pytest.Item) -> int:
    folders = item.path.relative_to(Path(__file__).parent).parts
    return 0 if folders[0] == "unit" else max((ORDER.index(folder) for folder in folders if folder in ORDER), default=0)


class ByStack(LoadScopeScheduling):  # type: ignore[misc]
    """Gives one process the tests of a file, and those that share a stack: each process that needs one starts its own."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((stack for place, stack in SHARED_STACKS.items() if file.startswith(place)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByStack:
    """Asked where tests run in several processes (`-n`)."""
    return ByStack(config, log)


@pytest.fixture(scope="session")
def superuser_url() -> Iterator[str]:
    """The URL of the superuser of a PostgreSQL for tests: the one that LETHE_TEST_SUPERUSER names, or a private one."""
    if given := os.environ.get("LETHE_TEST_SUPERUSER"):
        yield given
        return
    with temporary_home() as home, server(home) as url:
        yield by_tcp(url)


@pytest.fixture(scope="session")
def broker_url() -> Iterator[str]:
    """The URL of a vhost of a RabbitMQ for tests: the one that LETHE_TEST_AMQP names, or a private one's."""
    if given := os.environ.get("LETHE_TEST_AMQP"):
        yield given
        return
    with temporary_home() as home, private_broker(home) as node:
        yield node.url


@pytest.fixture(scope="session")
def template(superuser_url: str) -> Iterator[Template]:
    """Databases with the newest schema on that server, for `fresh_home` to copy."""
    with template_of(superuser_url) as made:
        yield made


@pytest.fixture
def fresh_databases(superuser_url: str, template: Template, tmp_path: Path) -> Iterator[Settings]:
    """A home with keys and an empty database for every service, for one test; `LETHE_HOME` names it."""
    with fresh_home(tmp_path / "home", superuser_url, template=template) as settings:
        yield settings


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A whole stack: every service, relay and gateway is up. For tests that break nothing, and meet no limit of the edge; its
    hashes of passwords are cheap ones."""
    with _without_limits(), running_stack(kind=CheapStack) as made:
        yield made


@pytest.fixture(scope="session")
def desk_stack() -> Iterator[Stack]:
    """A stack with two gateways and three replicas each of identity and tickets. Its services may be stopped, by a test that
    starts them again."""
    with _without_limits() as patch:
        patch.setenv("LETHE_PAST_DUE_DAYS", "0")  # an account whose billing fails is suspended at the next look
        patch.setenv("LETHE_GATEWAY_LOG_TOKENS", hashlib.sha256(LOG_TOKEN.encode()).hexdigest())
        with running_stack(dict.fromkeys(SERVICES, 1) | {"identity": 3, "tickets": 3, "gateway": 2}) as made:
            patch.delenv("LETHE_PAST_DUE_DAYS")  # the stack has it; other tests run services in this process
            yield made


@contextmanager
def _without_limits() -> Iterator[pytest.MonkeyPatch]:
    """Gateways that are started in the block have limits that nobody meets."""
    with pytest.MonkeyPatch.context() as patch:
        for name in LIMITS:
            patch.setenv(f"LETHE_GATEWAY_{name}", "100000")
        yield patch


@pytest.fixture
def new_stack() -> Iterator[Callable[..., Stack]]:
    """`new_stack(replicas=None, up=True)` makes a stack that the test may break; it is destroyed after the test."""
    with ExitStack() as made:

        def make(replicas: dict[str, int] | None = None, up: bool = True) -> Stack:
            return made.enter_context(running_stack(replicas, up))

        yield make
