"""Reactions to events, on a real broker."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import amqp
import pytest

from shared.broker_url import connection_parameters
from shared.bus import (
    DEAD_EXCHANGE,
    EVENTS_EXCHANGE,
    dead_queue_name,
    declare_topology,
    queue_arguments,
    queue_name,
    reactions_of,
)
from shared.dead_letters import DeadLetters
from shared.events import Envelope, canonical
from shared.ids import new_id
from tests.integration.messaging.conftest import Probe, StartProbe
from tests.integration.messaging.probe_service import ProbeService
from tests.support.private_broker import PrivateBroker, wait_until

pytestmark = pytest.mark.timeout(120)
EVENT_TYPE = "other.ThingHappened"
QUEUE = queue_name("probe", EVENT_TYPE)


class Bench:
    """Publishes events and reads what the probe did with them."""

    def __init__(self, broker: PrivateBroker, home: Path) -> None:
        self._broker = broker
        self._home = home
        self.dead = DeadLetters(broker.url, "probe")

    def publish(self, **data: Any) -> str:
        """Publishes an event, mandatory and confirmed, and returns its id."""
        event_id = new_id()
        envelope = Envelope(
            account=new_id(), actor=new_id(), causation=None, data=data, event=event_id, schema=1, sealed=[],
            service="other", stream="thing/1", time=datetime.now(UTC), type=EVENT_TYPE, version=1,
        )  # fmt: skip
        self.publish_raw(canonical(envelope))
        return event_id

    def publish_raw(self, body: bytes) -> None:
        with amqp.Connection(**connection_parameters(self._broker.url), confirm_publish=True) as connection:
            message = amqp.Message(body, content_type="application/json", delivery_mode=2)
            connection.channel().basic_publish_confirm(message, EVENTS_EXCHANGE, EVENT_TYPE, mandatory=True)

    def lines(self, word: str, event_id: str) -> int:
        """How often the probe wrote this of an event."""
        return (self._home / "probe.log").read_text().count(f"{word} {event_id}")

    def wait_reacted(self, event_id: str, seconds: float = 20) -> None:
        wait_until(lambda: self.lines("reacted", event_id), seconds, "the reaction")


@pytest.fixture
def bench(broker: PrivateBroker, home: Path) -> Bench:
    """The topology, with empty queues."""
    declare_topology(broker.url, {"probe": [EVENT_TYPE]})
    with amqp.Connection(**connection_parameters(broker.url)) as connection:
        for queue in (QUEUE, dead_queue_name("probe")):
            connection.channel().queue_purge(queue)
    return Bench(broker, home)


def test_topology_is_pinned(broker: PrivateBroker) -> None:
    """The names and arguments of queues stay as they are, since a queue that exists can't get others."""
    assert ("lethe.probe.other.ThingHappened", "lethe.probe.dead", [EVENT_TYPE]) == (
        QUEUE, dead_queue_name("probe"), reactions_of(ProbeService),
    )  # fmt: skip
    assert {
        "x-queue-type": "quorum",
        "x-delivery-limit": 20,
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-dead-letter-routing-key": "probe",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    } == queue_arguments("probe")
    declare_topology(broker.url, {"probe": [EVENT_TYPE]})
    declare_topology(broker.url, {"probe": [EVENT_TYPE]})


def test_event_waits_for_its_service(bench: Bench, start_probe: StartProbe) -> None:
    """An event published while its service does not run is handled when it does, once."""
    event = bench.publish()
    start_probe()
    bench.wait_reacted(event)
    assert 1 == bench.lines("event", event)


def test_handler_that_fails_twice_then_succeeds(bench: Bench, probe: Probe) -> None:
    """An event whose handler raises twice is delivered three times, and then it is done; others are handled
    meanwhile.
    """
    failing = bench.publish(fail_times=5)
    other = bench.publish()
    twice = bench.publish(fail_times=2)
    bench.wait_reacted(other)
    assert 0 == bench.lines("reacted", failing)
    bench.wait_reacted(twice)
    bench.wait_reacted(failing)
    assert (3, 6) == (bench.lines("event", twice), bench.lines("event", failing))
    assert 0 == bench.dead.count()


def test_server_that_is_away_does_not_count(bench: Bench, probe: Probe) -> None:
    """An event whose handler finds a server away is tried again without a new delivery from the broker."""
    event = bench.publish(fail_times=3, away=True)
    bench.wait_reacted(event)
    assert 4 == bench.lines("event", event)


def test_poison_goes_to_the_dead_letters_and_can_be_replayed(bench: Bench, probe: Probe, home: Path) -> None:
    """An event that can't be handled, and bodies that are none, become dead letters; after the cure a replay
    handles them.
    """
    event = bench.publish(poison=True)
    bench.publish_raw(b"no envelope")
    bench.publish_raw(b"")
    wait_until(lambda: bench.dead.count() == 3, 20, "three dead letters")
    letters = {letter.event_id: letter for letter in bench.dead.list()}
    assert {event, None} == set(letters)
    assert (QUEUE, EVENT_TYPE, "rejected") == (
        letters[event].queue,
        letters[event].event_type,
        letters[event].reason,
    )
    assert 3 == bench.dead.count()
    (home / "cured").touch()
    assert 1 == bench.dead.replay(event)
    bench.wait_reacted(event)
    wait_until(lambda: bench.dead.count() == 2, 20, "two dead letters left")


def test_sigterm_finishes_a_reaction(bench: Bench, start_probe: StartProbe) -> None:
    """A reaction that runs for 3 s when its service is told to stop is finished, and no other replica runs it
    again; what waits for another try goes to the other replica."""
    first = start_probe("0")
    running = bench.publish(milliseconds=3000)
    waiting = bench.publish(fail_times=4)
    wait_until(
        lambda: bench.lines("event", running) and bench.lines("event", waiting), 10, "the handlers' begin"
    )
    start_probe("1")
    assert 0 == first.stop()
    bench.wait_reacted(running)
    bench.wait_reacted(waiting)
    assert 1 == bench.lines("event", running)


def test_killed_service_loses_nothing(bench: Bench, start_probe: StartProbe) -> None:
    """An event whose service is killed while it handles it is handled by the next one."""
    first = start_probe("0")
    event = bench.publish(milliseconds=1500)
    wait_until(lambda: bench.lines("event", event), 10, "the handler's begin")
    first.stop(signal.SIGKILL)
    start_probe("1")
    bench.wait_reacted(event)


def test_broker_restart(bench: Bench, probe: Probe, broker: PrivateBroker) -> None:
    """Reactions go on within 30 s after the broker was killed and started again."""
    bench.wait_reacted(bench.publish())
    broker.stop(signal.SIGKILL)
    broker.start()
    bench.wait_reacted(bench.publish(), 30)
    assert probe.process.poll() is None
