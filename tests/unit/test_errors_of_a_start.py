"""What a service that does not come up has said of it is found in its log, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.stack.readiness import errors_since

BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)


def line(seconds: int, event: str, level: str = "error", **fields: str) -> str:
    time = (BEGAN + timedelta(seconds=seconds)).isoformat()
    return json.dumps({"time": time, "service": "lifecycle", "level": level, "event": event, **fields}) + "\n"


def written(home: Path, name: str, *lines: str) -> None:
    (home / "logs").mkdir(exist_ok=True)
    (home / "logs" / f"{name}.log").write_text("".join(lines))


def test_errors_since_a_start_are_named_once_in_their_order(tmp_path: Path) -> None:
    """Over all replicas; neither older ones, nor what is no error, nor lines that are no records."""
    wrong = {"event": "a setting is wrong", "reason": "LETHE_TRIAL_DAYS: a number"}
    died = line(4, "service died", error="InvalidArgument")
    written(tmp_path, "lifecycle-1", line(-1, "older"), line(2, **wrong), died, line(5, **wrong))
    not_records = ("Traceback\n", "[1]\n", '{"time": 5}\n', '{"level": "error"}\n')
    written(tmp_path, "lifecycle-2", line(3, "started", level="info"), *not_records, line(1, "no broker"))
    written(tmp_path, "tickets-1", line(3, "somebody else's"))
    assert errors_since(tmp_path, "lifecycle", BEGAN) == [
        "no broker", "a setting is wrong: LETHE_TRIAL_DAYS: a number", "service died: InvalidArgument"
    ]  # fmt: skip


def test_of_many_errors_the_newest_are_named(tmp_path: Path) -> None:
    """Of a log of any length: only its end is read."""
    written(tmp_path, "lifecycle-1", *(line(number, f"error {number}") for number in range(5_000)))
    assert errors_since(tmp_path, "lifecycle", BEGAN) == ["error 4997", "error 4998", "error 4999"]


def test_without_a_log_there_are_none(tmp_path: Path) -> None:
    """A process that has written nothing."""
    assert errors_since(tmp_path, "lifecycle", BEGAN) == []
