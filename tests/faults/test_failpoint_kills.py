"""kill -9 at every named place of the services: at each commit, each effect outside the database, each step of an erasure.

Each process is started with a failpoint, killed by itself there, and brought back without; then comes its next one. The work,
an import and then erasures one by one, goes on meanwhile, and has to end as if nothing had been. The places of the relay are
in `test_relay_crashes.py` as well, one by one; those of a rotation in `test_writes_and_rotation.py`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import amqp
import pytest

from deploy.stack import Stack, control
from shared.broker_url import connection_parameters
from shared.dead_letters import DeadLetters
from shared.errors import AccountSuspended, Incomplete
from tests.support.kill_stage import KillStage, eventually, first_difference

pytestmark = pytest.mark.kills
CHECKOUT = Path(__file__).resolve().parents[2]

RELAY = (
    "relay.indexing", "relay.indexed", "relay.tiled", "relay.recording", "relay.recorded", "relay.signed", "relay.publishing",
    "relay.published", "relay.moving_cursor",
)  # fmt: skip
IN_IMPORT = {
    "tickets": [
        "tickets.import-resolved", "tickets.blob-written:2", "tickets.before-commit", "tickets.after-commit",
        "rpc.before-answer",
    ],
    "contacts": ["rpc.before-answer", "contacts.after-commit", "contacts.before-commit"],
    "erasure": ["rpc.before-answer"],
    # each costs the three seconds of a lease
    "relay-tickets": list(RELAY[:5]),
    "relay-contacts": list(RELAY[5:]),
}  # fmt: skip
IN_ERASURES = {
    "tickets": [
        "tickets.erasing-cut", "tickets.erasing-journalled", "tickets.erasing-batch", "tickets.erasing-removed",
        "tickets.erasing-pruned", "bus.before-acknowledge", "rpc.before-answer", "tickets.before-commit",
        "tickets.after-commit",
    ],
    "contacts": [
        "contacts.after-commit", "contacts.erasing-cut", "contacts.erasing-journalled", "contacts.erasing-batch",
        "contacts.erasing-removed", "contacts.erasing-pruned", "bus.before-acknowledge", "rpc.before-answer:2",
        "contacts.before-commit",
    ],
    "erasure": [
        "rpc.before-answer", "erasure.suppressed-outside", "erasure.suppressed-outside:3", "erasure.probed",
        "erasure.before-commit", "erasure.after-commit", "erasure.erasing-cut", "erasure.erasing-pruned",
        "bus.before-acknowledge:2", "erasure.before-commit:4", "erasure.after-commit:5",
    ],
    "identity": ["identity.erasing-cut", "identity.erasing-removed"],
    "lifecycle": ["lifecycle.erasing-journalled", "lifecycle.before-commit"],
}  # fmt: skip
MOST_ERASURES = 13
_ENDING = ("ending-marked", "ending-explained", "ending-journalled", "ending-rows-removed", "ending-events-removed")
IN_ENDS = {
    service: [f"{service}.{step}" for step in _ENDING]
    for service in ("tickets", "contacts", "identity", "erasure", "lifecycle")
}


class Arming:
    """Starts processes with the failpoints of a plan, one after the other."""

    def __init__(self, stack: Stack, plan: dict[str, list[str]]) -> None:
        self._stack = stack
        self._left = {process: list(places) for process, places in plan.items()}
        self._armed: dict[str, str] = {}

    @property
    def is_over(self) -> bool:
        """Whether every process was killed at each of its places."""
        return not any(self._left.values()) and all(self._was_killed(process) for process in self._armed)

    def next(self) -> None:
        """Gives each process that was killed where it should be its next place. One that did not come there waits on."""
        for process, places in self._left.items():
            if process in self._armed and not self._was_killed(process):
                continue
            if self._armed.pop(process, None) is not None:
                self._stack.await_ready(60)
            if places:
                self._armed[process] = places.pop(0)
                self._stack.stop(process)
                self._stack.start(process, {"LETHE_FAILPOINT": self._armed[process]})

    def await_killed(self) -> None:
        """Returns when all that are armed now were killed; used once nothing more is to come."""
        eventually(lambda: self.is_over, f"killed at {self._armed}, left {self._left}", seconds=30)

    def _was_killed(self, process: str) -> bool:
        answer = control.ask(self._stack.home, {"do": "status"})
        assert answer is not None
        name = process if process.startswith("relay-") else f"{process}-0"
        return bool(answer["processes"][name]["restarts"])


def test_an_import_survives_a_kill_at_every_place(killing: KillStage) -> None:
    """Services and relays are killed at each of their failpoints while an archive is imported: the export is the same, the logs
    are whole, and nothing is a dead letter."""
    expected = killing.undisturbed(erased=0)
    account, arming = killing.account(), Arming(killing.stack, IN_IMPORT)
    arming.next()
    report = account.take_in(lambda _: arming.next())
    assert not report.failed and not report.refused
    arming.await_killed()
    assert "" == first_difference(expected, account.export())
    killing.check_whole()


def test_erasures_survive_a_kill_at_every_place(killing: KillStage) -> None:
    """All participants are killed at each step of erasures, one erasure after the other: every request is completed, with the
    same receipts as without, and the export is the same."""
    account, arming = killing.account(), Arming(killing.stack, IN_ERASURES)
    account.take_in()
    erased = 0
    while not arming.is_over:
        assert erased < MOST_ERASURES, "the plan does not end"
        arming.next()
        account.erase(killing.archive.writers[erased])
        erased += 1
    assert "" == first_difference(killing.undisturbed(erased), account.export())
    killing.check_whole()


def test_ends_of_accounts_survive_a_kill_at_every_place(killing: KillStage) -> None:
    """All services are killed at each step of an account's end, one account after the other: each is gone everywhere, and the
    logs are whole."""
    arming = Arming(killing.stack, IN_ENDS)
    ends = 0
    while not arming.is_over:
        assert ends < len(_ENDING) + 2, "the plan does not end"
        arming.next()
        account, operate = killing.account().desk.account, killing.callers.operate
        operate("suspend_account", {}, account)
        operate("end_account", {"account_id": account}, None)
        eventually(
            lambda: operate("show_account_end", {"account_id": account}, None)["is_gone"],  # noqa: B023
            f"{account} is not gone", seconds=60,
        )  # fmt: skip
        ends += 1
    killing.check_whole()


def test_a_replay_of_dead_letters_that_is_killed_loses_none(killing: KillStage) -> None:
    """`lethe dead-letters replay` is killed between the copy and the removal: the letter is there twice then, and handling it
    twice changes nothing."""
    account = killing.account().desk
    queue, dead = "lethe.tickets.lifecycle.AccountSuspended", DeadLetters(killing.settings.amqp_url, "tickets")
    killing.stack.stop("tickets")
    operator = killing.callers.operator
    with pytest.raises(Incomplete):  # suspended, and tickets could not be told at once
        account.call("lifecycle", "suspend_account", {}, token=operator)
    with amqp.Connection(**connection_parameters(killing.settings.amqp_url)) as connection:
        channel = connection.channel()

        def given_up() -> bool:
            message = channel.basic_get(queue, no_ack=False)
            if message is not None:
                channel.basic_reject(message.delivery_tag, requeue=False)
            return message is not None

        eventually(given_up, "the event in its queue")
        eventually(lambda: dead.count() == 1, "a dead letter")
        assert -signal.SIGKILL == _replay(killing, failpoint="dead-letters.copied")
        assert 1 == dead.count()
        assert 0 == _replay(killing)
        assert 0 == dead.count()
        assert 2 == channel.queue_declare(queue, passive=True).message_count
        killing.stack.start("tickets")
        eventually(lambda: channel.queue_declare(queue, passive=True).message_count == 0, "both taken")
    killing.stack.await_ready()

    def suspended() -> bool:
        try:
            account.call("tickets", "list_tickets", {})
        except AccountSuspended:
            return True
        return False

    eventually(suspended, "the account suspended in tickets")
    killing.check_whole()


def _replay(killing: KillStage, failpoint: str = "") -> int:
    command = [sys.executable, "-m", "cli.main", "dead-letters", "replay", "--service", "tickets"]
    environment = {**os.environ, "LETHE_HOME": str(killing.stack.home), "LETHE_FAILPOINT": failpoint}
    return subprocess.run(command, cwd=CHECKOUT, env=environment, check=False, timeout=60).returncode


def test_every_place_that_the_code_names_is_one_at_which_a_test_kills() -> None:
    """A failpoint that no test names is a gap: each name in the code stands in a test."""
    named = {
        place
        for folder in ("shared", "services", "cli", "audit", "deploy")
        for path in (CHECKOUT / folder).rglob("*.py")
        for place in re.findall(r'\bfailpoint\(f?"(?:\{[\w.]+\}\.)?([\w.-]+)"\)', path.read_text())
    }
    tests = "\n".join(path.read_text() for path in (CHECKOUT / "tests").rglob("test_*.py"))
    rotation = {f"rotation.{place}" for place in re.findall(r'"(begun|account|dumped|destroyed)"', tests)}
    assert len(named) > 20
    assert not {place for place in named - rotation if place not in tests}
