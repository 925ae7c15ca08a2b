"""Databases of identity and contacts, without processes and broker; an account of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import Settings
from tests.support.access import Access, MovableClock
from tests.support.databases import fresh_home, server, superuser


@pytest.fixture(scope="package")
def access_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The databases of the tests in this folder."""
    folder: Path = tmp_path_factory.mktemp("access")
    with server(folder / "server") as admin_url, fresh_home(folder / "home", admin_url, ("identity", "contacts")) as made:
        yield made


@pytest.fixture
def access(access_settings: Settings, hashes: None) -> Iterator[Access]:
    """A new account, and one replica of identity. No source has failed before."""
    connection = superuser(access_settings, "identity")
    connection.cursor().execute("TRUNCATE lethe.login_delay")
    connection.close()
    made = Access(access_settings)
    yield made
    made.store.database.close()
    made.contacts.database.close()


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> MovableClock:
    """The time as identity sees it, to be moved ahead and back."""
    return MovableClock(monkeypatch)
