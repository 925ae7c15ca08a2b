"""The stage for the relay's fault tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from relay_stage import RelayStage

from tests.support.servers import Servers


@pytest.fixture
def stage(servers: Servers, tmp_path: Path) -> Iterator[RelayStage]:
    """One service's database, and an exchange, on the tests' servers."""
    made = RelayStage(servers.superuser, servers.amqp_url, tmp_path / "home")
    yield made
    made.close()
