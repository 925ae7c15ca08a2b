"""The watch of a running stack, two replicas side by side (mission A2): undisturbed it says nothing; a relay that is stopped, a
checkpoint that is put back and a log that is rewritten while every replica is dead are one alert each, on the command line too.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from operator import itemgetter
from time import monotonic
from typing import Any

import psycopg2
import pytest

from cli.exit_status import DONE, NOT_FOUND, TAMPERED, WRONG_USAGE
from cli.main import invoke
from cli.session import load_settings
from deploy.stack import Stack
from shared.checkpoint import Checkpoint
from shared.errors import TimedOut, Unavailable
from shared.ids import new_id
from shared.signed_note import read_signing_key, sign_note
from shared.tile_writer import TileWriter
from shared.tiles import TileReader, files_in
from tests.support.desk import Callers, await_it
from tests.support.stacks import running_stack

STALL_SECONDS = 4


class Watched:
    """A stack with two replicas of audit; its operator."""

    def __init__(self, stack: Stack, capfd: pytest.CaptureFixture[str]) -> None:
        self.stack = stack
        self.callers = Callers(stack.home)
        self.tiles = stack.home / "tiles" / "lifecycle"
        self._capfd = capfd

    def call(self, service: str, method: str, argument: Any) -> Any:
        return self.callers.client.call(service, method, argument, account=None, token=self.callers.operator)

    def open_account(self) -> None:
        self.call("lifecycle", "open_account", {"name": f"desk {new_id()}"})

    def note(self) -> bytes:
        return (self.tiles / "checkpoint").read_bytes()

    def await_seen(self) -> None:
        """Waits until what is published is signed for every event, and seen."""

        def is_seen() -> bool:
            newest = self.call("audit", "list_seen_checkpoints", {"service": "lifecycle", "limit": 1})["checkpoints"]
            return any(one["note"].encode() == self.note() and one["size"] == self.events() for one in newest)

        await_it(is_seen, 30)

    def events(self) -> int:
        """How many events lifecycle has committed."""
        with closing(psycopg2.connect(load_settings().database_url("lifecycle", "auditor"))) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM lethe.event")
                found: int = cursor.fetchone()[0]
        return found

    def alerts(self, *, only_open: bool = True) -> list[tuple[str, str]]:
        """(log, reason) of the alerts."""
        page = self.call("audit", "list_alerts", {"only_open": only_open})
        return [(one["service"], one["reason"]) for one in page["alerts"]]

    def await_alerts(self, *expected: tuple[str, str]) -> None:
        """Waits until exactly these are open; services may be coming up meanwhile."""

        def are_open() -> bool:
            try:
                return self.alerts() == list(expected)
            except (TimedOut, Unavailable):
                return False

        await_it(are_open, 60, lambda: str(self.alerts()))

    def run(self, *arguments: str) -> tuple[int, str]:
        """The exit status of a command, and its stdout."""
        self._capfd.readouterr()
        status = invoke(["audit", *arguments])
        return status, self._capfd.readouterr().out

    def open_in_status(self) -> int | None:
        """How many alerts `lethe status` tells of."""
        self._capfd.readouterr()
        invoke(["status", "--json"])
        found: int | None = json.loads(self._capfd.readouterr().out)["alerts"]
        return found

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of both replicas' logs with this event, in the order of their times."""
        lines = [
            json.loads(line)
            for path in (self.stack.home / "logs").glob("audit-*.log")
            for line in path.read_text().splitlines()
            if line.startswith("{")
        ]
        return sorted((line for line in lines if line["event"] == event), key=itemgetter("time"))


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """One stack for all tests here; each leaves its log whole."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_AUDIT_STALL_SECONDS", str(STALL_SECONDS))
        with running_stack({"lifecycle": 1, "audit": 2}) as stack:
            yield stack


@pytest.fixture
def watched(
    running: Stack, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Watched]:
    """The stack with something in lifecycle's log, which was seen."""
    monkeypatch.setenv("LETHE_HOME", str(running.home))
    made = Watched(running, capfd)
    made.open_account()
    made.await_seen()
    assert [] == made.alerts()
    yield made
    made.callers.client.close()


def test_an_undisturbed_stack_raises_no_alert(watched: Watched) -> None:
    """While accounts are opened and while nothing happens, for longer than a stall takes; the newest checkpoint is seen within
    seconds, and the commands say so."""
    for _ in range(20):
        watched.open_account()
    watched.await_seen()
    signed = watched.note()
    until = monotonic() + STALL_SECONDS + 3
    await_it(lambda: watched.alerts(only_open=False) or monotonic() > until, 60)
    status, out = watched.run("alerts", "--all", "--json")
    assert (DONE, []) == (status, json.loads(out)["alerts"])
    assert signed == watched.note()
    status, out = watched.run("seen", "--service", "lifecycle", "--json")
    assert (DONE, signed.decode()) == (status, json.loads(out)[0]["note"])


def test_a_stopped_relay_is_one_alert_until_it_goes_on(watched: Watched) -> None:
    """SIGSTOP of the relay, with an event that waits: one alert of two replicas, exit status 5, one line in a log that names
    lifecycle's and nothing of anybody; cleared by itself after SIGCONT."""
    before = len(watched.said("alert raised"))
    pid = watched.stack.pid("relay-lifecycle")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        watched.open_account()
        await_it(lambda: watched.alerts() != [], 30)
        assert watched.alerts() in ([("lifecycle", "events-wait")], [("lifecycle", "no-relay-leads")])
        status, out = watched.run("alerts")
        assert TAMPERED == status and "stalled" in out
        assert 1 == watched.open_in_status()
        (line,) = await_it(lambda: watched.said("alert raised")[before:], 10)
        assert ("error", "local/lifecycle", "stalled") == (line["level"], line["origin"], line["kind"])
    finally:
        os.kill(pid, signal.SIGCONT)
    watched.await_alerts()
    watched.await_seen()
    assert before + 1 == len(watched.said("alert raised"))
    assert DONE == watched.run("alerts")[0]


def test_a_checkpoint_that_is_put_back_is_one_alert_until_the_log_goes_on(watched: Watched) -> None:
    """Whoever can write to the published files puts an older checkpoint there; the relay's next one ends it."""
    before, older = len(watched.said("alert raised")), watched.note()
    watched.open_account()
    await_it(lambda: watched.note() != older, 30)
    watched.await_seen()
    (watched.tiles / "checkpoint").write_bytes(older)
    watched.await_alerts(("lifecycle", "older"))
    watched.open_account()
    watched.await_alerts()
    assert before + 1 == len(watched.said("alert raised"))


def test_checkpoints_that_were_kept_are_compared_on_the_command_line(watched: Watched) -> None:
    """The file of `audit checkpoint` agrees; a note that the log's key signed for another tree is an alert and exit status 5; a
    file that is none is wrong usage."""
    kept, forged = watched.stack.home / "kept.json", watched.stack.home / "forged"
    assert DONE == watched.run("checkpoint", "--out", str(kept))[0]
    watched.open_account()
    status, out = watched.run("compare", str(kept), "--json")
    assert DONE == status and {"agrees"} == {one["comparison"] for one in json.loads(out)}
    key = read_signing_key(watched.stack.home / "root-keys" / "lifecycle" / "log-signer.key")
    forged.write_bytes(sign_note(Checkpoint("local/lifecycle", 1, bytes(32)).text(), key))
    status, out = watched.run("compare", str(forged), "--json")
    (compared,) = json.loads(out)
    assert (TAMPERED, "contradicts") == (status, compared["comparison"])
    status, out = watched.run("alerts", "--json")
    assert (TAMPERED, [compared["alert_id"]]) == (status, [one["alert_id"] for one in json.loads(out)["alerts"]])
    status, out = watched.run("clear", compared["alert_id"], "--json")
    assert (DONE, "operator") == (status, json.loads(out)["cleared_by"])
    forged.write_text("no checkpoint")
    assert WRONG_USAGE == watched.run("compare", str(forged))[0]
    assert NOT_FOUND == watched.run("compare", str(watched.stack.home / "nowhere"))[0]
    assert NOT_FOUND == watched.run("clear", new_id())[0]


def test_a_log_that_is_rewritten_while_every_replica_is_dead_is_found(watched: Watched) -> None:
    """kill -9 of both replicas, and a consistent, signed, other log in the place of the one they saw: that is in the database,
    and one of those that come up says so, once. When the log is its own again, the alert stays until it is cleared."""
    before = len(watched.said("alert raised"))
    kept, written = watched.stack.home / "kept-tiles", watched.note()
    watched.stack.stop("relay-lifecycle")
    for replica in ("audit-0", "audit-1"):
        watched.stack.kill(replica)
    shutil.copytree(watched.tiles, kept)
    size = int(written.split(b"\n")[1])
    entries = list(TileReader(files_in(watched.tiles), size).entries())
    shutil.rmtree(watched.tiles)
    watched.tiles.mkdir()
    writer = TileWriter(watched.tiles)
    writer.append([bytes(32), *entries[1:]])
    key = read_signing_key(watched.stack.home / "root-keys" / "lifecycle" / "log-signer.key")
    (watched.tiles / "checkpoint").write_bytes(sign_note(Checkpoint("local/lifecycle", size, writer.root()).text(), key))
    watched.stack.start("relay-lifecycle")  # which finds that it has not signed this, and stops
    watched.await_alerts(("lifecycle", "other-root"))
    # the line is written after the commit that opens the alert
    forks = await_it(lambda: [one for one in watched.said("alert raised")[before:] if one["kind"] == "forked"], 10)
    assert ["other-root"] == [one["reason"] for one in forks]
    watched.stack.stop("relay-lifecycle")
    shutil.rmtree(watched.tiles)
    kept.rename(watched.tiles)
    watched.stack.start("relay-lifecycle")
    watched.open_account()
    watched.await_seen()
    watched.await_alerts(("lifecycle", "other-root"))
    (alert,) = watched.call("audit", "list_alerts", {})["alerts"]
    assert DONE == watched.run("clear", alert["alert_id"])[0]
    assert (DONE, "No open alerts.\n") == watched.run("alerts")
