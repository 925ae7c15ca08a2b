"""One broker for these tests, a home with keys for each, and probe services in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared import root_keys
from shared.ids import new_id
from shared.rpc_client import RpcClient
from shared.tokens import Actor, TokenIssuer, TokenSource, create_token_key
from shared.transport import Transport
from tests.support.private_broker import PrivateBroker, private_broker, wait_until

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateBroker]:
    """A broker that runs for all of these tests."""
    with private_broker(tmp_path_factory.mktemp("broker")) as node:
        yield node


@pytest.fixture
def home(broker: PrivateBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with transport and token keys, and settings that name the broker."""
    root_keys.create(tmp_path, ())
    for issuer in ("identity", "probe", "tickets", "operator"):
        create_token_key(tmp_path / "root-keys", tmp_path / "verifiers", issuer)
    (tmp_path / "stack.json").write_text(json.dumps({"amqp_url": broker.url, "databases": {}}))
    (tmp_path / "probe.log").touch()
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    return tmp_path


class Probe:
    """A process that runs the probe service."""

    def __init__(self, home: Path, replica: str) -> None:
        self.log = home / f"probe-{replica}.stderr"
        self._ready = home / "run" / f"service-probe-{replica}.ready"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.messaging.probe_process", replica],
            cwd=REPOSITORY, env={**os.environ, "LETHE_HOME": str(home)}, stderr=self.log.open("wb"),
        )  # fmt: skip

    def wait_ready(self) -> None:
        """Returns when it consumes."""
        wait_until(lambda: self._ready.exists() or self.process.poll() is not None, 20, "the probe's start")
        assert self.process.poll() is None, self.log.read_text()

    def stop(self, kind: signal.Signals = signal.SIGTERM) -> int:
        """Ends it and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(kind)
        return self.process.wait(timeout=30)


StartProbe = Callable[..., Probe]


@pytest.fixture
def start_probe(home: Path) -> Iterator[StartProbe]:
    """Starts probe services; they end with the test."""
    started: list[Probe] = []

    def start(replica: str = "0") -> Probe:
        started.append(Probe(home, replica))
        started[-1].wait_ready()
        return started[-1]

    yield start
    for probe in started:
        probe.stop(signal.SIGKILL)


@pytest.fixture
def probe(start_probe: StartProbe) -> Probe:
    """A probe service that runs."""
    return start_probe()


@pytest.fixture
def account() -> str:
    return new_id()


@pytest.fixture
def client(home: Path, broker: PrivateBroker, account: str) -> Iterator[RpcClient]:
    """A client that calls as the owner of `account`."""
    issuer = TokenIssuer("identity", home / "root-keys" / "identity" / "token.key")
    owner = Actor(kind="user", id=new_id(), account_id=account, role="owner")
    with RpcClient(
        broker.url, TokenSource(issuer, owner, timedelta(minutes=10)), sealing=Transport(home / "root-keys")
    ) as connected:
        yield connected
