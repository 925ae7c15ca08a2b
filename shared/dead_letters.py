"""What reactions gave up: counted, listed and put back into the queue that it came from.

A dead letter is the event's envelope (ids only) with the broker's own notes (`x-death`). This module must not
change or drop one: it is gone only when the broker has confirmed its copy in the first queue.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import amqp
import msgspec

from shared.broker_url import connection_parameters
from shared.bus import dead_queue_name
from shared.errors import Tampered, Unavailable
from shared.events import decode_envelope
from shared.failpoints import failpoint
from shared.ids import Id
from shared.personal import NotPersonal

_BROKER_NOTES = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")
_CONFIRM_SECONDS = 10.0


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One event that a reaction gave up. `event_id` is None where the body could not be read."""

    queue: Annotated[str, NotPersonal("the name of a queue")]
    event_type: Annotated[str, NotPersonal("the name of an event type")]
    event_id: Id | None
    account_id: Id | None
    reason: Annotated[str, NotPersonal("the broker's word: rejected or delivery_limit")]
    deaths: int


class DeadLetters:
    """The dead letters of one service."""

    def __init__(self, amqp_url: str, service: str) -> None:
        self._amqp_url = amqp_url
        self._queue = dead_queue_name(service)

    def count(self) -> int:
        """How many there are. Raises `Unavailable` if the broker, or the queue, is not there."""
        with self._channel() as channel:
            return int(channel.queue_declare(self._queue, passive=True).message_count)

    def list(self, limit: int = 100) -> list[DeadLetter]:
        """The oldest `limit` of them. They stay where they are."""
        with self._channel() as channel:
            return [_described(message) for message in _held(channel, self._queue, limit)]

    def replay(self, event_id: str | None = None) -> int:
        """Puts all of them, or those of one event, back into their queues. Returns how many went back."""
        done = 0
        with self._channel() as channel:
            waiting = channel.queue_declare(self._queue, passive=True).message_count
            for message in _held(channel, self._queue, waiting):
                letter = _described(message)
                if event_id is None or letter.event_id == event_id:
                    _put_back(channel, message, letter.queue)
                    done += 1
        return done

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        """A channel with confirms. What is read and not acknowledged goes back when it closes."""
        try:
            with amqp.Connection(**connection_parameters(self._amqp_url), confirm_publish=True) as connection:
                yield connection.channel()
        except (OSError, amqp.AMQPError):
            raise Unavailable("the broker, or the queue of dead letters, could not be reached") from None


def _held(channel: Any, queue: str, limit: int) -> Iterator[Any]:
    for _ in range(limit):
        message = channel.basic_get(queue, no_ack=False)
        if message is None:
            return
        yield message


def _put_back(channel: Any, message: Any, queue: str) -> None:
    headers = {
        name: value for name, value in (message.headers or {}).items() if not name.startswith(_BROKER_NOTES)
    }
    properties = {
        name: message.properties[name]
        for name in ("content_type", "message_id", "type")
        if name in message.properties
    }
    copy = amqp.Message(message.body, delivery_mode=2, application_headers=headers, **properties)
    channel.basic_publish_confirm(
        copy, exchange="", routing_key=queue, mandatory=True, confirm_timeout=_CONFIRM_SECONDS
    )
    failpoint("dead-letters.copied")
    channel.basic_ack(message.delivery_tag)


def _described(message: Any) -> DeadLetter:
    headers = message.headers or {}
    deaths = headers.get("x-death") or [{}]
    queue = str(headers.get("x-first-death-queue") or deaths[-1].get("queue", ""))
    reason = str(headers.get("x-first-death-reason") or deaths[-1].get("reason", ""))
    try:
        body = message.body
        envelope = decode_envelope(body.encode() if isinstance(body, str) else bytes(body or b""))
    except Tampered:
        envelope = None
    return DeadLetter(
        queue=queue,
        event_type=queue.split(".", 2)[-1],
        event_id=envelope.event if envelope else None,
        account_id=envelope.account if envelope else None,
        reason=reason,
        deaths=sum(int(death.get("count", 1)) for death in deaths),
    )
