"""The server side of RPC: `@rpc_method` declares a method of a service, and checks each call before the
method sees it.

The way of a call: opened by the transport, refused if its deadline has passed, its token verified (here, by
every service itself), its account, role and scope checked, its argument validated, the service asked to `admit` it,
the method run under the deadline. Every failure becomes a typed error that survives the wire; one that nobody
foresaw becomes `internal`, without its text. nameko is the engine; domain code must not import this module,
only each `service.py` does.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeVar, cast

import amqp
import msgspec
from nameko.exceptions import ContainerBeingKilled
from nameko.extensions import register_entrypoint
from nameko.rpc import Rpc, RpcConsumer

from shared import clock, deadline, door
from shared.errors import (
    InternalError,
    InvalidArgument,
    LetheError,
    NotFound,
    PermissionRefused,
    Tampered,
    TimedOut,
)
from shared.failpoints import failpoint
from shared.logs import get_logger
from shared.message_consumer import MessageConsumer, drain
from shared.rpc_wire import RPC_EXCHANGE, WireCall, answer_body
from shared.tokens import OF_AN_ACCOUNT, SCOPES, Actor, Scope, TokenVerifier
from shared.transport import CONTENT_ENCODING, CONTENT_TYPE, transport
from shared.validation import validate

PREFETCH_COUNT: Final = 10
"""Calls held by one process at once; as many as nameko's workers (`max_workers`)."""

Method = TypeVar("Method", bound=Callable[..., Any])
log = get_logger("lethe.rpc")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call that has been checked. `argument` is the validated struct that the method declares (None if it
    takes none).

    `token` may be handed on to another service, to act there as the same actor; `deadline` is passed on by
    itself.
    """

    actor: Actor
    token: str
    account_id: str | None
    idempotency_key: str | None
    deadline: datetime
    argument: Any

    def remaining_seconds(self) -> float:
        """Seconds until the caller stops waiting; not below 0."""
        return max(0.0, (self.deadline - clock.now()).total_seconds())


class RpcMethod(msgspec.Struct, frozen=True, kw_only=True):
    """What a method declares of itself."""

    name: str
    argument: Any
    result: Any
    roles: frozenset[str]
    scope: Scope
    allow_suspended: bool
    doc: str

    def argument_schema(self) -> dict[str, Any]:
        """JSON Schema of the argument; of the empty object where the method takes none."""
        if self.argument is None:
            return {"type": "object", "properties": {}, "additionalProperties": False}
        return msgspec.json.schema(self.argument)

    def result_schema(self) -> dict[str, Any]:
        """JSON Schema of the result."""
        return msgspec.json.schema(self.result if self.result is not None else type(None))


class _NoArgument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The argument of a method that takes none."""


def rpc_method(
    *, argument: Any = None, result: Any = None, roles: frozenset[str], scope: Scope = "manage",
    allow_suspended: bool = False,
) -> Callable[[Method], Method]:  # fmt: skip
    """Makes `method(self, call: Call) -> result` callable by RPC for actors in one of these roles whose token
    has the scope: "read" for queries, "write" for everyday work, "manage" for users, tokens and policies.

    Called with a `Call` the method is itself; called by nameko with what came over the wire, it answers with
    the body of an answer and raises nothing.
    """

    def declare(method: Method) -> Method:
        declared = RpcMethod(
            name=method.__name__, argument=argument, result=result, roles=frozenset(roles), scope=scope,
            allow_suspended=allow_suspended, doc=(method.__doc__ or "").strip(),
        )  # fmt: skip

        @functools.wraps(method)
        def checked(self: Any, call: Call | IncomingCall) -> Any:
            if isinstance(call, Call):
                return method(self, call)
            return _answer(self, method, declared, call)

        checked.__rpc__ = declared  # type: ignore[attr-defined]
        register_entrypoint(checked, SealedRpc())
        return cast(Method, checked)

    return declare


def describe(service_class: type) -> list[RpcMethod]:
    """The RPC methods of a service, by name."""
    found = (getattr(getattr(service_class, name, None), "__rpc__", None) for name in dir(service_class))
    return sorted(
        (method for method in found if isinstance(method, RpcMethod)), key=lambda method: method.name
    )


class IncomingCall(msgspec.Struct, frozen=True):
    """What came over the wire, opened and not checked, and the call's correlation id."""

    routing_key: str
    correlation_id: str | None
    body: Any


def _answer(
    service: Any, method: Callable[..., Any], declared: RpcMethod, incoming: IncomingCall
) -> dict[str, Any]:
    begun = monotonic()
    result, error = None, None
    try:
        call, wire = _check(declared, incoming)
        with deadline.until(wire.deadline), door.came_by(call.actor.door):
            if hasattr(service, "admit"):
                service.admit(call, declared.allow_suspended)
            result = method(service, call)
    except LetheError as known:
        error = known
    except Exception as unforeseen:
        log.error("call failed", method=incoming.routing_key, error=unforeseen)
        error = InternalError()
    milliseconds = round((monotonic() - begun) * 1000, 1)
    log.info(
        "call", method=incoming.routing_key, code=error.code if error else "ok", duration_ms=milliseconds
    )
    return answer_body(result, error, incoming.correlation_id)


def _check(declared: RpcMethod, incoming: IncomingCall) -> tuple[Call, WireCall]:
    wire = _wire_call(incoming)
    now = clock.now()
    if wire.deadline <= now:
        raise TimedOut("the call came after its deadline; nothing was done")
    actor = verifier().verify(wire.token, now)
    if actor.kind in OF_AN_ACCOUNT and actor.account_id != wire.account:
        raise NotFound()
    if actor.role not in declared.roles:
        raise PermissionRefused()
    if SCOPES.index(actor.scope) < SCOPES.index(declared.scope):
        raise PermissionRefused(f"This needs a token of the scope {declared.scope}.", scope=declared.scope)
    argument = validate(declared.argument or _NoArgument, {} if wire.argument is None else wire.argument)
    call = Call(
        actor=actor, token=wire.token, account_id=wire.account, idempotency_key=wire.idempotency_key,
        deadline=wire.deadline, argument=argument if declared.argument is not None else None,
    )  # fmt: skip
    return call, wire


def _wire_call(incoming: IncomingCall) -> WireCall:
    kwargs = incoming.body.get("kwargs") if isinstance(incoming.body, dict) else None
    raw = kwargs.get("call") if isinstance(kwargs, dict) else None
    if not isinstance(raw, Mapping):
        raise InvalidArgument(field="call", rule="is required")
    try:
        wire = validate(WireCall, raw)
    except InvalidArgument as error:
        field = "call" if error.field == "argument" else f"call.{error.field}"
        raise InvalidArgument(field=field, rule=error.rule) from None
    if wire.deadline.tzinfo is None:
        raise InvalidArgument(field="call.deadline", rule="has a time zone")
    if wire.method is not None and wire.method != incoming.routing_key:
        raise Tampered("a call was handed to another method")
    return wire


@functools.cache
def verifier() -> TokenVerifier:
    """The verifier of this process."""
    return TokenVerifier(Path(os.environ.get("LETHE_HOME", ".lethe")).absolute() / "verifiers")


class SealedRpcConsumer(RpcConsumer):  # type: ignore[misc]
    """The one consumer of a service's calls. Answers go out on the connection that the calls came in on."""

    def setup(self) -> None:
        super().setup()
        self.consumer = MessageConsumer(self.amqp_uri, [self.queue], self.handle_delivery, PREFETCH_COUNT)

    def start(self) -> None:
        service = self.container.service_name
        self.methods = {f"{service}.{method.method_name}": method for method in self._providers}
        self.container.spawn_managed_thread(self.consumer.run)
        self.consumer.wait_until_consumer_ready()

    def stop(self) -> None:
        drain(self.consumer)

    def unregister_provider(self, provider: Any) -> None:
        # all methods share the queue: the first that stops, stops it
        self.stop()
        self._providers.discard(provider)
        if not self._providers and not self._last_provider_unregistered.ready():
            self._last_provider_unregistered.send()

    def handle_delivery(self, message: Any) -> None:
        """Opens a call and gives it to its method, or answers with the typed error that says why not."""
        routing_key = message.delivery_info["routing_key"]
        method = self.methods.get(routing_key)
        if method is None:
            unknown = InvalidArgument(field="method", rule="is one of the service's methods")
            return self.answer(message, _refusal(message, unknown))
        try:
            if message.content_type != CONTENT_TYPE:
                raise Tampered("a message is not sealed")
            body = transport().open(message.body)
        except Tampered as error:
            return self.answer(message, _refusal(message, error))
        except (
            Exception
        ) as unforeseen:  # raised here it would end the process, and then the next one that gets the call
            log.error("call can't be opened", method=routing_key, error=unforeseen)
            return self.answer(message, _refusal(message, InternalError()))
        method.handle_call(IncomingCall(routing_key, message.properties.get("correlation_id"), body), message)

    def answer(self, message: Any, body: dict[str, Any]) -> None:
        """Sends an answer and acknowledges the call. Never raises: if the broker is away, the caller's time
        limit ends it.
        """
        try:
            sealed = _sealed_answer(message, body)
            failpoint("rpc.before-answer")
            reply_to = message.properties.get("reply_to")
            if reply_to and message.channel is not None and message.channel.connection:
                _write_answer(message, sealed, reply_to)
        except Exception as error:
            log.warning("answer not sent", method=message.delivery_info.get("routing_key"), error=error)
        finally:
            self.consumer.acknowledge(message)


class SealedRpc(Rpc):  # type: ignore[misc]
    """The entrypoint that `rpc_method` attaches."""

    rpc_consumer = SealedRpcConsumer()

    def handle_call(self, incoming: IncomingCall, message: Any) -> None:
        """Runs the method in a worker, once one is free."""

        def spawn_worker() -> None:
            consumer = self.rpc_consumer.consumer
            try:
                if consumer.should_stop:
                    return consumer.requeue(
                        message
                    )  # another replica can begin it; here it would only hold up the stop
                self.container.spawn_worker(
                    self, (incoming,), {}, handle_result=functools.partial(self.handle_result, message)
                )
            except ContainerBeingKilled:
                consumer.requeue(message)

        self.container.spawn_managed_thread(spawn_worker, identifier="rpc.wait_for_worker")

    def handle_result(self, message: Any, worker_ctx: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
        if exc_info is not None:  # not of the method, which raises nothing: of nameko or of the wrapper
            result = _refusal(message, InternalError())
        self.rpc_consumer.answer(message, result)
        return None, None


def _refusal(message: Any, error: LetheError) -> dict[str, Any]:
    return answer_body(None, error, message.properties.get("correlation_id"))


def _sealed_answer(message: Any, body: dict[str, Any]) -> bytes:
    try:
        return transport().seal(body)
    except LetheError:
        error: LetheError = InternalError("the answer is larger than one message may be")
    except (TypeError, ValueError, msgspec.MsgspecError) as unforeseen:
        log.error(
            "answer can't be written", method=message.delivery_info.get("routing_key"), error=unforeseen
        )
        error = InternalError()
    return transport().seal(_refusal(message, error))


def _write_answer(message: Any, sealed: bytes, reply_to: str) -> None:
    """Writes on the consumer's channel. Not with `basic_publish`: that would read from the socket, which is
    being read.
    """
    answer = amqp.Message(
        sealed, content_type=CONTENT_TYPE, content_encoding=CONTENT_ENCODING, delivery_mode=1,
        correlation_id=message.properties.get("correlation_id"),
    )  # fmt: skip
    message.channel.send_method(
        amqp.spec.Basic.Publish, "Bssbb", (0, RPC_EXCHANGE, reply_to, False, False), answer
    )
