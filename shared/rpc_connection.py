"""The connection of an RPC client: one to the broker, one reply queue, one thread that reads, any number that
write.

It carries bytes and knows nothing of what is in them. py-amqp's writer holds a lock of its own and its reader
is used by the one thread alone, so callers write without waiting for each other's answers. The capability
`connection.blocked` is off: with it, every publish would read from the socket, in the caller's thread.
"""

from __future__ import annotations

import select
import socket
import threading
import uuid
from concurrent.futures import Future, InvalidStateError
from time import monotonic
from typing import Any, Final

import amqp

from shared.broker_url import CONNECT_TIMEOUT_SECONDS, connection_parameters
from shared.errors import LetheError, TimedOut, Unavailable
from shared.rpc_wire import RPC_EXCHANGE
from shared.transport import CONTENT_ENCODING, CONTENT_TYPE

READ_TIMEOUT_SECONDS: Final = 30.0
SHORTEST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 2.0
TICK_SECONDS: Final = 0.1
NO_QUEUE_GRACE_SECONDS: Final = 2.0
"""How long a call to a service that has no queue yet is tried again: a stack that is starting."""
NO_QUEUE_PAUSE_SECONDS: Final = 0.2


class Request:
    """A call on its way. `future` gets the sealed answer, or an error. `until` is on the monotonic clock, in
    seconds.
    """

    __slots__ = (
        "body",
        "channel",
        "correlation_id",
        "future",
        "next_try",
        "repeatable",
        "returned_since",
        "routing_key",
        "until",
    )

    def __init__(
        self, routing_key: str, correlation_id: str, body: bytes, until: float, repeatable: bool
    ) -> None:
        self.routing_key = routing_key
        self.correlation_id = correlation_id
        self.body = body
        self.until = until
        self.repeatable = repeatable
        self.future: Future[bytes] = Future()
        self.channel: Any = None  # where it was sent; None while it was not
        self.returned_since: float | None = None  # since when the broker says that no queue takes it
        self.next_try = 0.0

    def overdue(self) -> LetheError:
        """What to tell a caller whose time is over."""
        if self.returned_since is not None:
            return Unavailable("no service takes this call")
        return Unavailable("the broker could not be reached") if self.channel is None else TimedOut()


class Connection:
    """Sends requests and completes their futures. Connects when the first request comes; `close` ends it for
    good.
    """

    def __init__(self, amqp_url: str) -> None:
        self._parameters = connection_parameters(amqp_url)
        self._lock = threading.Lock()  # guards what follows; never held while writing or waiting
        self._pending: dict[str, Request] = {}
        self._channel: Any = None
        self._reply_to = ""
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def send(self, request: Request) -> None:
        """Sends a request now, or as soon as there is a connection."""
        with self._lock:
            if self._closing.is_set():
                raise Unavailable("the client is closed")
            self._pending[request.correlation_id] = request
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rpc-client", daemon=True)
                self._thread.start()
            channel = self._channel
        if channel is not None:
            self._write(channel, request)

    def forget(self, request: Request) -> None:
        """An answer that comes from now on is dropped."""
        with self._lock:
            self._pending.pop(request.correlation_id, None)

    def close(self) -> None:
        """Ends the connection and everything that waits for an answer."""
        self._closing.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=CONNECT_TIMEOUT_SECONDS)
        for request in self._take(lambda request: True):
            _fail(request, Unavailable("the client was closed"))

    # ------------------------------------------------------------------------------------------------- any
    # thread

    def _write(self, channel: Any, request: Request) -> None:
        with self._lock:
            # claimed before it is written, so that a call is never on its way twice
            if request.channel is not None or request.correlation_id not in self._pending:
                return
            request.channel = channel
            reply_to = self._reply_to
        milliseconds = max(1, int((request.until - monotonic()) * 1000))
        message = amqp.Message(
            request.body, content_type=CONTENT_TYPE, content_encoding=CONTENT_ENCODING, delivery_mode=1,
            reply_to=reply_to, correlation_id=request.correlation_id, expiration=str(milliseconds),
        )  # fmt: skip
        try:
            channel.basic_publish(
                message, exchange=RPC_EXCHANGE, routing_key=request.routing_key, mandatory=True
            )
        except (OSError, amqp.AMQPError, AttributeError):
            # not written whole, so not delivered; AttributeError is what py-amqp gives once it has dropped
            # its socket
            with self._lock:
                if request.channel is channel:
                    request.channel = None
            _shut(channel)

    def _take(self, which: Any) -> list[Request]:
        with self._lock:
            taken = [request for request in self._pending.values() if which(request)]
            for request in taken:
                del self._pending[request.correlation_id]
        return taken

    # ----------------------------------------------------------------------------------------- the
    # connection's own thread

    def _run(self) -> None:
        pause = SHORTEST_PAUSE_SECONDS
        while not self._closing.is_set():
            connection = amqp.Connection(**self._parameters)
            connection.negotiate_capabilities = {
                "consumer_cancel_notify": True,
                "authentication_failure_close": True,
            }
            try:
                self._open(connection)
                pause = SHORTEST_PAUSE_SECONDS
                self._serve(connection)
            except Exception:
                # Whatever it says, the connection broke. The thread must not die: nobody would be told
                pass
            finally:
                self._lost()
                _end(connection, gracefully=self._closing.is_set())
            resume = monotonic() + pause
            while not self._closing.is_set() and monotonic() < resume:
                self._end_overdue()
                self._closing.wait(TICK_SECONDS)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _open(self, connection: Any) -> None:
        connection.connect()
        channel = connection.channel()
        channel.events["basic_return"].add(self._on_return)
        channel.exchange_declare(RPC_EXCHANGE, "topic", durable=True, auto_delete=False)
        key = str(
            uuid.uuid4()
        )  # a new one each time: the broker may not have noticed yet that the old owner is gone
        queue = f"rpc.reply-{key}"
        channel.queue_declare(queue, exclusive=True, auto_delete=True, durable=False)
        channel.queue_bind(queue, RPC_EXCHANGE, routing_key=key)
        channel.basic_consume(queue, no_ack=True, exclusive=True, callback=self._on_answer)
        with self._lock:
            self._reply_to = key
            self._channel = channel
            waiting = list(self._pending.values())
        for request in waiting:
            self._write(channel, request)

    def _serve(self, connection: Any) -> None:
        last_tick = 0.0
        while not self._closing.is_set():
            if _readable(connection.transport, TICK_SECONDS):
                # one frame, not `drain_events`: after a heartbeat that would wait for a message, and we would
                # not beat
                connection.blocking_read(READ_TIMEOUT_SECONDS)
            now = monotonic()
            if now - last_tick >= TICK_SECONDS:
                last_tick = now
                connection.heartbeat_tick()
                self._end_overdue()
                self._send_returned(now)

    def _lost(self) -> None:
        with self._lock:
            self._channel = None
            for request in self._pending.values():
                if request.repeatable:
                    request.channel = None
        for request in self._take(lambda request: request.channel is not None):
            _fail(
                request,
                TimedOut(
                    "the connection broke before an answer came; the work may or may not have been done"
                ),
            )

    def _end_overdue(self) -> None:
        now = monotonic()
        for request in self._take(lambda request: request.until <= now):
            _fail(request, request.overdue())

    def _on_answer(self, message: Any) -> None:
        with self._lock:
            request = self._pending.pop(message.properties.get("correlation_id"), None)
        if request is not None:
            try:
                request.future.set_result(bytes(message.body))
            except InvalidStateError:
                pass  # the caller has cancelled it

    def _on_return(self, _error: Any, _exchange: str, _routing_key: str, message: Any) -> None:
        """No queue took it, so nobody has it: it may be sent again."""
        now = monotonic()
        with self._lock:
            request = self._pending.get(message.properties.get("correlation_id"))
            if request is None:
                return
            since = request.returned_since if request.returned_since is not None else now
            request.returned_since, request.next_try = since, now + NO_QUEUE_PAUSE_SECONDS
            if now - since < NO_QUEUE_GRACE_SECONDS:
                return
            del self._pending[request.correlation_id]
        _fail(request, request.overdue())

    def _send_returned(self, now: float) -> None:
        with self._lock:
            channel = self._channel
            again = [
                one
                for one in self._pending.values()
                if one.returned_since is not None and 0 < one.next_try <= now
            ]
            for request in again:
                request.channel, request.next_try = None, 0.0
        for request in again:
            self._write(channel, request)


def _readable(transport: Any, timeout_seconds: float) -> bool:
    """Waits until there is something to read, without a time limit on the socket, which would also count for
    writers.
    """
    if getattr(transport, "_read_buffer", b""):
        return True
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(transport.sock, select.POLLIN)
        return bool(poll.poll(timeout_seconds * 1000))
    return bool(
        select.select([transport.sock], [], [], timeout_seconds)[0]
    )  # eventlet's select has no limit of 1,024


def _fail(request: Request, error: LetheError) -> None:
    try:
        request.future.set_exception(error)
    except InvalidStateError:
        pass


def _shut(channel: Any) -> None:
    """Makes the reading thread notice that the connection is over."""
    try:
        channel.connection.transport.sock.shutdown(socket.SHUT_RDWR)
    except (OSError, AttributeError):
        pass


def _end(connection: Any, *, gracefully: bool) -> None:
    try:
        if gracefully and connection.connected:
            connection.close()
        else:
            connection.collect()
    except Exception:  # it is over in any case
        pass
