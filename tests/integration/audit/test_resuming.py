"""A verification that is interrupted goes on where it stood; one that begins at a kept checkpoint reads what came after it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import audit.verify as verification
from audit.checkpoints import take_checkpoints, write_checkpoints
from audit.findings import Verdict
from audit.verification_state import LogState, read_state
from audit.verify import verify
from cli import audit_commands
from cli.exit_status import DONE, INTERRUPTED, TAMPERED, WRONG_USAGE
from shared.checkpoint import parse_checkpoint
from shared.errors import InvalidArgument
from shared.put_back import LOST_PLACES
from tests.integration.audit.audit_stage import AuditStage
from tests.integration.audit.manipulations import MANIPULATIONS
from tests.integration.audit.test_audit_commands import run
from tests.support.long_log import fill

SIZE = 7_500


@pytest.fixture(scope="module")
def _long(superuser_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditStage]:
    made = AuditStage(superuser_url, tmp_path_factory.mktemp("long") / "home")
    fill(made, SIZE, versions=4, part_bytes=32)
    made.keep()
    yield made
    made.close()


@pytest.fixture
def long(_long: AuditStage) -> Iterator[AuditStage]:
    """A log of 7,500 events, whole again after the test."""
    yield _long
    _long.restore()


@pytest.fixture
def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Its one element counts the rows that verifications got from the database."""
    count = [0]
    read_rows = verification.read_rows

    def counting(connection: Any, handle: Callable[[Any], object], *args: Any, **named: Any) -> None:
        def counted(rows: Any) -> None:
            count[0] += len(rows)
            handle(rows)

        read_rows(connection, counted, *args, **named)

    monkeypatch.setattr(verification, "read_rows", counting)
    return count


def interrupt_at(index: int) -> Callable[[str, int, int], None]:
    def progress(step: str, done: int, of: int) -> None:
        if done >= index:
            raise KeyboardInterrupt

    return progress


def interrupted(stage: AuditStage, index: int, kept: bytes | None = None) -> LogState:
    """The state that a verification leaves which is interrupted at an index."""
    states: list[LogState] = []
    with pytest.raises(KeyboardInterrupt):
        verify(stage.settings, "contacts", kept, interrupt_at(index), save=states.append)
    return states[-1]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_what_is_read_after_resuming_is_the_rest(long: AuditStage, rows_read: list[int], share: float) -> None:
    """After an interruption the rest is read, and at most 5 % of the log more; the verdict is that of one run."""
    state = interrupted(long, int(share * SIZE), long.note())
    rest = SIZE - state.position
    assert share * SIZE <= state.position < SIZE
    rows_read[0] = 0
    verdict = verify(long.settings, "contacts", long.note(), state=state)
    assert rest <= rows_read[0] <= rest + 0.05 * SIZE
    whole = verify(long.settings, "contacts", long.note())
    assert verdict.good and (verdict.checked, verdict.size, verdict.resumed_at) == (whole.checked, SIZE, state.position)


def test_state_is_kept_on_the_way(long: AuditStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed loses what came after the last state it kept: states come at every step, whole."""
    monkeypatch.setattr(verification, "FEWEST_EVENTS_IN_A_STEP", 256)
    states: list[LogState] = []
    verify(long.settings, "contacts", save=states.append)
    positions = [state.position for state in states]
    assert len(positions) >= 10 and all(b - a <= 512 for a, b in zip([0, *positions], [*positions, SIZE], strict=False))
    for state in states[::5]:
        assert verify(long.settings, "contacts", state=state).good


def test_findings_survive_an_interruption(long: AuditStage) -> None:
    """What was found before the interruption, and what is found of both sides of it together, is said after it, once."""
    long.as_attacker(  # one pair on one side, one across
        "CREATE TEMP TABLE pair AS SELECT * FROM lethe.log WHERE index IN (20, 200, 1000, 7000);"
        " DELETE FROM lethe.log WHERE index IN (20, 200, 1000, 7000);"
        " INSERT INTO lethe.log SELECT CASE WHEN index < 1000 THEN 220 ELSE 8000 END - index, sequence, leaf, term, indexed_at"
        " FROM pair"
    )
    long.as_attacker("UPDATE lethe.event SET version = 91 WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 30)")
    state = interrupted(long, SIZE // 2, b"no checkpoint\n")
    resumed = verify(long.settings, "contacts", b"no checkpoint\n", state=state)
    assert verify(long.settings, "contacts", b"no checkpoint\n").findings == resumed.findings
    assert {("swapped", 20), ("swapped", 1000), ("changed", 30), ("forked", None)} <= places(resumed)


def test_streams_and_prunes_reach_over_an_interruption(stage: AuditStage) -> None:
    """A prune before the interruption is explained, or not, by what comes after it; a stream's versions go on."""
    fill(stage, 1_024, versions=5, part_bytes=32)
    stage.as_attacker(
        "UPDATE lethe.event SET sealed[1] = NULL WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 31)"
    )
    state = interrupted(stage, 512)
    assert state.position == 512 and 512 % 5  # in the middle of a stream
    verdict = verify(stage.settings, "contacts", state=state)
    assert places(verdict) == {("unexplained prune", 31)}


def test_log_that_was_rewritten_in_between_is_forked(long: AuditStage) -> None:
    """Who rewrites the part that was read, and signs it anew, is found by the checkpoint under which it was read."""
    state = interrupted(long, SIZE // 2)
    MANIPULATIONS["all: change an event"].do(long)
    assert verify(long.settings, "contacts").good
    resumed = verify(long.settings, "contacts", state=state)
    assert "forked" in {one.kind for one in resumed.findings}


def test_log_that_went_on_in_between_is_whole(stage: AuditStage) -> None:
    """A log that grew while the verification stood still is verified to its new end."""
    stage.add_persons(130)
    stage.index()
    state = interrupted(stage, 200)
    stage.add_persons(100)
    stage.index()
    verdict = verify(stage.settings, "contacts", state=state)
    assert verdict.good and (state.position, verdict.size, verdict.checked) == (256, 690, 690)


def test_ctrl_c_leaves_a_file_to_go_on_from(
    long: AuditStage, rows_read: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`audit verify --resume FILE` that gets SIGINT ends with 130 and leaves the file; once more, it goes on and removes it."""
    monkeypatch.setenv("LETHE_HOME", str(long.home))
    file = tmp_path / "state"
    signal_at(5_120, monkeypatch)
    command = ("verify", "--service", "contacts", "--resume", str(file))
    assert run(*command)[0] == INTERRUPTED
    assert file.stat().st_mode & 0o777 == 0o600 and file.exists()
    rows_read[0] = 0
    assert run("verify", "--resume", str(file), "--since-checkpoint", str(kept_file(long, tmp_path)))[0] == WRONG_USAGE
    status, output = run(*command)
    assert status == DONE and "Whole" in output
    assert rows_read[0] <= SIZE - 5_120 + 0.05 * SIZE
    assert not file.exists()


def test_after_a_recovery_a_verification_begins_anew(
    long: AuditStage, rows_read: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that it had looked at may be lost since, in any of the logs."""
    monkeypatch.setenv("LETHE_HOME", str(long.home))
    file, lost = tmp_path / "state", long.tiles("tickets") / LOST_PLACES
    command = ("verify", "--service", "contacts", "--resume", str(file))
    signal_at(5_120, monkeypatch)
    assert run(*command)[0] == INTERRUPTED
    rows_read[0] = 0
    lost.parent.mkdir(exist_ok=True)
    lost.write_text("[[3, 5]]")
    try:
        status, output = run(*command)
    finally:
        lost.unlink()
    assert status == DONE and "Whole" in output
    assert rows_read[0] >= SIZE


def signal_at(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends this process SIGINT once, when so many events of a log are verified."""
    plain, asked = audit_commands.shown_progress, []

    @contextmanager
    def signalling(service: str) -> Iterator[Callable[[str, int, int], None]]:
        with plain(service) as report:

            def report_and_signal(step: str, done: int, of: int) -> None:
                report(step, done, of)
                if done == place and not asked:
                    asked.append(done)
                    os.kill(os.getpid(), signal.SIGINT)

            yield report_and_signal

    monkeypatch.setattr(audit_commands, "shown_progress", signalling)


def test_state_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A file that no verification left is refused, not taken for a beginning."""
    file = tmp_path / "state"
    file.write_bytes(b"something else")
    with pytest.raises(InvalidArgument):
        read_state(file, None, False)


def test_only_what_came_after_the_kept_checkpoint_is_read(stage: AuditStage, rows_read: list[int]) -> None:
    """With `since`, the events before the kept checkpoint are not read; those after it are, and the tree must extend it."""
    stage.add_persons(110)
    kept = stage.index()
    stage.add_persons(200)
    stage.index()
    verdict = verify(stage.settings, "contacts", kept, since=True)
    assert verdict.good and (verdict.since, verdict.kept_size, verdict.size) == (330, 330, 930)
    assert verdict.checked == rows_read[0] == 600


@pytest.mark.parametrize(("before", "after"), [(1, 100), (2, 1), (128, 1), (86, 86), (128, 0)])
def test_since_begins_anywhere(stage: AuditStage, before: int, after: int) -> None:
    """The kept checkpoint may be of a part of a bundle, of full ones, or the newest of all."""
    stage.open_tickets(before)
    kept = stage.index("tickets")
    if after:
        stage.open_tickets(after)
        stage.index("tickets")
    verdict = verify(stage.settings, "tickets", kept, since=True)
    assert verdict.good and (2 * before, 2 * after) == (verdict.since, verdict.checked)


def test_since_finds_what_came_after_and_that_history_was_rewritten(long: AuditStage, stage: AuditStage) -> None:
    """With `since`, a change after the kept checkpoint is named; a rewritten history is forked, also before it."""
    stage.add_persons(100)
    kept = stage.index()
    stage.add_persons(100)
    stage.index()
    stage.as_attacker(
        "UPDATE lethe.event SET version = 9 WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 450)"
    )
    stage.as_attacker(
        "UPDATE lethe.event SET version = 9 WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 20)"
    )
    assert places(verify(stage.settings, "contacts", kept, since=True)) == {("changed", 450)}
    MANIPULATIONS["all: change an event"].do(stage)
    assert ("forked", None) in places(verify(stage.settings, "contacts", kept, since=True))


def test_since_says_on_the_screen_what_it_does_not_show(
    long: AuditStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict does not say whole where only a part was looked at, and a change before it is not found: as it says."""
    monkeypatch.setenv("LETHE_HOME", str(long.home))
    kept = str(kept_file(long, tmp_path))
    long.as_attacker("UPDATE lethe.event SET version = 9 WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 60)")
    status, output = run("verify", "--service", "contacts", "--since-checkpoint", kept)
    assert status == DONE and "What was before was not looked at." in output and "Whole" not in output
    assert run("verify", "--service", "contacts", "--checkpoint", kept)[0] == TAMPERED
    assert run("verify", "--checkpoint", kept, "--since-checkpoint", kept)[0] == WRONG_USAGE


def kept_file(stage: AuditStage, folder: Path) -> Path:
    path = folder / "kept.json"
    path.write_bytes(write_checkpoints(take_checkpoints(stage.settings, ["contacts"])))
    assert parse_checkpoint(stage.note().decode()).size == SIZE
    return path


def places(verdict: Verdict) -> set[tuple[str, int | None]]:
    return {(one.kind, one.index) for one in verdict.findings}
