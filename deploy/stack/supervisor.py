"""The supervisor of one stack: `python -m deploy.stack.supervisor` with LETHE_HOME set.

It starts what it is told over its socket, starts again whatever dies (after a pause that grows to 2 s), and on SIGTERM stops
all: services and relays, then the servers, then RabbitMQ's port mapper. It knows nothing of what its children do, connects to
no server, and keeps nothing on disk but pid files, by which what it leaves behind when it is killed is found.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from deploy.stack import control, processes
from deploy.stack.processes import Program

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
REFUSED_PAUSE_SECONDS = 30.0
"""What refuses to start (EX_CONFIG of sysexits.h) waits for somebody to mend what it names; it is tried again all the same, so
that all goes on by itself once that is done."""
STEADY_SECONDS = 10.0
"""A process that ran for so long starts over with the short pause."""


class Child:
    """One program and its present process."""

    def __init__(self, program: Program, home: Path) -> None:
        self.program = program
        self.wanted = True
        self.restarts = 0
        self._home = home
        self._pause = FIRST_PAUSE_SECONDS
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._refused = False
        self.start_at: float | None = None
        self.kill_at: float | None = None
        self.start()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def state(self) -> str:
        """starting (a pause before the next start), refused (a long one), running, stopping, stopped."""
        if self._process is None:
            return "stopped" if not self.wanted else "refused" if self._refused else "starting"
        return "running" if self.wanted else "stopping"

    def start(self) -> None:
        self.start_at = None
        self._started = time.monotonic()
        try:
            self._process = processes.launch(self.program, self._home)
        except OSError as error:
            say(f"{self.program.name} can't be started: {error.strerror}")
            self._come_back()

    def stop(self) -> None:
        self.wanted = False
        self.start_at = None
        if self._process is not None:
            processes.send(self._process.pid, self.program.stop_signal)
            self.kill_at = time.monotonic() + self.program.stop_seconds

    def tick(self, now: float) -> None:
        """Notices an end, starts again, kills what would not stop."""
        if self._process is not None and self._process.poll() is not None:
            self._ended(self._process.returncode)
        if self.kill_at is not None and now >= self.kill_at and self._process is not None:
            say(f"{self.program.name} did not stop and is killed")
            processes.send(self._process.pid, signal.SIGKILL)
            self.kill_at = None
        if self.start_at is not None and now >= self.start_at:
            self.start()

    def _ended(self, status: int) -> None:
        self._process = None
        self.kill_at = None
        (self._home / "run" / f"{self.program.name}.pid").unlink(missing_ok=True)
        if not self.wanted:
            return
        self._refused = status == os.EX_CONFIG
        said = "refuses to start and is tried again in a while" if self._refused else "is started again"
        say(f"{self.program.name} ended with status {status} and {said}")
        self.program = Program(**{**self.program.to_json(), "once": {}})
        self._come_back()

    def _come_back(self) -> None:
        now = time.monotonic()
        if now - self._started > STEADY_SECONDS:
            self._pause = FIRST_PAUSE_SECONDS
        self.restarts += 1
        self.start_at = now + (REFUSED_PAUSE_SECONDS if self._refused else self._pause)
        self._pause = min(LONGEST_PAUSE_SECONDS, self._pause * 2)

    def due(self) -> float | None:
        """When `tick` has something to do at the latest."""
        times = [at for at in (self.start_at, self.kill_at) if at is not None]
        return min(times) if times else None


class Supervisor:
    """All children of one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.children: dict[str, Child] = {}
        self.stopping = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Until SIGTERM."""
        signal.set_wakeup_fd(self._wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            (self.home / "run" / "supervisor.sock").unlink(missing_ok=True)
            with control.address(self.home) as name:
                listener.bind(name)
            os.chmod(self.home / "run" / "supervisor.sock", 0o600)
            listener.listen(16)
            while not self.stopping:
                self._tick()
                ready, _, _ = select.select([listener.fileno(), self._wake_read], [], [], self._wait_seconds())
                self._drain_wakeups()
                if listener.fileno() in ready:
                    self._answer(listener)
        self._stop_all()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def _drain_wakeups(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 512):
                pass

    def _tick(self) -> None:
        now = time.monotonic()
        for child in self.children.values():
            child.tick(now)

    def _wait_seconds(self) -> float:
        due = [at for child in self.children.values() if (at := child.due()) is not None]
        return max(0.0, min(due) - time.monotonic()) if due else 60.0

    def _answer(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            connection.settimeout(2.0)
            with connection.makefile("rb") as lines:
                request = json.loads(lines.readline())
            connection.sendall(json.dumps(self._do(request)).encode())

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "start":
                self._start(Program(**request["program"]))
            case "stop" if request["name"] in self.children:
                self.children[request["name"]].stop()
        return {
            "processes": {
                name: {"pid": child.pid, "state": child.state(), "restarts": child.restarts}
                for name, child in self.children.items()
            }
        }

    def _start(self, program: Program) -> None:
        present = self.children.get(program.name)
        if present is None or present.state() in ("stopped", "refused"):
            self.children[program.name] = Child(program, self.home)

    def _stop_all(self) -> None:
        for layer in sorted({child.program.layer for child in self.children.values()}, reverse=True):
            members = [child for child in self.children.values() if child.program.layer == layer]
            for child in members:
                child.stop()
            while any(child.pid is not None for child in members):
                for child in members:
                    child.tick(time.monotonic())
                select.select([self._wake_read], [], [], 0.2)
                self._drain_wakeups()


def say(text: str) -> None:
    """A line in the supervisor's own log."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
    sys.stderr.flush()


def main() -> int:
    """The command line. Exit status 3 if this home has a supervisor."""
    home = Path(os.environ["LETHE_HOME"]).absolute()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # inherited: a core file would hold opened keys and texts
    lock = os.open(home / "run" / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 3
    processes.write_pid_file(home, "supervisor", os.getpid(), 3)
    Supervisor(home).run()
    for name in ("supervisor.sock", "supervisor.pid"):
        (home / "run" / name).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
