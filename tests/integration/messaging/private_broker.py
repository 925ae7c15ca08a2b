"""A RabbitMQ node of a test's own: free ports of 127.0.0.1, everything in one folder, nothing of the
machine's touched.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import amqp

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


def free_port() -> int:
    """A port that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PrivateBroker:
    """Starts, stops and kills one node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._dist_port, self._epmd_port = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self._process: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        """The variables that keep the node to itself."""
        for name in ("mnesia", "log", "home"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(
            "log.file.level = warning\nvm_memory_high_watermark.absolute = 1GB\n"
        )
        at = str(self.folder)
        return {
            "PATH": os.environ["PATH"], "HOME": f"{at}/home", "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"lethe{self.port}@localhost", "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": f"{at}/mnesia", "RABBITMQ_LOG_BASE": f"{at}/log",
            "RABBITMQ_PID_FILE": f"{at}/pid",
            "RABBITMQ_CONFIG_FILE": f"{at}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{at}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{at}/plugins",
            "RABBITMQ_CONF_ENV_FILE": f"{at}/rabbitmq-env.conf",
            "ERL_EPMD_PORT": str(self._epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
        }  # fmt: skip

    def start(self) -> None:
        """Starts the node and waits until it takes connections."""
        self._process = subprocess.Popen(
            ["/usr/lib/rabbitmq/bin/rabbitmq-server"], env=self.environment(), cwd=self.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        wait_until(self.answers, 60, "the broker's start")

    def answers(self) -> bool:
        """Whether the node takes connections."""
        try:
            with amqp.Connection(**connection_parameters(self.url)):
                return True
        except (OSError, amqp.AMQPError):
            return False

    def stop(self, kind: signal.Signals = signal.SIGTERM) -> None:
        """Ends the node: by TERM gracefully, by KILL as a power cut would."""
        if self._process is None:
            return
        os.killpg(self._process.pid, kind)
        self._process.wait(timeout=60)
        self._process = None
        wait_until(lambda: not self.answers(), 10, "the broker's end")

    def end(self) -> None:
        """Ends the node and its own port mapper."""
        self.stop()
        for found in Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"ERL_EPMD_PORT={self._epmd_port}\0".encode() in found.read_bytes():
                    os.kill(int(found.parent.name), signal.SIGTERM)
            except (OSError, ValueError):
                continue
