"""What keeps a stack from running, each with its remedy. It only looks: nothing is started, mended or changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2

from deploy.stack import certificate, edges, postgres, processes, rabbitmq, readiness
from deploy.stack.errors import StackError
from deploy.stack.stack import Stack
from shared import clock

LEAST_FREE_BYTES = 1 << 30
OLDEST_POSTGRESQL = 15


@dataclass(frozen=True)
class Check:
    """One thing looked at: what was found, and what to do where it does not hold."""

    name: str
    holds: bool
    found: str
    remedy: str


def examine(home: Path) -> list[Check]:
    """Everything, in the order in which it is needed."""
    return [*_machine(home), *_home(home), *_running(home)]


# ------------------------------------------------------------------------------------------------------------- the machine


def _machine(home: Path) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("Python", sys.version_info >= (3, 11), version, "make setup, with LETHE_PYTHON=/path/to/python3.11 or newer")
    if "LETHE_DATABASE_URL" in os.environ:
        yield Check("PostgreSQL", True, "the one that LETHE_DATABASE_URL names", "")
    else:
        yield _asked("PostgreSQL", _postgres_version, "make setup")
    if "LETHE_AMQP_URL" in os.environ:
        yield Check("RabbitMQ", True, "the one that LETHE_AMQP_URL names", "")
    else:
        yield _asked("RabbitMQ", lambda: str(rabbitmq.server_program()), "make setup")
        yield _asked("Erlang's port mapper", rabbitmq.mapper_program, "make setup")
    above = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(above).free
    room = f"{free / 2**30:.1f} GiB free below {above}"
    yield Check("disk", free >= LEAST_FREE_BYTES, room, "make room: a stack wants 1 GiB")
    yield Check("home", os.access(above, os.W_OK), str(home), f"let this user write to {above}, or set LETHE_HOME")


def _asked(name: str, ask: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, True, ask(), remedy)
    except StackError as error:
        return Check(name, False, str(error), remedy)


def _postgres_version() -> str:
    folder = postgres.programs()
    told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    number = told.rpartition("(PostgreSQL) ")[2].split(".")[0].split(" ")[0]
    if not number.isdecimal() or int(number) < OLDEST_POSTGRESQL:
        raise StackError(f"{told or folder} is older than PostgreSQL {OLDEST_POSTGRESQL}")
    return f"{told}, {folder}"


# ---------------------------------------------------------------------------------------------------------------- the home


def _home(home: Path) -> Iterator[Check]:
    if not (home / "stack.json").exists():
        return
    for name, most in (("stack.json", 0o600), ("root-keys", 0o700)):
        yield _closed(home / name, most)
    ahead = clock.offset().total_seconds()
    yield Check("clock", ahead >= 0, f"{ahead:g} s ahead of the machine's", "it was put back by hand: remove the file `clock`")


def _closed(path: Path, most: int) -> Check:
    if not path.exists():
        return Check(path.name, False, f"{path} is gone", "put it back from your copy; without it nothing sealed can be opened")
    mode = path.stat().st_mode & 0o777
    return Check(path.name, not mode & ~most, f"mode {mode:03o}", f"chmod {most:o} {path}")


# ------------------------------------------------------------------------------------------------------------- what runs


def _running(home: Path) -> Iterator[Check]:
    stack = Stack(home)
    status = stack.status()
    if not status["processes"]:
        left = ", ".join(sorted(processes.all_noted(home)))
        found = f"the supervisor is gone, and these still run: {left}" if left else "nothing runs"
        yield Check("stack", False, found, "lethe up")
        return
    for process in status["processes"]:
        yield _process(home, process)
    for service, of_roles in status["databases"].items():
        yield _database(service, of_roles)
    if status["gateway"] is not None:
        yield _certificate(Path(status["gateway"]["certificate"]))
        for url in status["gateway"]["urls"]:
            yield _gateway(home, url)


def _process(home: Path, process: dict[str, Any]) -> Check:
    name, state = process["name"], process["state"]
    restarts = f", started again {process['restarts']} times" if process["restarts"] else ""
    said = readiness.errors_since(home, name, datetime.min.replace(tzinfo=UTC))[-1:] if state == "refused" else []
    return Check(name, state == "running", ": ".join([f"{state}{restarts}", *said]), f"lethe logs {name}")


def _certificate(path: Path) -> Check:
    days = certificate.days_left(path)
    found = f"good for {days} days" if days >= 0 else f"{path} is no certificate, or over"
    remedy = "lethe down; lethe up makes a new one; your own (LETHE_GATEWAY_TLS_CERTIFICATE) you have to renew yourself"
    return Check("certificate", days > certificate.RENEWED_BEFORE.days, found, remedy)


def _gateway(home: Path, url: str) -> Check:
    """Whether it answers its clients, and has all services behind it."""
    status = edges.asked(home, int(url.rpartition(":")[2]), "/v1/health")
    known = {None: f"no answer at {url}", 200: url, 503: f"{url} says that a service does not answer"}
    found = known.get(status, f"{url} answers with {status}")
    return Check("gateway", status == 200, found, "lethe logs gateway")


def _database(service: str, of_roles: dict[str, str]) -> Check:
    """Whether every role gets in: a password that somebody changed shows here and not in the middle of the work."""
    name = f"database of {service}"
    for role, url in of_roles.items():
        try:
            psycopg2.connect(url, connect_timeout=5).close()
        except psycopg2.Error:
            return Check(name, False, f"the role {role} gets no connection", "lethe up; then: lethe logs postgres")
    return Check(name, True, f"all {len(of_roles)} roles get in", "")
