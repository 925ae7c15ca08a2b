"""`lethe audit` as a program calls it: exit status, JSON, files."""

from __future__ import annotations

import json
import re
from datetime import timedelta, timezone
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli import audit_commands
from cli.exit_status import DONE, NOT_FOUND, REFUSED, TAMPERED, UNAVAILABLE, WRONG_USAGE, exit_status_of
from shared import clock
from shared.errors import LetheError
from tests.integration.audit.audit_stage import AuditStage


def run(*arguments: str) -> tuple[int, str]:
    """The exit status of a command, as the program `lethe` gives it, and its stdout."""
    app = typer.Typer()
    audit_commands.register(app)
    result = CliRunner().invoke(app, ["audit", *arguments])
    if isinstance(result.exception, LetheError):
        return exit_status_of(result.exception), result.stdout
    return result.exit_code, result.stdout


def verdict(output: str) -> dict[str, Any]:
    (one,) = json.loads(output)
    found: dict[str, Any] = one
    return found


def test_verify_ends_with_0_and_with_5(logged: AuditStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """`audit verify` ends with 0 on a whole log and with 5 on one that was tampered with, and names the event."""
    monkeypatch.setenv("LETHE_HOME", str(logged.home))
    kept = logged.home / "kept.json"
    assert run("checkpoint", "--out", str(kept))[0] == DONE
    status, output = run("verify", "--service", "contacts", "--checkpoint", str(kept), "--json")
    assert status == DONE and verdict(output)["kept_size"] == 300
    logged.as_attacker("DELETE FROM lethe.log WHERE index = 299")
    status, output = run("verify", "--service", "contacts", "--checkpoint", str(kept), "--json")
    assert status == TAMPERED
    assert 299 in [one["index"] for one in verdict(output)["findings"]]
    before = kept.read_bytes()
    assert run("checkpoint", "--out", str(kept))[0] == REFUSED and before == kept.read_bytes()


def test_a_logs_own_checkpoint_may_be_what_was_kept(logged: AuditStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that the log is published with, as anybody can fetch it; what is no checkpoint is refused."""
    monkeypatch.setenv("LETHE_HOME", str(logged.home))
    kept = logged.home / "fetched"
    kept.write_bytes(logged.note())
    status, output = run("verify", "--service", "contacts", "--checkpoint", str(kept), "--json")
    assert status == DONE and verdict(output)["kept_size"] == 300
    kept.write_bytes(logged.note().replace(b"300", b"299"))
    status, output = run("verify", "--service", "contacts", "--checkpoint", str(kept), "--json")
    assert status == TAMPERED and "forked" == verdict(output)["findings"][0]["kind"]
    kept.write_bytes(b"a checkpoint")
    assert run("verify", "--service", "contacts", "--checkpoint", str(kept))[0] == WRONG_USAGE


def test_a_finding_names_the_event_that_stands_there(logged: AuditStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a part is gone, of which the checks kept an index only."""
    monkeypatch.setenv("LETHE_HOME", str(logged.home))
    at = "(SELECT sequence FROM lethe.log WHERE index = 31)"
    ((stream, event),) = logged.as_attacker(f"SELECT stream, event_id::text FROM lethe.event WHERE sequence = {at}")
    logged.as_attacker(f"UPDATE lethe.event SET sealed[1] = NULL WHERE sequence = {at}")
    _, output = run("verify", "--service", "contacts", "--json")
    assert [(31, stream, event)] == [(one["index"], one["stream"], one["event_id"]) for one in verdict(output)["findings"]]


def test_replay_ends_with_0_and_with_5(logged: AuditStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """`audit replay --compare` ends with 0 where rebuilt and live rows are equal, and with 5 where they differ."""
    monkeypatch.setenv("LETHE_HOME", str(logged.home))
    status, output = run("replay", "--compare", "--service", "contacts", "--json")
    assert status == DONE and verdict(output)["equal"] is True
    logged.as_attacker("UPDATE lethe.person SET origin = 'changed'")
    status, output = run("replay", "--compare", "--service", "contacts")
    logged.as_attacker("UPDATE lethe.person SET origin = 'correspondent'")
    assert status == TAMPERED and "100 row(s) differ" in output
    assert re.search(r"person: 100 row\(s\) differ. The first, not the same: account_id \S+, person_id \S+", output)
    assert re.search(r"origin\s+│\s+changed\s+│\s+correspondent", output)


def test_ticket_is_shown_as_of_a_time(stage: AuditStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """`audit ticket` ends with 0 and shows story and rows, with 3 where there was no such ticket then, with 2 for no id."""
    monkeypatch.setenv("LETHE_HOME", str(stage.home))
    (ticket,) = stage.open_tickets(1)
    stage.index("tickets")
    status, output = run("ticket", ticket, "--json")
    state = json.loads(output)
    assert status == DONE and [one["type"] for one in state["events"]] == ["tickets.TicketOpened", "tickets.MessageAdded"]
    status, output = run("ticket", ticket, "--account", stage.account, "--as-of", clock.now().isoformat())
    assert status == DONE and "Its rows in message" in output and state["events"][1]["event_id"][:8] in output
    assert run("ticket", ticket, "--account", stage.account, "--as-of", "2999-12-31")[0] == WRONG_USAGE, "that is ahead"
    assert max(map(len, output.splitlines())) <= 128
    then = clock.now()
    status, output = run("ticket", ticket, "--as-of", then.astimezone(timezone(timedelta(hours=1))).isoformat())
    assert status == DONE and f"{then:%Y-%m-%d %H:%M:%S} UTC" in output
    assert run("ticket", ticket, "--as-of", "2020-01-31T12:00:00Z")[0] == NOT_FOUND
    assert run("ticket", "the one of Monday")[0] == WRONG_USAGE


def test_database_away_ends_with_6(logged: AuditStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """`audit verify` ends with 6 where the database can't be reached, or there is no stack."""
    stack = logged.home / "stack.json"
    whole = stack.read_text()
    monkeypatch.setenv("LETHE_HOME", str(logged.home))
    try:
        data = json.loads(whole)
        data["databases"]["contacts"]["auditor"] = "postgresql://nobody:x@127.0.0.1:1/none"
        stack.write_text(json.dumps(data))
        assert run("verify", "--service", "contacts")[0] == UNAVAILABLE
        assert run("replay", "--service", "contacts")[0] == UNAVAILABLE
    finally:
        stack.write_text(whole)
    monkeypatch.setenv("LETHE_HOME", str(logged.home / "nowhere"))
    assert run("verify")[0] == UNAVAILABLE


def test_wrong_arguments_end_with_2(logged: AuditStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that does not exist, a time that is none, a file that is none: wrong usage."""
    monkeypatch.setenv("LETHE_HOME", str(logged.home))
    assert run("verify", "--service", "nothing")[0] == WRONG_USAGE
    assert run("replay", "--as-of", "yesterday-ish")[0] == WRONG_USAGE
    assert run("verify", "--checkpoint", str(logged.home / "missing.json"))[0] == WRONG_USAGE
