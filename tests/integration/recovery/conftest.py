"""Databases that are copied and put back under a cell, without processes and broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import account_end
from shared.settings import Settings
from tests.support.databases import Template, fresh_home
from tests.support.putting_back import Desk, PuttingBack


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, hashes: None) -> None:
    """No relay runs here beside: what is not published when it is looked at is not while it is waited for."""
    monkeypatch.setattr(account_end, "PUBLISHED_SECONDS", 0.02)


@pytest.fixture
def home(superuser_url: str, template: Template, tmp_path: Path) -> Iterator[Settings]:
    with fresh_home(tmp_path / "home", superuser_url, template=template) as settings:
        yield settings


@pytest.fixture
def databases(home: Settings, superuser_url: str) -> Iterator[PuttingBack]:
    made = PuttingBack(home, superuser_url)
    yield made
    made.close()


@pytest.fixture
def desk(databases: PuttingBack) -> Iterator[Desk]:
    made = Desk(databases)
    yield made
    made.cell.close()
