"""The stage for the relay's fault tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from relay_stage import RelayStage

from tests.support.kill_stage import Archive, KillStage
from tests.support.stacks import running_stack


@pytest.fixture
def stage(superuser_url: str, broker_url: str, tmp_path: Path) -> Iterator[RelayStage]:
    """One service's database, and an exchange, on the tests' servers."""
    made = RelayStage(superuser_url, broker_url, tmp_path / "home")
    yield made
    made.close()


@pytest.fixture(scope="session")
def killing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillStage]:
    """A stack of which any process may be killed, and an archive of 150 mails for it."""
    archive = Archive.generate(tmp_path_factory.mktemp("archive"), mails=150, people=14, seed=23)
    with running_stack() as stack:
        yield KillStage(stack, archive)
