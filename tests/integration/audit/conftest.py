"""Stages for the auditor's tests, on the server that LETHE_TEST_SUPERUSER names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.audit.audit_stage import AuditStage


def _superuser() -> str:
    if "LETHE_TEST_SUPERUSER" not in os.environ:
        pytest.skip("LETHE_TEST_SUPERUSER names no server")
    return os.environ["LETHE_TEST_SUPERUSER"]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[AuditStage]:
    """A stage of the test's own, with empty logs."""
    made = AuditStage(_superuser(), tmp_path / "home")
    yield made
    made.close()


@pytest.fixture(scope="module")
def _logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditStage]:
    made = AuditStage(_superuser(), tmp_path_factory.mktemp("audit") / "home")
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
