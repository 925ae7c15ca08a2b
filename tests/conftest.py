"""What all tests have: the real servers, fresh databases on them, and a whole stack. Each is made when the first test asks.

`servers` are PostgreSQL and RabbitMQ alone; `stack` is a whole one, shared by the tests of a run, so each begins with an
account of its own; `new_stack` makes stacks that a test may break.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.stack import Stack
from shared.settings import Settings
from tests.support.databases import fresh_home
from tests.support.servers import Servers, by_tcp
from tests.support.stacks import LIMITS, running_stack

SHARED_STACKS = ("doors", "desk_stack")
"""Fixtures that are stacks with several gateways."""
FOLDERS = {"faults": pytest.mark.fault, "acceptance": pytest.mark.acceptance}


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the groups by their folders; and which tests one process runs: those of a file, and those that share a stack of a
    kind, since each process that needs one starts its own."""
    shared: dict[Path, str] = {}
    for item in items:
        for stack in SHARED_STACKS:
            if stack in getattr(item, "fixturenames", ()):
                shared[item.path] = stack
    for item in items:
        for folder in FOLDERS.keys() & set(item.path.parts):
            item.add_marker(FOLDERS[folder])
        item.add_marker(pytest.mark.xdist_group(shared.get(item.path, str(item.path))))


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers without any service or relay: those that LETHE_TEST_SUPERUSER and LETHE_TEST_AMQP name, or private ones."""
    if {"LETHE_TEST_SUPERUSER", "LETHE_TEST_AMQP"} <= os.environ.keys():
        yield Servers(os.environ["LETHE_TEST_SUPERUSER"], os.environ["LETHE_TEST_AMQP"])
        return
    with running_stack({}) as stack:
        status = stack.status()
        yield Servers(by_tcp(status["admin_url"]), status["amqp_url"])


@pytest.fixture
def fresh_databases(servers: Servers, tmp_path: Path) -> Iterator[Settings]:
    """A home with keys and an empty database for every service, for one test; `LETHE_HOME` names it."""
    with fresh_home(tmp_path / "home", servers.superuser) as settings:
        yield settings


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A whole stack: every service, relay and gateway is up. For tests that break nothing, and meet no limit of the edge."""
    with pytest.MonkeyPatch.context() as patch:
        for name in LIMITS:
            patch.setenv(f"LETHE_GATEWAY_{name}", "100000")
        with running_stack() as made:
            yield made


@pytest.fixture
def new_stack() -> Iterator[Callable[..., Stack]]:
    """`new_stack(replicas=None, up=True)` makes a stack that the test may break; it is destroyed after the test."""
    with ExitStack() as made:

        def make(replicas: dict[str, int] | None = None, up: bool = True) -> Stack:
            return made.enter_context(running_stack(replicas, up))

        yield make
