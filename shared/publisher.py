"""Publishing logged events to the broker: persistent, mandatory, confirmed, in the order of the log, at least
once.

The relay's fifth step. A thread of its own runs pika's loop; the relay hands it events in log order
(`submit`, no more than `room`) and reads back how far the broker has confirmed without a hole (`confirmed`).
What was not confirmed when a connection ends is sent again from the first such event on, so order holds and
duplicates are possible. It knows nothing of the database, and it publishes only what it is given: the relay
gives it nothing that a signed checkpoint does not cover.

Topology is not its business (`shared/bus.py` declares it): while the exchange is missing it keeps trying.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import pika
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel
from pika.exceptions import AMQPError

from shared.failpoints import failpoint
from shared.relay_database import LoggedEvent

EXCHANGE = "lethe.events"
WINDOW = 1_000
MOST_WAITING = 3_000
SHORTEST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0

log = logging.getLogger("lethe.publisher")


class Publisher:
    """One connection, one channel. `submit`, `room`, `confirmed` belong to the relay's thread, the rest to
    the publisher's.

    `progress` is called, in the publisher's thread, whenever `confirmed` or `broker` has changed.
    """

    def __init__(self, amqp_url: str, source: str, confirmed: int, progress: Callable[[], None]) -> None:
        self.confirmed = confirmed
        self.broker = "connecting"
        self.unrouted: Counter[str] = Counter()  # by event type: published, and no queue was bound
        self._source = source
        self._parameters = pika.URLParameters(amqp_url)
        self._parameters.heartbeat = 20
        self._parameters.socket_timeout = 5
        self._parameters.blocked_connection_timeout = None  # a broker short of memory is waited for
        self._progress = progress
        self._queue: deque[LoggedEvent] = deque()  # not sent on this channel
        self._sent: deque[LoggedEvent] = deque()  # sent, the first one not confirmed
        self._acknowledged: set[int] = set()  # delivery tags beyond the first unconfirmed one
        self._first_tag = 1  # of `_sent[0]`
        self._connection: SelectConnection | None = None
        self._channel: Channel | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the connection. What is not confirmed by then will be published again by the next relay."""
        self._stopping.set()
        self._in_loop(self._close)
        self._thread.join(timeout=5.0)

    @property
    def room(self) -> int:
        """How many more events may be submitted now."""
        return MOST_WAITING - self.waiting

    @property
    def waiting(self) -> int:
        """How many events were submitted and not confirmed."""
        return len(self._queue) + len(self._sent)

    def submit(self, events: Sequence[LoggedEvent]) -> None:
        """Takes events that follow, in the order of the log, the ones submitted before."""
        self._queue.extend(events)
        self._in_loop(self._pump)

    # ------------------------------------------------------------------------------------------- the
    # publisher's own thread

    def _in_loop(self, call: Callable[[], None]) -> None:
        connection = self._connection
        if connection is not None:
            connection.ioloop.add_callback_threadsafe(call)

    def _run(self) -> None:
        pause = SHORTEST_PAUSE_SECONDS
        while not self._stopping.is_set():
            try:
                self._connection = SelectConnection(
                    self._parameters,
                    on_open_callback=self._on_open,
                    on_open_error_callback=self._on_closed,
                    on_close_callback=self._on_closed,
                )
                self._connection.ioloop.start()
            except (AMQPError, OSError) as error:
                self._say(f"away: {type(error).__name__}")
            except (
                Exception
            ) as error:  # the thread must not die: without it nothing is published and nobody is told
                log.error("publisher failed error=%s", type(error).__name__)
                self._say(f"failed: {type(error).__name__}")
            if self._channel is not None:
                pause = SHORTEST_PAUSE_SECONDS
            self._start_over()
            self._stopping.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _start_over(self) -> None:
        """Everything that was sent and not confirmed without a hole goes back to the head of the queue, in
        order.
        """
        self._connection = self._channel = None
        self._queue.extendleft(reversed(self._sent))
        self._sent.clear()
        self._acknowledged.clear()
        self._first_tag = 1

    def _say(self, broker: str) -> None:
        if broker != self.broker:
            log.info("broker %s", broker)
            self.broker = broker
            self._progress()

    def _on_open(self, connection: SelectConnection) -> None:
        if self._stopping.is_set():
            connection.close()
            return
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)

        def ready(_: Any) -> None:
            self._channel = channel
            self._say("connected")
            self._pump()

        def exchange_is_there(_: Any) -> None:
            channel.confirm_delivery(ack_nack_callback=self._on_confirm, callback=ready)

        channel.exchange_declare(EXCHANGE, passive=True, callback=exchange_is_there)

    def _on_channel_closed(self, channel: Channel, reason: BaseException) -> None:
        if not self._stopping.is_set():
            code = getattr(reason, "reply_code", 0)
            self._say("exchange missing" if code == 404 else f"channel closed ({code})")
        if channel.connection.is_open:
            channel.connection.close()

    def _on_closed(self, connection: SelectConnection, reason: Any) -> None:
        if not self._stopping.is_set() and self.broker in ("connected", "connecting"):
            self._say("away")
        connection.ioloop.stop()

    def _close(self) -> None:
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def _pump(self) -> None:
        """Sends while the window has room."""
        channel = self._channel
        if channel is None or not channel.is_open:
            return
        while self._queue and len(self._sent) < WINDOW:
            event = self._queue.popleft()
            self._sent.append(event)
            failpoint("relay.publishing")
            channel.basic_publish(
                EXCHANGE, event.type, event.envelope, self._properties(event), mandatory=True
            )

    def _properties(self, event: LoggedEvent) -> pika.BasicProperties:
        return pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,
            message_id=event.event_id,
            type=event.type,
            headers={
                "cloudEvents:specversion": "1.0",
                "cloudEvents:id": event.event_id,
                "cloudEvents:source": self._source,
                "cloudEvents:type": event.type,
                "cloudEvents:time": event.occurred_at.isoformat().replace("+00:00", "Z"),
                "cloudEvents:subject": event.stream,
                "cloudEvents:logindex": event.index,
            },
        )

    def _on_return(self, _channel: Channel, returned: Any, _properties: Any, _body: bytes) -> None:
        """No queue is bound for this type: nobody reacts to it. Counted; its confirm follows, and the log has
        the event.
        """
        if not self.unrouted[returned.routing_key]:
            log.info("no queue takes events of type %s", returned.routing_key)
        self.unrouted[returned.routing_key] += 1

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        if method.NAME == "Basic.Nack":
            log.warning("the broker refused an event; sending again from the first unconfirmed one")
            self._close()
            return
        tag = method.delivery_tag
        last = self._first_tag - 1
        if method.multiple:
            last = tag
            self._acknowledged = {later for later in self._acknowledged if later > tag}
        else:
            self._acknowledged.add(tag)
        while last + 1 in self._acknowledged:
            last += 1
            self._acknowledged.discard(last)
        while self._first_tag <= last and self._sent:
            self.confirmed = self._sent.popleft().index + 1
            self._first_tag += 1
        self._pump()
        self._progress()
