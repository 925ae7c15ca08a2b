"""kill -9 of each process in the middle of an import and of erasures, at seeded points: nothing is lost and nothing is doubled.

One stack is killed again and again; each test has an account of its own. What counts is the canonical export, which has to be
that of an account in which nothing was disturbed, the logs, and that everybody found their way back within 30 seconds.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kill_stage import Killer, KillStage, blows, eventually, first_difference

pytestmark = pytest.mark.kills
CHECKOUT = Path(__file__).resolve().parents[2]
KILLS = 5
LONGEST_DELAY_MS = 200
PROCESSES = {
    "tickets": (101, 3, 2), "contacts": (102, 3, 2), "erasure": (103, 2, 3), "relay-tickets": (104, 3, 2),
    "rabbitmq": (105, 3, 2), "postgres": (106, 3, 2),
}  # fmt: skip
"""What is killed: the seed of when, how often in an import, and how many erasures with one kill in each."""


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_killed_again_and_again_loses_and_doubles_nothing(killing: KillStage, process: str) -> None:
    """Kills in the middle of an import and of erasures, five in all: the account is what it would be without, all requests
    are completed, nothing is a dead letter, the logs are whole, and nobody was away for more than 30 seconds."""
    seed, in_import, in_erasures = PROCESSES[process]
    expected = killing.undisturbed(erased=in_erasures)
    account, killer = killing.account(), Killer(killing.stack, process)
    kills = blows(seed, in_import, killing.archive.batches, LONGEST_DELAY_MS)
    source = random.Random(seed)
    delays = [source.randrange(LONGEST_DELAY_MS) for _ in range(in_erasures)]
    print(f"{process}: seed {seed}, import {kills}, milliseconds into the erasures {delays}")
    account.take_in_under(killer, kills)
    for writer, delay_ms in zip(killing.archive.writers, delays, strict=False):
        account.erase_under(killer, writer, delay_ms)
    assert KILLS == in_import + in_erasures == len(set(killer.killed))
    assert "" == first_difference(expected, account.export())
    killing.check_whole()


def test_an_importing_command_killed_five_times_goes_on_where_it_was(killing: KillStage) -> None:
    """`lethe import-mail` is killed five times at seeded points and started again each time; the last run completes."""
    seed = 107
    expected = killing.undisturbed(erased=0)
    account = killing.account()
    source = random.Random(seed)
    kills = sorted(source.sample(range(5, killing.archive.mails - 40), KILLS))
    delays = [source.randrange(LONGEST_DELAY_MS) for _ in kills]
    print(f"the command: seed {seed}, after {kills} messages and {delays} ms")
    for messages, delay_ms in zip(kills, delays, strict=True):
        command = _import(killing, account.desk.token)
        eventually(lambda at=messages: killing.imported(account.desk.account) >= at, "the import's next mails")  # type: ignore[misc]
        command_ended = _killed(command, delay_ms)
        assert -signal.SIGKILL == command_ended, "it was killed in the middle of its work"
    assert 0 == _import(killing, account.desk.token).wait(120)
    assert "" == first_difference(expected, account.export())
    killing.check_whole()


def _import(killing: KillStage, token: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "import-mail", "run", "--batch", "5", "--json", str(killing.archive.folder)],
        cwd=CHECKOUT, env={**os.environ, "LETHE_HOME": str(killing.stack.home), "LETHE_TOKEN": token},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _killed(command: subprocess.Popen[bytes], delay_ms: int) -> int:
    """Kills the command after some milliseconds, unless it ends before."""
    try:
        return command.wait(delay_ms / 1000)
    except subprocess.TimeoutExpired:
        command.kill()
        return command.wait(10)
