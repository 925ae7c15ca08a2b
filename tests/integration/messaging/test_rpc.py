"""RPC between processes, on a real broker."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path

import amqp
import pytest

from shared import clock
from shared.broker_url import connection_parameters
from shared.deadline import until
from shared.errors import (
    AccountSuspended,
    Conflict,
    InternalError,
    InvalidArgument,
    NotFound,
    PermissionRefused,
    Tampered,
    TimedOut,
    Unauthenticated,
    Unavailable,
)
from shared.ids import new_id
from shared.rpc_client import RpcClient
from shared.rpc_wire import RPC_EXCHANGE
from shared.tokens import SCOPES, Actor, Scope, TokenIssuer
from shared.transport import CONTENT_TYPE, Transport
from tests.integration.messaging.conftest import Probe
from tests.integration.messaging.probe_service import Echo, Echoed
from tests.support.private_broker import PrivateBroker, wait_until

pytestmark = pytest.mark.timeout(120)


def test_call_is_answered(probe: Probe, client: RpcClient, account: str) -> None:
    """A call brings its struct to the service and the result back, as plain data or as the type that is asked
    for.
    """
    expected = Echoed(text="grüße \0", account=account)
    assert expected == client.call(
        "probe", "echo", Echo(text="grüße \0"), account=account, result_type=Echoed
    )
    assert {"text": "a", "account": account} == client.call("probe", "echo", {"text": "a"}, account=account)


def test_errors_keep_their_type(probe: Probe, client: RpcClient, account: str) -> None:
    """An error that a method raises arrives with its type and details; one that it did not foresee without
    its text.
    """
    with pytest.raises(Conflict) as known:
        client.call("probe", "fail", {"text": "conflict"}, account=account)
    assert {"state": "closed"} == known.value.details
    with pytest.raises(InternalError) as unforeseen:
        client.call("probe", "fail", {"text": "secret-of-somebody"}, account=account)
    assert "secret" not in str(unforeseen.value)
    assert "secret-of-somebody" not in probe.log.read_text()
    assert '"RuntimeError"' in probe.log.read_text()


def test_malformed_argument_names_field_and_rule(probe: Probe, client: RpcClient, account: str) -> None:
    """A malformed argument is refused with the path of the field and the rule, and without the value."""
    with pytest.raises(InvalidArgument) as refused:
        client.call(
            "probe",
            "echo",
            {"text": "a", "recipients": [{"address": "b"}, {"address": "c" * 41}]},
            account=account,
        )
    assert ("recipients[1].address", "is str of length <= 40") == (refused.value.field, refused.value.rule)
    with pytest.raises(InvalidArgument) as unknown:
        client.call("probe", "echo", {"text": "a", "anna@example.com": 1}, account=account)
    assert "anna" not in str(unknown.value) + str(unknown.value.details)


def test_who_may_call(probe: Probe, client: RpcClient, account: str, home: Path) -> None:
    """A call without a good token, for another account, in the wrong role, of a suspended account or method
    is refused.
    """
    issuer = TokenIssuer("identity", home / "root-keys" / "identity" / "token.key")
    agent = issuer.mint(
        Actor(kind="user", id=new_id(), account_id=account, role="agent"), timedelta(minutes=1)
    )
    with pytest.raises(Unauthenticated):
        client.call("probe", "echo", {"text": "a"}, account=account, token="nobody")
    with pytest.raises(NotFound):
        client.call("probe", "echo", {"text": "a"}, account=new_id())
    with pytest.raises(PermissionRefused):
        client.call("probe", "fail", {"text": "a"}, account=account, token=agent)
    with pytest.raises(AccountSuspended):
        client.call("probe", "echo", {"text": "a"}, account=account, idempotency_key="suspended")
    with pytest.raises(InvalidArgument):
        client.call("probe", "no_such_method", {}, account=account)
    assert client.call("probe", "remaining", account=account, idempotency_key="suspended") > 0


@pytest.mark.parametrize("held", SCOPES)
def test_what_a_scope_allows(probe: Probe, client: RpcClient, account: str, home: Path, held: Scope) -> None:
    """A token calls the methods of its scope and of narrower ones; the refusal of any other names the scope that it needs,
    and a method that declares none needs the widest.
    """
    issuer = TokenIssuer("identity", home / "root-keys" / "identity" / "token.key")
    owner = Actor(kind="user", id=new_id(), account_id=account, role="owner", scope=held)
    token = issuer.mint(owner, timedelta(minutes=1))

    def needed_but_not_held(method: str, argument: dict[str, str]) -> object:
        try:
            client.call("probe", method, argument, account=account, token=token)
        except PermissionRefused as refused:
            assert str(refused.details["scope"]) in str(refused)
            return refused.details["scope"]
        except Conflict:
            pass  # what the method itself says
        return None

    calls = {"echo": {"text": "a"}, "work": {"name": held}, "fail": {"text": "conflict"}}
    refused = [needed_but_not_held(method, argument) for method, argument in calls.items()]
    expected = {"read": [None, "write", "manage"], "write": [None, None, "manage"], "manage": [None, None, None]}
    assert expected[held] == refused


def test_deadline_is_passed_down(probe: Probe, client: RpcClient, account: str) -> None:
    """A call that is made while another is worked on does not outlive that one's deadline."""
    with until(clock.now() + timedelta(seconds=2)):
        assert client.call("probe", "remaining", account=account, timeout_seconds=10) < 2
    with until(clock.now() - timedelta(seconds=1)), pytest.raises(TimedOut):
        client.call("probe", "remaining", account=account)


def test_stopped_callee_times_out(probe: Probe, client: RpcClient, account: str) -> None:
    """A call to a service that was stopped ends as TimedOut within its time limit, give or take a second."""
    assert 0 == probe.stop()
    begun = time.monotonic()
    with pytest.raises(TimedOut):
        client.call("probe", "echo", {"text": "a"}, account=account, timeout_seconds=2)
    assert 1 < time.monotonic() - begun < 3
    begun = time.monotonic()
    with pytest.raises(TimedOut):
        client.call_async("probe", "echo", {"text": "a"}, account=account, timeout_seconds=2).result()
    assert 1 < time.monotonic() - begun < 3


def test_overdue_call_is_not_executed(
    probe: Probe, client: RpcClient, account: str, start_probe: object, home: Path
) -> None:
    """A call whose caller has given up is not begun by a service that comes later."""
    probe.stop()
    with pytest.raises(TimedOut):
        client.call("probe", "work", {"name": "too-late"}, account=account, timeout_seconds=0.5)
    start_probe("1")  # type: ignore[operator]
    client.call("probe", "work", {"name": "in-time"}, account=account)
    assert "too-late" not in (home / "probe.log").read_text()


def test_service_that_never_ran_is_unavailable(client: RpcClient, account: str) -> None:
    """A call that no queue takes ends as Unavailable, sooner than its time limit."""
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        client.call("nobody", "echo", {}, account=account, timeout_seconds=20)
    assert time.monotonic() - begun < 5


def test_many_threads_share_a_client(probe: Probe, client: RpcClient, account: str) -> None:
    """Two threads make 200 calls each over one client, and each gets its own answers."""
    wrong: list[str] = []

    def call_often(name: str) -> None:
        for number in range(200):
            text = f"{name}-{number}"
            answer = client.call("probe", "echo", {"text": text}, account=account, timeout_seconds=30)
            if answer["text"] != text:
                wrong.append(text)

    threads = [threading.Thread(target=call_often, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == wrong


def test_broker_sees_ciphertext_only(
    client: RpcClient, account: str, broker: PrivateBroker, home: Path
) -> None:
    """What the broker holds of a call, body, headers and properties, has no token, account, argument or key
    in it.
    """
    token = TokenIssuer("identity", home / "root-keys" / "identity" / "token.key").mint(
        Actor(kind="user", id=new_id(), account_id=account, role="owner"), timedelta(minutes=1)
    )
    with amqp.Connection(**connection_parameters(broker.url)) as connection:
        channel = connection.channel()
        channel.exchange_declare(RPC_EXCHANGE, "topic", durable=True, auto_delete=False)
        channel.queue_declare("rpc-eavesdropper", exclusive=True)
        channel.queue_bind("rpc-eavesdropper", RPC_EXCHANGE, routing_key="eavesdropper.*")
        argument = {"text": "a plain sentence", "recipients": [{"address": "anna@example.com"}]}
        future = client.call_async(
            "eavesdropper",
            "listen",
            argument,
            account=account,
            token=token,
            idempotency_key="key-of-mine",
            timeout_seconds=5,
        )
        message = wait_until(lambda: channel.basic_get("rpc-eavesdropper", no_ack=True), 5, "the call")
    seen = repr(message.properties).encode() + bytes(message.body) + repr(message.delivery_info).encode()
    for plain in (
        b"plain sentence",
        b"anna",
        b'listen"',
        account.encode(),
        token[:20].encode(),
        b"key-of-mine",
    ):
        assert plain not in seen
    assert 1 == message.properties["delivery_mode"] and int(message.properties["expiration"]) <= 5000
    with pytest.raises(TimedOut):
        future.result()


@pytest.mark.parametrize("body", [b"", b"not sealed", bytes(200)])
def test_body_that_does_not_open_is_refused(
    probe: Probe, broker: PrivateBroker, home: Path, body: bytes
) -> None:
    """A call that does not open gets a typed error without details, and the service lives on."""
    with amqp.Connection(**connection_parameters(broker.url)) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).queue
        channel.queue_bind(queue, RPC_EXCHANGE, routing_key=queue)
        request = amqp.Message(
            body, content_type=CONTENT_TYPE, content_encoding="binary", reply_to=queue, correlation_id="1"
        )
        channel.basic_publish(request, exchange=RPC_EXCHANGE, routing_key="probe.echo")
        message = wait_until(lambda: channel.basic_get(queue, no_ack=True), 5, "the answer")
    answer = Transport(home / "root-keys").open(message.body)
    assert (Tampered.code, {}) == (answer["error"]["lethe"]["code"], answer["error"]["lethe"]["details"])
    assert probe.process.poll() is None
