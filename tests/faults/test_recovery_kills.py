"""`lethe recover` on a real stack whose databases were put back, killed in the middle: called again it ends where it would."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.demo_mail import generate
from deploy.stack import Stack
from deploy.stack.errors import StackError

pytestmark = [
    pytest.mark.kills,
    pytest.mark.skipif("LETHE_DATABASE_URL" in os.environ, reason="puts back the files of a server of its own"),
]
CHECKOUT = Path(__file__).resolve().parents[2]
SEED = 211
KILLS = 4


class Desk:
    """The command line on a stack that the test may break."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.home = stack.home

    def lethe(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(self.command(arguments), **self.where, capture_output=True, text=True, timeout=240, check=False)
        assert status == done.returncode, (arguments, done.stdout[-2_000:], done.stderr[-2_000:])
        return done.stdout

    def account(self, name: str) -> str:
        made = json.loads(self.lethe("account", "create", name, "--owner", f"olga@{name}.example".lower(), "--json"))
        return str(made["account"]["account_id"])

    def command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "cli.main", *arguments]

    @property
    def where(self) -> dict[str, object]:
        return {"cwd": CHECKOUT, "env": os.environ | {"LETHE_HOME": str(self.home)}, "stdin": subprocess.DEVNULL}

    def killed(self, after_seconds: float, *arguments: str) -> bool:
        """Runs a command and kills it, with all that it started, after a while. False where it ended before."""
        process = subprocess.Popen(
            self.command(arguments), **self.where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )  # type: ignore[call-overload]
        try:
            process.wait(timeout=after_seconds)
            return False
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True


def test_a_recovery_killed_again_and_again_ends_where_it_would_have(
    new_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    """Databases are put back to before an erasure and the end of an account. No service starts on them; `recover` is killed
    four times; afterwards the person and the account are as gone as they were, and the logs are whole."""
    desk = Desk(new_stack())
    archive = tmp_path / "mails"
    generate(archive, mails=60, seed=SEED)
    one, other = desk.account("One"), desk.account("Other")
    desk.lethe("import-mail", str(archive), "--account", one)
    people = json.loads(desk.lethe("person", "list", "--account", one, "--json"))["persons"]
    person = next(each["person_id"] for each in people if each["origin"] == "correspondent")
    desk.stack.down()
    subprocess.run(["cp", "-a", str(desk.home / "postgres"), str(tmp_path / "copy")], check=True)
    desk.stack.up()
    desk.lethe("erase", person, "--account", one, "--reason", "asked", "--yes", "--wait")
    desk.lethe("account", "suspend", other, "--yes")
    desk.lethe("account", "end", other, "--yes")
    checkpoint = tmp_path / "kept"
    shutil.copy(desk.home / "tiles" / "tickets" / "checkpoint", checkpoint)
    desk.stack.down()
    subprocess.run(["rm", "-rf", str(desk.home / "postgres")], check=True)
    subprocess.run(["cp", "-a", str(tmp_path / "copy"), str(desk.home / "postgres")], check=True)
    with pytest.raises(StackError, match="older than the signed log"):
        desk.stack.up()
    desk.stack.down()
    source = random.Random(SEED)
    for _ in range(KILLS):
        desk.killed(source.uniform(3, 25), "recover", "--yes")
        desk.stack.down()
    desk.lethe("recover", "--yes")
    desk.stack.up()
    desk.lethe("person", "show", person, "--account", one, status=3)
    desk.lethe("account", "show", other, status=3)
    verdicts = json.loads(desk.lethe("audit", "verify", "--json"))
    assert sum(verdict["lost"] for verdict in verdicts) > 10 and [] == [each for one in verdicts for each in one["findings"]]
    desk.lethe("audit", "replay", "--compare")
    assert [] == json.loads(desk.lethe("dead-letters", "list", "--json"))["letters"]
    desk.lethe("audit", "verify", "--service", "tickets", "--checkpoint", str(checkpoint))
