"""The stage for the relay's fault tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from relay_stage import RelayStage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[RelayStage]:
    """One service's database and an exchange on the servers named by LETHE_TEST_SUPERUSER and
    LETHE_TEST_AMQP.
    """
    if "LETHE_TEST_SUPERUSER" not in os.environ:
        pytest.skip("LETHE_TEST_SUPERUSER and LETHE_TEST_AMQP name no servers")
    made = RelayStage(os.environ["LETHE_TEST_SUPERUSER"], os.environ["LETHE_TEST_AMQP"], tmp_path / "home")
    yield made
    made.close()
