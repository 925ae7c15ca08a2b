"""The stage of the watch's tests, on the tests' own PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.watch.watch_stage import SERVICES, WatchStage
from tests.support.databases import Template, fresh_home


@pytest.fixture
def stage(superuser_url: str, template: Template, tmp_path: Path) -> Iterator[WatchStage]:
    """A stage with empty logs, for one test."""
    with fresh_home(tmp_path / "home", superuser_url, SERVICES, template) as settings:
        made = WatchStage(settings)
        yield made
        made.close()
