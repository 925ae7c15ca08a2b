"""Events from other services: `@reaction` declares a handler, and nothing that was published for it is lost
or spun on.

One quorum queue for each service and event type, so that replicas share the work. A message is acknowledged
after its handler succeeded, and only then; one that can't ever succeed goes to the service's dead letters;
any other is tried again after a pause that grows, held here meanwhile while the others of its queue go on.
Handlers must be idempotent (inbox row in their transaction) and not depend on order. Publishing is the
relay's business (`shared/publisher.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from threading import Event as Signal
from time import monotonic
from typing import Any, Final, TypeVar

import amqp
import nameko
from eventlet.semaphore import Semaphore
from kombu.entity import Queue
from nameko.exceptions import ContainerBeingKilled
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR, Entrypoint, SharedExtension, register_entrypoint

from shared.broker_url import connection_parameters
from shared.errors import AccountGone, InvalidArgument, Tampered, TimedOut, Unavailable
from shared.events import Envelope, decode_envelope
from shared.failpoints import failpoint
from shared.logs import get_logger
from shared.message_consumer import MessageConsumer, drain

EVENTS_EXCHANGE: Final = "lethe.events"
UNROUTED_EXCHANGE: Final = "lethe.unrouted"
DEAD_EXCHANGE: Final = "lethe.dead"
DELIVERY_LIMIT: Final = 20
"""A queue delivers a message this often and once more, then it is a dead letter (about six minutes)."""
DEAD_DELIVERY_LIMIT: Final = 1_000_000
"""Looking at dead letters counts as a delivery, and RabbitMQ 4 has a limit of its own where none is given."""
PREFETCH_COUNT: Final = 20
"""Messages of one queue held at once, running or pausing. Not more: a crash counts as a delivery for all of
them.
"""
WORKERS: Final = 5
"""Handlers that run at once in one process, so that events leave room for calls (`max_workers` 10)."""
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 30.0
LONGEST_HELD_SECONDS: Final = 900.0
"""The broker takes back what is held for 30 minutes, with the whole channel."""
PERMANENT_ERRORS: Final = (InvalidArgument, Tampered)

log = get_logger("lethe.bus")


def queue_name(service: str, event_type: str) -> str:
    """The queue of a service's reactions to an event type."""
    return f"lethe.{service}.{event_type}"


def dead_queue_name(service: str) -> str:
    """The queue of a service's dead letters."""
    return f"lethe.{service}.dead"


def queue_arguments(service: str) -> dict[str, Any]:
    """The arguments of a reaction's queue. A queue that exists can't get others: a test pins them."""
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-dead-letter-routing-key": service,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def dead_queue_arguments() -> dict[str, Any]:
    """The arguments of a queue of dead letters."""
    return {"x-queue-type": "quorum", "x-delivery-limit": DEAD_DELIVERY_LIMIT}


def declare_topology(connection: Any, reactions: Mapping[str, Iterable[str]]) -> None:
    """Declares every exchange, queue and binding: `reactions` has the event types that each service reacts
    to.

    `connection` is an AMQP URL, or an open connection of py-amqp, kombu or pika (all have `channel()`).

    Run before the relays start: what is published to a queue that exists waits there for a service that does
    not run yet. An event type that nobody reacts to has no queue; the broker returns it to the relay
    (mandatory), by way of the alternate exchange `lethe.unrouted`, to which an operator may bind a queue.
    Running it again changes nothing. Raises `Unavailable` if the broker is away.
    """
    if not isinstance(connection, str):
        _declare(connection.channel(), reactions)
        return
    try:
        with amqp.Connection(**connection_parameters(connection)) as own:
            _declare(own.channel(), reactions)
    except OSError:
        raise Unavailable("the broker could not be reached") from None


def _declare(channel: Any, reactions: Mapping[str, Iterable[str]]) -> None:
    wanted = [
        (service, event_type)
        for service, types in sorted(reactions.items())
        for event_type in sorted(set(types))
    ]
    channel.exchange_declare(UNROUTED_EXCHANGE, "fanout", durable=True, auto_delete=False)
    channel.exchange_declare(DEAD_EXCHANGE, "direct", durable=True, auto_delete=False)
    for service in sorted(reactions):
        dead = dead_queue_name(service)
        channel.queue_declare(dead, durable=True, auto_delete=False, arguments=dead_queue_arguments())
        channel.queue_bind(dead, DEAD_EXCHANGE, routing_key=service)
    for service, event_type in wanted:
        name = queue_name(service, event_type)
        channel.queue_declare(name, durable=True, auto_delete=False, arguments=queue_arguments(service))
    # last, since the relays begin to publish when this exchange is there
    unrouted = {"alternate-exchange": UNROUTED_EXCHANGE}
    channel.exchange_declare(EVENTS_EXCHANGE, "topic", durable=True, auto_delete=False, arguments=unrouted)
    for service, event_type in wanted:
        channel.queue_bind(queue_name(service, event_type), EVENTS_EXCHANGE, routing_key=event_type)


def reactions_of(service_class: type) -> list[str]:
    """The event types that a service class reacts to, in order."""
    members = (getattr(service_class, name, None) for name in dir(service_class))
    found = (getattr(member, ENTRYPOINT_EXTENSIONS_ATTR, ()) for member in members)
    return sorted({entry.event_type for entries in found for entry in entries if isinstance(entry, Reaction)})


class ReactionConsumer(SharedExtension):  # type: ignore[misc]
    """The one consumer of a service's reactions: one connection, each queue with its own prefetch."""

    def __init__(self) -> None:
        super().__init__()
        self.reactions: dict[str, Reaction] = {}
        self.workers = Semaphore(WORKERS)
        self.stopping = Signal()
        self.consumer: Any = None  # a MessageConsumer, from the start on

    def register(self, reaction: Reaction) -> None:
        """Adds a reaction, before the start."""
        self.reactions[queue_name(self.container.service_name, reaction.event_type)] = reaction

    def start(self) -> None:
        if not self.reactions:
            return
        queues = [
            Queue(name, no_declare=True, durable=True)  # type: ignore[no-untyped-call]
            for name in sorted(self.reactions)
        ]
        self.consumer = _Consumer(nameko.config["AMQP_URI"], queues, self.on_message, PREFETCH_COUNT)
        self.consumer.topology = {
            self.container.service_name: [one.event_type for one in self.reactions.values()]
        }
        self.container.spawn_managed_thread(self.consumer.run)
        self.consumer.wait_until_consumer_ready()

    def stop(self) -> None:
        """Gives back what has not begun, and waits for what has."""
        self.stopping.set()
        if self.consumer is not None:
            drain(self.consumer)

    def on_message(self, message: Any) -> None:
        self.container.spawn_managed_thread(functools.partial(self._begin, message), identifier="bus.message")

    def _begin(self, message: Any) -> None:
        reaction = self.reactions.get(queue_of(message, self.container.service_name))
        try:
            if reaction is None:
                raise Tampered("a message came by a way that is not ours")
            envelope = decode_envelope(_octets(message.body))
        except Tampered as error:
            self.give_up(message, reaction, error)
        else:
            Delivery(self, reaction, message, envelope).run()

    def give_up(self, message: Any, reaction: Reaction | None, error: BaseException) -> None:
        """Sends a message to the dead letters."""
        name = reaction.method_name if reaction else None
        event_type = reaction.event_type if reaction else None
        log.error("event given up", reaction=name, event_type=event_type, error=error)
        self.consumer.reject(message)


class _Consumer(MessageConsumer):
    """Declares its queues at each connection, so that it also comes back to a broker that has lost
    everything.
    """

    topology: dict[str, list[str]]

    def get_consumers(self, consumer_cls: Any, channel: Any) -> list[Any]:
        _declare(channel, self.topology)
        return super().get_consumers(consumer_cls, channel)


class Delivery:
    """One message on its way through its handler: run, tried again, given up or done."""

    def __init__(self, bus: ReactionConsumer, reaction: Reaction, message: Any, envelope: Envelope) -> None:
        self.bus = bus
        self.reaction = reaction
        self.message = message
        self.envelope = envelope
        self.delivered_before = delivery_count(message)
        self.attempts = self.delivered_before
        self.held_since = monotonic()

    def run(self) -> None:
        """Waits for a free worker and starts the handler."""
        bus = self.bus
        bus.workers.acquire()
        if bus.stopping.is_set():
            bus.workers.release()
            bus.consumer.requeue(self.message)
            return
        try:
            bus.container.spawn_worker(self.reaction, (self.envelope,), {}, handle_result=self.on_result)
        except ContainerBeingKilled:
            bus.workers.release()
            bus.consumer.requeue(self.message)

    def on_result(self, worker_ctx: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
        """Settles the message, or arranges for the next attempt. Called by nameko when the handler has
        ended.
        """
        self.bus.workers.release()
        error = exc_info[1] if exc_info is not None else None
        if error is None or isinstance(error, AccountGone):  # of an account that is gone there is nothing to do any more
            failpoint("bus.before-acknowledge")
            log.info(
                "reacted",
                reaction=self.reaction.method_name,
                event_type=self.envelope.type,
                event_id=self.envelope.event,
                attempt=self.attempts + 1,
            )
            self.bus.consumer.acknowledge(self.message)
        elif isinstance(error, PERMANENT_ERRORS):
            self.bus.give_up(self.message, self.reaction, error)
        else:
            self._pause(error)
        return None, None

    def _pause(self, error: BaseException) -> None:
        pause = pause_seconds(self.attempts)
        self.attempts += 1
        log.warning(
            "event will be tried again",
            reaction=self.reaction.method_name,
            event_type=self.envelope.type,
            event_id=self.envelope.event,
            attempts=self.attempts,
            delay_seconds=pause,
            error=error,
        )
        # A server that is away is not the message's fault, so such attempts are made here and don't count at
        # the broker
        held = monotonic() - self.held_since + pause
        here = isinstance(error, (Unavailable, TimedOut)) and held < LONGEST_HELD_SECONDS

        def resume() -> None:
            if self.bus.stopping.wait(pause) or not here:
                self.bus.consumer.requeue(self.message)
            else:
                self.run()

        self.bus.container.spawn_managed_thread(resume, identifier="bus.pause")


class Reaction(Entrypoint):  # type: ignore[misc]
    """The entrypoint that `reaction` attaches to a method `on_something(self, envelope: Envelope) ->
    None`.
    """

    bus = ReactionConsumer()

    def __init__(self, event_type: str, **options: Any) -> None:
        super().__init__(**options)
        self.event_type = event_type

    def setup(self) -> None:
        self.bus.register(self)

    def stop(self) -> None:
        self.bus.stop()


Handler = TypeVar("Handler", bound=Callable[..., None])


def reaction(event_type: str) -> Callable[[Handler], Handler]:
    """Makes `on_something(self, envelope: Envelope)` the service's reaction to events of this type."""

    def attach(method: Handler) -> Handler:
        register_entrypoint(method, Reaction(event_type))
        return method

    return attach


def pause_seconds(attempts_before: int) -> float:
    """The pause after a failed attempt: 0.1 s after the first, twice as long each time, 30 s at most."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempts_before, 16))


def delivery_count(message: Any) -> int:
    """How often the broker has delivered this message before."""
    return int(message.headers.get("x-delivery-count") or 0)


def _octets(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body or b"")


def queue_of(message: Any, service: str) -> str:
    """The queue that a message came from, by its consumer's event type; also after a replay by the queue's
    own name.
    """
    routing_key = str(message.delivery_info["routing_key"])
    prefix = f"lethe.{service}."
    return routing_key if routing_key.startswith(prefix) else prefix + routing_key
