"""Processes of a stack: what to run, how to start it, and how to find it again by its pid file.

A pid alone may belong to somebody else after a while, so a pid file also has the process's start time and the machine's
boot; nothing is ever signalled by its name.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
LARGEST_LOG_BYTES = 8 * 1024 * 1024
MAPPER, SERVER, WORKER, EDGE = 0, 1, 2, 3
"""The layers of a stack; the highest is stopped first."""


@dataclass(frozen=True)
class Program:
    """One process of a stack. `once` is an environment for the next run only (a failpoint): a restart is without it."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    layer: int = WORKER
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 25.0
    once: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As the supervisor is told."""
        return asdict(self)


def base_environment(home: Path) -> dict[str, str]:
    """What every process of the stack gets: little of the caller's, no failpoint, no address of a server."""
    kept = ("PATH", "TZ", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "LD_LIBRARY_PATH", "TMPDIR")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    left_out = (
        "LETHE_FAILPOINT", "LETHE_DATABASE_URL", "LETHE_AMQP_URL", "LETHE_TOKEN", "LETHE_SMTP_URL", "LETHE_SMTP_FROM",
    )  # fmt: skip
    environment |= {name: value for name, value in os.environ.items() if name.startswith("LETHE_") and name not in left_out}
    return environment | {"LANG": "C.UTF-8", "HOME": str(home), "LETHE_HOME": str(home), "PYTHONUNBUFFERED": "1"}


def launch(program: Program, home: Path) -> subprocess.Popen[bytes]:
    """Starts a program in a session of its own, its output in its log, and writes its pid file."""
    log_path = home / "logs" / f"{program.name}.log"
    rotate(log_path)
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            program.arguments, env=program.environment | program.once, cwd=program.folder, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    write_pid_file(home, program.name, process.pid, program.layer)
    return process


def rotate(log_path: Path) -> None:
    """Moves a log that has grown large aside before a start; one such is kept."""
    with contextlib.suppress(FileNotFoundError):
        if log_path.stat().st_size > LARGEST_LOG_BYTES:
            log_path.replace(log_path.with_suffix(".log.1"))


def write_pid_file(home: Path, name: str, pid: int, layer: int) -> None:
    """Notes a process so that it can be found, and told from another one that has got its pid later."""
    path = home / "run" / f"{name}.pid"
    beside = path.with_suffix(".pid-new")
    beside.write_text(json.dumps({"pid": pid, "started": started_at(pid), "boot": _boot(), "layer": layer}) + "\n")
    beside.replace(path)


def find(home: Path, name: str) -> int | None:
    """The pid of the process that the pid file names, if that very process lives."""
    noted = _noted(home / "run" / f"{name}.pid")
    if noted is None or noted.get("boot") != _boot():
        return None
    pid = int(noted["pid"])
    return pid if started_at(pid) == noted.get("started") is not None else None


def all_noted(home: Path) -> dict[str, tuple[int, int]]:
    """Every process of this home that lives: name → (pid, layer)."""
    found: dict[str, tuple[int, int]] = {}
    for path in sorted((home / "run").glob("*.pid")):
        pid = find(home, path.stem)
        noted = _noted(path)
        if pid is not None and noted is not None:
            found[path.stem] = (pid, int(noted.get("layer", WORKER)))
    return found


def _noted(path: Path) -> dict[str, Any] | None:
    try:
        noted = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return noted if isinstance(noted, dict) and "pid" in noted else None


def started_at(pid: int) -> int | None:
    """When a process was started (clock ticks since the boot); None if there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def send(pid: int, number: int) -> None:
    """Signals a process that may have gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def await_end(pids: list[int], seconds: float) -> list[int]:
    """Waits for processes that may not be children of ours; returns those that still live."""
    deadline = time.monotonic() + seconds
    started = {pid: started_at(pid) for pid in pids}
    while True:
        living = [pid for pid in pids if started[pid] is not None and started_at(pid) == started[pid]]
        if not living or time.monotonic() > deadline:
            return living
        time.sleep(0.02)


def stop_orphans(home: Path) -> list[str]:
    """Stops what a supervisor that was killed has left behind, layer by layer; returns the names."""
    found = {name: entry for name, entry in all_noted(home).items() if name != "supervisor"}
    for layer in sorted({layer for _, layer in found.values()}, reverse=True):
        members = {name: pid for name, (pid, of) in found.items() if of == layer}
        for name, pid in members.items():
            send(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        for pid in await_end(list(members.values()), 20):
            send(pid, signal.SIGKILL)
        await_end(list(members.values()), 5)
    for name in found:
        (home / "run" / f"{name}.pid").unlink(missing_ok=True)
    return sorted(found)
