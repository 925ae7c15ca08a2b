"""A consumer that keeps what it was given until it is done: it drains before it stops, and comes back within
2 s.

Shared by RPC and bus. It fills three gaps of nameko's consumer: at a stop it cancels its tags and goes on
reading until nothing is unsettled (nameko leaves, and the broker gives what is running to somebody else,
too); its pauses before reconnecting are 2 s at most; and it settles messages of a connection that is gone
silently, since the broker already has them back. All methods run in the hub of the one process, in green
threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any, Final

from kombu.entity import Queue
from kombu.messaging import Consumer as KombuConsumer
from nameko.amqp.consume import Consumer

LONGEST_PAUSE_SECONDS: Final = 2.0
DRAIN_LIMIT_SECONDS: Final = 10.0
HEARTBEAT_SECONDS: Final = 20
READ_SECONDS: Final = 1.0
STOPPING_READ_SECONDS: Final = 0.05


class StoppedWhileConnecting(Exception):
    """The process was told to stop before it ever reached the broker."""


def drain(consumer: MessageConsumer) -> None:
    """Stops a consumer and waits, in a green thread, until what it holds is settled (its limit is
    `DRAIN_LIMIT_SECONDS`).
    """
    consumer.stop()
    latest = monotonic() + DRAIN_LIMIT_SECONDS + 1.0
    while consumer.unsettled and not consumer.ended and monotonic() < latest:
        sleep(STOPPING_READ_SECONDS)


class MessageConsumer(Consumer):  # type: ignore[misc]
    """Consumes from `queues` on one connection; `on_message(message)` is called with each message, not
    decoded.

    Whoever is given a message must settle it, once, with `acknowledge`, `requeue` or `reject`.
    """

    def __init__(
        self, amqp_url: str, queues: list[Queue], on_message: Callable[[Any], None], prefetch_count: int
    ) -> None:
        self.should_stop: bool = False
        super().__init__(amqp_url, queues=queues, heartbeat=HEARTBEAT_SECONDS, prefetch_count=prefetch_count)
        self._deliver = on_message
        self._unsettled: set[Any] = set()
        self._ended = False
        self._lasts_until = 0.0

    # -- settling

    def acknowledge(self, message: Any) -> None:
        """The message is done."""
        self._settle(message, message.ack)

    def requeue(self, message: Any) -> None:
        """The message is to be delivered again, here or elsewhere."""
        self._settle(message, message.requeue)

    def reject(self, message: Any) -> None:
        """The message goes to the dead letters of its queue, or nowhere where there are none."""
        self._settle(message, message.reject)

    def _settle(self, message: Any, how: Callable[[], None]) -> None:
        self._unsettled.discard(message)
        if message.channel is None or not message.channel.connection:
            return  # the broker took it back when the connection ended
        try:
            how()
        except (*self.connection_errors, *self.channel_errors):
            pass  # as above: the connection ends now

    @property
    def unsettled(self) -> int:
        """How many messages are held."""
        return len(self._unsettled)

    # -- life

    def stop(self) -> None:
        """Stops taking messages; `run` goes on until what is held is settled, for `DRAIN_LIMIT_SECONDS` at
        most.
        """
        if not self.should_stop:
            self._lasts_until = monotonic() + DRAIN_LIMIT_SECONDS
            self.should_stop = True

    def run(self, **kwargs: Any) -> None:
        """Consumes until stopped, over as many connections as it takes."""
        try:
            super().run(**kwargs)
        except StoppedWhileConnecting:
            pass
        finally:
            self._ended = True
            self.ready.set()

    @property
    def ended(self) -> bool:
        """Whether `run` is over."""
        return self._ended

    def establish_connection(self) -> Any:
        connection = self.connection.clone()
        connection.ensure_connection(
            self.on_connection_error,
            None,
            interval_start=0.1,
            interval_step=0.2,
            interval_max=LONGEST_PAUSE_SECONDS,
        )
        return connection

    def on_connection_error(self, exc: Exception, interval: float) -> None:
        if self.should_stop:
            raise StoppedWhileConnecting

    def get_consumers(self, consumer_cls: Any, channel: Any) -> list[KombuConsumer]:
        consumer = consumer_cls(queues=self.queues, on_message=self._on_message)
        consumer.qos(prefetch_count=self.prefetch_count)
        return [consumer]

    def _on_message(self, message: Any) -> None:
        self._unsettled.add(message)
        if self.should_stop:
            self.requeue(message)
        else:
            self._deliver(message)

    def consume(
        self, limit: Any = None, timeout: Any = None, safety_interval: float = 1, **kwargs: Any
    ) -> Iterator[None]:
        """Reads until stopped and drained. Replaces kombu's loop, which leaves at once and beats only when it
        is idle.
        """
        with self.consumer_context(**kwargs) as (connection, _channel, consumers):
            beaten = monotonic()
            cancelled = False
            while True:
                if self.should_stop and not cancelled:
                    for consumer in consumers:
                        consumer.cancel()
                    cancelled = True
                if cancelled and (not self._unsettled or monotonic() > self._lasts_until):
                    break
                try:
                    connection.drain_events(timeout=STOPPING_READ_SECONDS if cancelled else READ_SECONDS)
                except TimeoutError:
                    pass
                if monotonic() - beaten >= 1.0:
                    connection.heartbeat_check()
                    beaten = monotonic()
            yield
