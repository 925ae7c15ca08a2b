"""A RabbitMQ node for tests, as a private stack runs it: with nobody who starts it again."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import amqp

from deploy.stack.ports import free_ports
from deploy.stack.processes import Program
from deploy.stack.rabbitmq import RabbitMQ
from shared.broker_url import connection_parameters


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Asks until the condition is true and returns what it gave; fails after `seconds`, naming what was
    waited for.
    """
    latest = time.monotonic() + seconds
    while time.monotonic() < latest:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


class PrivateBroker:
    """Starts, stops and kills one node; its port mapper runs from the first start to the end."""

    def __init__(self, home: Path) -> None:
        names = ("rabbitmq", "distribution", "epmd")
        self._node = RabbitMQ(home, dict(zip(names, free_ports(len(names)), strict=True)))
        self._node.prepare()
        self.url = self._node.url()
        self.log = home / "rabbitmq.log"
        self._mapper: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the node and waits until it takes connections."""
        mapper, server = self._node.programs()
        if self._mapper is None:
            self._mapper = self._run(mapper)
            self._node.await_mapper(10)
        self._process = self._run(server)
        wait_until(lambda: self.answers() or not self._runs(), 60, "the broker's start")
        assert self._runs(), self.log.read_text()

    def _run(self, program: Program) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                program.arguments, env=program.environment, cwd=program.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def answers(self) -> bool:
        """Whether the node takes connections."""
        try:
            with amqp.Connection(**connection_parameters(self.url)):
                return True
        except (OSError, amqp.AMQPError):
            return False

    def stop(self, kind: signal.Signals = signal.SIGTERM) -> None:
        """Ends the node: by TERM gracefully, by KILL as a power cut would."""
        if self._process is not None:
            self._process.send_signal(kind)
            self._process.wait(timeout=60)
            self._process = None

    def end(self) -> None:
        """Ends the node and its port mapper."""
        self.stop()
        if self._mapper is not None:
            self._mapper.terminate()
            self._mapper.wait(timeout=10)


@contextmanager
def private_broker(home: Path) -> Iterator[PrivateBroker]:
    """A node that runs for the length of the block."""
    node = PrivateBroker(home)
    try:
        node.start()
        yield node
    finally:
        node.end()
