"""A malformed call gets a typed error that names the field and the rule, and repeats nothing that was sent; nor does a log. A
callee that does not answer gives a time-out in time."""

from __future__ import annotations

import functools
import os
import re
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import Any

import amqp
import msgspec.inspect
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.stack import Stack
from shared import clock
from shared.broker_url import connection_parameters
from shared.errors import InternalError, InvalidArgument, LetheError, TimedOut, Unavailable, from_wire, to_wire
from shared.ids import new_id
from shared.rpc import RpcMethod, describe
from shared.rpc_wire import RPC_EXCHANGE
from shared.service_classes import service_class
from shared.settings import SERVICES
from shared.transport import CONTENT_ENCODING, CONTENT_TYPE, Transport
from tests.support.byte_scan import scan
from tests.support.desk import Callers, Desk, await_it
from tests.support.every_call import CALLS
from tests.support.malformed import GARBAGE, MARK, broken, fitting

METHODS = [(service, method) for service, of_service in CALLS.items() for method in of_service]
SECONDS = 2.0
UNFORESEEN = (InternalError, TimedOut, Unavailable)
few = settings(
    max_examples=12, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@pytest.fixture(scope="module")
def desk(callers: Callers) -> Desk:
    """An account that may be filled with nonsense."""
    return Desk.open(callers)


@pytest.fixture(scope="module")
def closed_desk(callers: Callers) -> Desk:
    """An account that may be suspended."""
    return Desk.open(callers)


@functools.cache
def declared(service: str, method: str) -> RpcMethod:
    """What a method declares."""
    return next(one for one in describe(service_class(service)) if one.name == method)


@functools.cache
def argument_type(service: str, method: str) -> msgspec.inspect.Type:
    """The type of a method's argument; of the empty object where it takes none."""
    argument = declared(service, method).argument
    return msgspec.inspect.type_info(argument if argument is not None else msgspec.defstruct("Nothing", []))


@pytest.mark.parametrize(("service", "method"), METHODS)
def test_each_broken_rule_is_named_with_its_field(desk: Desk, service: str, method: str) -> None:
    """Whatever rule of an argument is broken, at whatever depth, and only that: the error is `invalid_argument`, with the
    path of the field and the rule."""
    cases = list(broken(argument_type(service, method)))
    assert len(cases) > 3
    for case in cases:
        error = refusal(desk, service, method, case.value)
        assert isinstance(error, InvalidArgument), (case, to_wire(error))
        assert (case.field, True) == (re.sub(r"\[\d+\]", "[...]", error.field), case.rule in error.rule), (case, to_wire(error))
        assert_repeats_nothing(error, case)


@pytest.mark.parametrize(("service", "method"), METHODS)
@few
@given(data=st.data())
def test_garbage_gets_a_typed_error(desk: Desk, service: str, method: str, data: st.DataObject) -> None:
    """Any plain data in place of an argument, or of one of its fields, is refused with a typed error, or taken if it happens to
    fit."""
    argument: Any = data.draw(GARBAGE)
    kind = argument_type(service, method)
    if isinstance(kind, msgspec.inspect.StructType) and kind.fields and data.draw(st.booleans()):
        argument = data.draw(fitting(kind)) | {data.draw(st.sampled_from(names(kind))): argument}
    error = outcome(desk, service, method, argument)
    if error is not None:
        assert not isinstance(error, UNFORESEEN), to_wire(error)
        assert_repeats_nothing(error, argument)


@pytest.mark.parametrize(("service", "method"), METHODS)
@few
@given(data=st.data())
def test_odd_values_that_fit_are_answered_or_refused(
    desk: Desk, closed_desk: Desk, service: str, method: str, data: st.DataObject
) -> None:
    """What the types allow, with NUL, markup, other writings and dates of any year in it, is done, or refused with a typed
    error; nothing of it is unforeseen."""
    argument = data.draw(fitting(argument_type(service, method)))
    where = closed_desk if service == "lifecycle" else desk
    error = outcome(where, service, method, argument)
    if error is not None:
        assert not isinstance(error, UNFORESEEN), (argument, to_wire(error))
        assert_repeats_nothing(error, argument)


@pytest.mark.parametrize("service", SERVICES)
def test_a_malformed_call_gets_a_typed_error(callers: Callers, service: str) -> None:
    """Around the argument as well: no call in the body, no deadline, one without a time zone, a token or an account of another
    kind, a method that is not there, a body that is not sealed or sealed by somebody else."""
    deadline, token = clock.now().replace(year=2099), callers.service("tickets")
    whole: dict[str, Any] = {"token": token, "account": None, "deadline": deadline, "argument": {}, "method": None}
    bodies: list[Any] = [
        None, MARK, [MARK], {}, {"kwargs": MARK}, {"args": [MARK], "kwargs": {}}, {"kwargs": {"call": MARK}},
        *({"args": [], "kwargs": {"call": whole | change}} for change in (
            {"deadline": MARK}, {"deadline": None}, {"deadline": "2099-01-01T00:00:00"}, {"token": 7}, {"token": MARK},
            {"token": f"lethe-actor.{MARK}.{MARK}"}, {"account": MARK}, {"account": [MARK]}, {"account": {MARK: MARK}},
            {"idempotency_key": MARK * 50}, {"idempotency_key": ""}, {"method": f"{service}.{MARK}"}, {MARK: MARK},
        )),
    ]  # fmt: skip
    sealing = Transport(callers.settings.path("root-keys"))
    with raw_caller(callers) as send:
        for body in bodies:
            assert_typed(sealing, send(f"{service}.show_health", sealing.seal(body), CONTENT_TYPE), body)
        sealed = sealing.seal(bodies[-1])
        for octets in (MARK.encode(), b"", sealed[:-1] + bytes([sealed[-1] ^ 1]), b"\x01\0\0\0\x63" + sealed[5:]):
            assert_typed(sealing, send(f"{service}.show_health", octets, CONTENT_TYPE), octets)
        assert_typed(sealing, send(f"{service}.show_health", MARK.encode(), "application/json"), "not sealed")
        assert_typed(sealing, send(f"{service}.{MARK}", sealed, CONTENT_TYPE), "no such method")


def test_no_log_repeats_anything_that_was_sent(desk: Desk, stack: Stack) -> None:
    """After all these calls no log file has a piece of one, in whatever form, nor a stack trace."""
    logs = stack.home / "logs"
    assert not scan(logs, [MARK])
    for service in SERVICES:
        for path in logs.glob(f"{service}-*.log"):
            said = path.read_text(errors="replace")
            assert "Traceback" not in said and '"event":"call failed"' not in said, path
            assert '"code":"invalid_argument"' in said


def test_a_callee_that_stands_still_gives_a_time_out_in_time(callers: Callers, stack: Stack, desk: Desk) -> None:
    """Each service stopped with SIGSTOP: a call to it ends as timed out within the stated time, give or take a second; so does
    a call to a service that has to ask one that stands still. Afterwards all go on."""
    methods = {
        "identity": "list_users", "contacts": "list_persons", "tickets": "list_tickets", "erasure": "list_erasures",
        "lifecycle": "show_account", "audit": "list_alerts",
    }  # fmt: skip
    assert set(methods) == set(SERVICES)
    with frozen(stack, SERVICES), ThreadPoolExecutor(len(methods)) as threads:
        for error, seconds in threads.map(lambda one: timed(desk, *one), methods.items()):
            assert isinstance(error, TimedOut)
            assert abs(seconds - SECONDS) <= 1
    for service, method in methods.items():
        await_it(functools.partial(is_answered, desk, service, method), 30)
    with frozen(stack, ["contacts"]):
        error, seconds = timed(desk, "erasure", "preview_erasure", {"who": f"{MARK}@example.org"})
        assert isinstance(error, (TimedOut, Unavailable))
        assert abs(seconds - SECONDS) <= 1
    await_it(functools.partial(is_answered, desk, "contacts", "list_persons"), 30)


# ------------------------------------------------------------------------------------------------------------------- outcomes


def outcome(desk: Desk, service: str, method: str, argument: Any) -> LetheError | None:
    """The error of a call by somebody who may call the method; None if it was answered."""
    roles = declared(service, method).roles
    token = desk.token if "owner" in roles else desk.callers.operator
    token = desk.callers.service("erasure") if roles == {"service"} else token
    token = desk.callers.customer(desk.account, new_id()) if roles == {"customer"} else token
    try:
        desk.call(service, method, argument, token=token)
    except LetheError as error:
        return error
    return None


def is_answered(desk: Desk, service: str, method: str) -> bool:
    """Whether a call that asks for nothing in particular is answered."""
    return outcome(desk, service, method, {}) is None


def refusal(desk: Desk, service: str, method: str, argument: Any) -> LetheError:
    """The error of a call, which must have one."""
    error = outcome(desk, service, method, argument)
    assert error is not None, f"{service}.{method} took {argument!r:.200}"
    return error


def timed(desk: Desk, service: str, method: str, argument: Any = None) -> tuple[LetheError, float]:
    """The error of a call with a time limit, and the seconds after which it came."""
    begun = monotonic()
    with pytest.raises(LetheError) as failed:
        desk.call(service, method, argument, seconds=SECONDS)
    return failed.value, monotonic() - begun


def assert_repeats_nothing(error: LetheError, sent: Any) -> None:
    """An error has nothing of what was sent."""
    assert MARK not in str(to_wire(error)), (sent, to_wire(error))
    assert MARK.encode().hex() not in str(to_wire(error))


def names(kind: msgspec.inspect.StructType) -> list[str]:
    """The fields of a struct."""
    return [one.encode_name for one in kind.fields]


def assert_typed(sealing: Transport, answer: bytes | None, sent: Any) -> None:
    """An answer is sealed, and says by a typed error what was wrong."""
    assert answer is not None, f"no answer to {sent!r:.200}"
    told = sealing.open(answer)["error"]["lethe"]
    assert not isinstance(from_wire(told), InternalError), (sent, told)
    assert MARK not in str(told), (sent, told)


@contextmanager
def raw_caller(callers: Callers) -> Iterator[Any]:
    """Sends any bytes to a method, and gives the bytes of the answer; None if none comes within 5 s."""
    with amqp.Connection(**connection_parameters(callers.settings.amqp_url)) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).queue
        channel.queue_bind(queue, RPC_EXCHANGE, routing_key=queue)

        def send(routing_key: str, octets: bytes, content_type: str) -> bytes | None:
            message = amqp.Message(
                octets, content_type=content_type, content_encoding=CONTENT_ENCODING, reply_to=queue, correlation_id="1"
            )
            channel.basic_publish(message, exchange=RPC_EXCHANGE, routing_key=routing_key)
            answer = await_it(lambda: channel.basic_get(queue, no_ack=True), 5, lambda: f"no answer to {octets!r:.200}")
            return bytes(answer.body)

        yield send


@contextmanager
def frozen(stack: Stack, services: Iterable[str]) -> Iterator[None]:
    """Services stand still for the length of the block."""
    pids = [pid for service in services if (pid := stack.pid(service)) is not None]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
