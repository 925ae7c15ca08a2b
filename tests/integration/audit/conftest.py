"""Stages for the auditor's tests, on the tests' own PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.export import export
from shared.settings import Settings
from tests.integration.audit.audit_stage import AuditStage
from tests.integration.audit.audit_story import Story


@pytest.fixture
def stage(superuser_url: str, tmp_path: Path) -> Iterator[AuditStage]:
    """A stage of the test's own, with empty logs."""
    made = AuditStage(superuser_url, tmp_path / "home")
    yield made
    made.close()


@pytest.fixture(scope="module")
def _logged(superuser_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditStage]:
    made = AuditStage(superuser_url, tmp_path_factory.mktemp("audit") / "home")
    made.add_persons(100)
    made.index()
    made.keep()
    yield made
    made.close()


@pytest.fixture
def logged(_logged: AuditStage) -> Iterator[AuditStage]:
    """A stage with a whole log of 300 events in contacts, which is whole again after the test."""
    yield _logged
    _logged.restore()


@pytest.fixture(scope="module")
def long_log(superuser_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditStage]:
    """A log of 2,100 events in contacts, for one module."""
    made = AuditStage(superuser_url, tmp_path_factory.mktemp("audit") / "home")
    for _ in range(7):
        made.add_persons(100)
    made.index()
    yield made
    made.close()


@pytest.fixture(scope="module")
def folder(story: Story, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The logs of the story that a module tells, exported."""
    folder = tmp_path_factory.mktemp("exported") / "folder"
    export(settings, folder)
    return folder
