"""The tampering test (mission A2): whatever is done to a log is found by who kept a checkpoint outside, and named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from audit import event_checks
from audit.checkpoints import take_checkpoints, write_checkpoints
from audit.verify import verify
from cli.exit_status import DONE, TAMPERED
from tests.integration.audit.audit_stage import AuditStage
from tests.integration.audit.manipulations import MANIPULATIONS, SIZE
from tests.integration.audit.test_audit_commands import run

PATIENCE_SECONDS = 0.2
"""No relay runs here: what is not signed is not while it is waited for. The command waits as long as it always does."""


@pytest.fixture
def kept(logged: AuditStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoints of the whole log, as an auditor keeps them; `lethe` finds the stage."""
    monkeypatch.setenv("LETHE_HOME", str(logged.home))
    path = tmp_path / "kept.json"
    path.write_bytes(write_checkpoints(take_checkpoints(logged.settings, ["contacts"])))
    return path


def test_untouched_log_passes(logged: AuditStage, kept: Path) -> None:
    """The log to which nothing was done is whole: a verification that cried wolf would find everything."""
    status, output = run("verify", "--service", "contacts", "--checkpoint", str(kept))
    assert status == DONE and "Whole: every event is as it was signed." in output
    assert verify(logged.settings, "contacts", logged.note()).checked == SIZE


class NoneIsPlain:
    """What stands for the compiled loop where nothing was compiled: every row goes the exact way."""

    def __init__(self, *_: object) -> None:
        pass

    def take(self, *_: object) -> int:
        return 0


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_manipulation_is_found_and_named(
    name: str, logged: AuditStage, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every manipulation ends with 5, and a finding names the service, the kind, and the index where there is one. The exact
    way and the compiled one come to the same verdict."""
    note = logged.note()
    manipulation = MANIPULATIONS[name]
    manipulation.do(logged)
    verdict = verify(logged.settings, "contacts", note, patience_seconds=PATIENCE_SECONDS)
    with monkeypatch.context() as patched:
        patched.setattr(event_checks, "PlainRows", NoneIsPlain)
        assert verdict == verify(logged.settings, "contacts", note, patience_seconds=PATIENCE_SECONDS)
    assert verdict.service == "contacts"
    assert (manipulation.kind, manipulation.index) in [(one.kind, one.index) for one in verdict.findings]
    status, output = run("verify", "--service", "contacts", "--checkpoint", str(kept))
    assert status == TAMPERED and "NOT WHOLE: contacts." in output
    rows = [[cell.strip() for cell in line.split("│")[1:4]] for line in output.splitlines() if line.startswith("│")]
    assert ["contacts", manipulation.kind, "" if manipulation.index is None else str(manipulation.index)] in rows


def test_every_act_is_done_to_every_part() -> None:
    """The matrix is full: each part of a log is flipped, deleted from, inserted into, swapped and truncated."""
    done = Counter((part, act.split()[0]) for part, _, act in (name.partition(": ") for name in MANIPULATIONS))
    for part in ("rows", "sealed parts", "tiles", "checkpoints"):
        for act in ("flip", "delete", "insert", "swap", "truncate"):
            assert done[part, act], (part, act)
    assert {"change", "drop", "insert", "truncate"} == {act for part, act in done if part == "all"}
