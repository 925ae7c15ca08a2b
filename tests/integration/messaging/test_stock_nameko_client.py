"""That the wire is nameko's own."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from shared import clock
from shared.ids import new_id
from shared.tokens import Actor, TokenIssuer
from tests.integration.messaging.conftest import REPOSITORY, Probe
from tests.support.private_broker import PrivateBroker

STOCK_CLIENT = """
import sys
import nameko
from nameko.exceptions import RemoteError
from nameko.standalone.rpc import ClusterRpcClient
from shared.transport import register_serializer

register_serializer()
url, token, account, deadline = sys.argv[1:]
config = {"AMQP_URI": url, "serializer": "lethe-sealed", "ACCEPT": ["lethe-sealed"]}
call = {"token": token, "account": account, "deadline": deadline, "argument": {"text": "a"}}
with nameko.config.patch(config), ClusterRpcClient() as client:
    print(client.probe.echo(call=call)["text"])
    try:
        client.probe.echo(call={**call, "argument": {"text": 5}})
    except RemoteError as error:
        print(error.exc_type, error.value)
"""


@pytest.mark.timeout(60)
def test_stock_client_is_answered(probe: Probe, broker: PrivateBroker, home: Path, account: str) -> None:
    """nameko's own client, given the serializer, calls a method and gets its result, or its error by name."""
    issuer = TokenIssuer("identity", home / "root-keys" / "identity" / "token.key")
    token = issuer.mint(
        Actor(kind="user", id=new_id(), account_id=account, role="agent"), timedelta(minutes=1)
    )
    deadline = (clock.now() + timedelta(seconds=30)).isoformat()
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STOCK_CLIENT, broker.url, token, account, deadline],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert ["a", "InvalidArgument text: is str"] == run.stdout.splitlines(), run.stderr
