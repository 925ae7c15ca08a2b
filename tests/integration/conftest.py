"""Databases of all services, without processes and broker, for the tests of races and reactions in this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from shared import clock
from shared.settings import Settings
from tests.support.cell import Cell
from tests.support.cheap_hashes import make_cheap
from tests.support.contacts import Contacts
from tests.support.databases import Template, fresh_home
from tests.support.gate import Gate, gate
from tests.support.portal import Portal


@pytest.fixture(scope="module")
def settings(
    superuser_url: str, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Databases of all services for the tests of one module; each begins with an account of its own."""
    with fresh_home(tmp_path_factory.mktemp("cell"), superuser_url, template=template) as made:
        yield made


@pytest.fixture
def real_hashes() -> None:
    """For a test in which the hashes of passwords have to be as dear as they are."""


@pytest.fixture
def hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheap ones, unless the test wants `real_hashes`: they were a fifth of what these tests cost."""
    if "real_hashes" not in request.fixturenames:
        make_cheap(monkeypatch.setattr)


@pytest.fixture
def cell(settings: Settings, hashes: None) -> Iterator[Cell]:
    """One replica of each service, with nothing in its memory."""
    made = Cell(settings)
    yield made
    made.close()


@pytest.fixture
def contacts(cell: Cell) -> Contacts:
    """The contacts of a fresh account."""
    return Contacts(cell)


@pytest.fixture
def turnstile() -> Iterator[Gate]:
    """Holds writers and cuts before their commits."""
    with gate() as made:
        yield made


@pytest.fixture
def portal(cell: Cell) -> Portal:
    """The portal of a fresh account."""
    return Portal(cell)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Stops the clock of all services, so that a slow machine lets no delay pass, and moves it on, or back."""
    at = clock.now()

    def move(by: timedelta) -> None:
        nonlocal at
        at += by

    monkeypatch.setattr(clock, "now", lambda: at)
    return move
