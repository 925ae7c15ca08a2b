"""The client where eventlet has patched the standard library, as in a service that calls another."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from shared.ids import new_id
from shared.tokens import Actor, TokenIssuer
from tests.integration.messaging.conftest import REPOSITORY, Probe
from tests.support.private_broker import PrivateBroker

GREEN_CLIENT = """
import eventlet
eventlet.monkey_patch()
import sys, time
from shared.rpc_client import RpcClient

url, token, account = sys.argv[1:]
begun = time.monotonic()
with RpcClient(url, lambda: token) as client:
    def work(number):
        return client.call("probe", "work", {"name": f"green-{number}", "seconds": 0.5}, account=account)
    pool = eventlet.GreenPool(8)
    answers = sorted(pool.imap(work, range(8)))
    print(answers == [f"green-{number}" for number in range(8)], time.monotonic() - begun < 3)
"""


@pytest.mark.timeout(60)
def test_green_threads_share_a_client(probe: Probe, broker: PrivateBroker, home: Path, account: str) -> None:
    """Eight green threads call over one client at the same time, and none holds up another."""
    issuer = TokenIssuer("identity", home / "root-keys" / "identity" / "token.key")
    token = issuer.mint(
        Actor(kind="user", id=new_id(), account_id=account, role="agent"), timedelta(minutes=1)
    )
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", GREEN_CLIENT, broker.url, token, account],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert "True True" == run.stdout.strip(), run.stderr
