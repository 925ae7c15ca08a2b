"""What happens when a service or the broker goes away in the middle."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from shared.errors import LetheError, TimedOut, Unavailable
from shared.rpc_client import RpcClient
from tests.integration.messaging.conftest import Probe, StartProbe
from tests.support.private_broker import PrivateBroker, wait_until

pytestmark = pytest.mark.timeout(180)


def test_sigterm_finishes_what_has_begun(
    start_probe: StartProbe, client: RpcClient, account: str, home: Path
) -> None:
    """A call that runs for 3 s when its service is told to stop is finished and answered, and not run by
    another replica.
    """
    first = start_probe("0")
    future = client.call_async("probe", "work", {"name": "long", "seconds": 3}, account=account)
    wait_until(lambda: "begun long" in (home / "probe.log").read_text(), 5, "the work's begin")
    start_probe("1")
    assert 0 == first.stop()
    assert "long" == future.result()
    assert ["begun long", "done long"] == (home / "probe.log").read_text().splitlines()


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_broker_restart(
    probe: Probe, client: RpcClient, account: str, broker: PrivateBroker, kind: signal.Signals
) -> None:
    """After the broker was stopped or killed, client and service find each other again within 30 s; meanwhile
    calls end as Unavailable within their time limit."""
    assert "a" == client.call("probe", "echo", {"text": "a"}, account=account)["text"]
    broker.stop(kind)
    begun = time.monotonic()
    with pytest.raises((Unavailable, TimedOut)):
        client.call("probe", "echo", {"text": "b"}, account=account, timeout_seconds=2)
    assert time.monotonic() - begun < 3
    broker.start()
    begun = time.monotonic()

    def answers() -> bool:
        try:
            return bool(client.call("probe", "echo", {"text": "c"}, account=account, timeout_seconds=2))
        except LetheError:
            return False

    wait_until(answers, 30, "an answer after the restart")
    assert probe.process.poll() is None
    print(f"answered {time.monotonic() - begun:.1f} s after the restart")


def test_call_waits_for_a_broker_that_comes_back(
    probe: Probe, client: RpcClient, account: str, broker: PrivateBroker
) -> None:
    """A call made while the broker is away is answered if the broker and the service are back within its time
    limit.
    """
    client.call("probe", "echo", {"text": "a"}, account=account)
    broker.stop()
    future = client.call_async("probe", "echo", {"text": "b"}, account=account, timeout_seconds=60)
    broker.start()
    assert "b" == future.result()["text"]


def test_broker_goes_away_while_a_call_runs(
    probe: Probe, client: RpcClient, account: str, broker: PrivateBroker, home: Path
) -> None:
    """When an answer can't be sent since the broker is away, the service lives on; a call with an idempotency
    key is made again by the client, one without ends as TimedOut."""
    once = client.call_async(
        "probe", "work", {"name": "once", "seconds": 2}, account=account, timeout_seconds=60
    )
    keyed = client.call_async(
        "probe",
        "work",
        {"name": "keyed", "seconds": 2},
        account=account,
        timeout_seconds=60,
        idempotency_key="k",
    )
    wait_until(lambda: (home / "probe.log").read_text().count("begun") == 2, 5, "the work's begin")
    broker.stop(signal.SIGKILL)
    wait_until(lambda: (home / "probe.log").read_text().count("done") == 2, 5, "the work's end")
    broker.start()
    with pytest.raises(TimedOut):
        once.result()
    assert "keyed" == keyed.result()
    assert probe.process.poll() is None


def test_stop_while_the_broker_is_away(probe: Probe, broker: PrivateBroker) -> None:
    """A service that is told to stop while the broker is away stops within 5 s, and without an error."""
    broker.stop()
    try:
        begun = time.monotonic()
        assert 0 == probe.stop()
        assert time.monotonic() - begun < 5
    finally:
        broker.start()
