"""Calls services: thread-safe, one connection, one reply queue, a time limit on every call.

A call is a transient message that expires with its time limit. The connection's own thread reads answers,
sends what could not be sent yet when the broker is back (pauses of 2 s at most), and ends what is overdue;
callers write themselves and wait on a future. The same code runs in plain threads and where eventlet has
patched the standard library first. Nothing of ours is outside the sealed body, and nothing is logged here.

What happens to a call when the connection breaks: one that was not sent is sent on the next connection. One
that was sent is sent again only if that can't do its work twice, that is with an idempotency key or if the
caller says `repeatable`; otherwise it ends as `TimedOut` (it may or may not have been done).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import timedelta
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self, TypeVar, overload

import msgspec

from shared import clock
from shared.deadline import remaining_seconds
from shared.errors import InternalError, Tampered, TimedOut
from shared.rpc_connection import Connection, Request
from shared.rpc_wire import WireCall, error_in, request_body
from shared.transport import Transport, transport

T = TypeVar("T")
Argument = msgspec.Struct | Mapping[str, Any] | None
DEFAULT_TIMEOUT_SECONDS: Final = 10.0


class RpcClient:
    """A client of all services at one broker. Connects at the first call, reconnects by itself, is shared by
    all threads.

    `token_source` is asked for an actor's token at every call that brings none of its own
    (`shared.tokens.TokenSource`).
    """

    def __init__(
        self, amqp_url: str, token_source: Callable[[], str], *, sealing: Transport | None = None
    ) -> None:
        self._token_source = token_source
        self._sealing = sealing or transport()
        self._connection = Connection(amqp_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection. Calls that wait for an answer end as `Unavailable`."""
        self._connection.close()

    @overload
    def call(
        self, service: str, method: str, argument: Argument = None, *, account: str | None,
        idempotency_key: str | None = None, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        token: str | None = None, repeatable: bool = False, result_type: type[T],
    ) -> T: ...  # fmt: skip

    @overload
    def call(
        self, service: str, method: str, argument: Argument = None, *, account: str | None,
        idempotency_key: str | None = None, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        token: str | None = None, repeatable: bool = False, result_type: None = None,
    ) -> Any: ...  # fmt: skip

    def call(
        self, service: str, method: str, argument: Argument = None, *, account: str | None,
        idempotency_key: str | None = None, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        token: str | None = None, repeatable: bool = False, result_type: Any = None,
    ) -> Any:  # fmt: skip
        """Calls a method and waits for its answer: plain data, or a `result_type` where one is given.

        `timeout_seconds` is shortened to the deadline of the call that is being worked on, if there is one.
        Raises the service's error as it was raised there; `TimedOut` when no answer came in time;
        `Unavailable` when the call reached no service (broker away, or no queue), so that nothing was done.
        """
        request = self._request(
            service, method, argument, account, idempotency_key, timeout_seconds, token, repeatable
        )
        self._connection.send(request)
        try:
            sealed = request.future.result(timeout=max(0.0, request.until - monotonic()))
        except FutureTimeout:
            self._connection.forget(request)
            raise request.overdue() from None
        return self._result(request, sealed, result_type)

    def call_async(
        self, service: str, method: str, argument: Argument = None, *, account: str | None,
        idempotency_key: str | None = None, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        token: str | None = None, repeatable: bool = False, result_type: Any = None,
    ) -> Future[Any]:  # fmt: skip
        """As `call`, without waiting: the future gets the result or the error, within the time limit and a
        tick.
        """
        outcome: Future[Any] = Future()
        request = self._request(
            service, method, argument, account, idempotency_key, timeout_seconds, token, repeatable
        )

        def finish(answered: Future[bytes]) -> None:
            try:
                result = self._result(request, answered.result(), result_type)
            except BaseException as error:
                _settle(outcome.set_exception, error)
            else:
                _settle(outcome.set_result, result)

        request.future.add_done_callback(finish)
        self._connection.send(request)
        return outcome

    def _request(
        self, service: str, method: str, argument: Argument, account: str | None, idempotency_key: str | None,
        timeout_seconds: float, token: str | None, repeatable: bool,
    ) -> Request:  # fmt: skip
        seconds = remaining_seconds(timeout_seconds)
        if seconds <= 0:
            raise TimedOut()
        name = f"{service}.{method}"
        call = WireCall(
            token=self._token_source() if token is None else token,
            account=account,
            idempotency_key=idempotency_key,
            deadline=clock.now() + timedelta(seconds=seconds),
            argument={} if argument is None else argument,
            method=name,
        )
        body = self._sealing.seal(request_body(call))
        again = repeatable or idempotency_key is not None
        return Request(name, str(uuid.uuid4()), body, monotonic() + seconds, again)

    def _result(self, request: Request, sealed: bytes, result_type: Any) -> Any:
        answer = self._sealing.open(sealed)
        if (
            not isinstance(answer, dict)
            or answer.get("answers", request.correlation_id) != request.correlation_id
        ):
            raise Tampered("an answer does not belong to its call")
        error = error_in(answer)
        if error is not None:
            raise error
        if result_type is None:
            return answer.get("result")
        try:
            return msgspec.convert(answer.get("result"), result_type, strict=True)
        except msgspec.MsgspecError:
            raise InternalError("an answer is not of the type that was expected") from None


def _settle(settle: Callable[[Any], None], value: Any) -> None:
    try:
        settle(value)
    except InvalidStateError:
        pass  # the caller has cancelled it
