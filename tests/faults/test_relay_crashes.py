"""A relay that is killed, stopped, doubled, or loses its servers: the log never forks and nothing is lost."""

from __future__ import annotations

import os
import signal

import pika
import pytest
from cuttable_link import CuttableLink
from relay_stage import SERVICE, RelayStage, append_event, eventually

from shared.tile_writer import TileWriter

pytestmark = pytest.mark.kills

STEPS = [
    "relay.indexing", "relay.indexed", "relay.tiled", "relay.recording", "relay.recorded", "relay.signed",
    "relay.publishing", "relay.published", "relay.moving_cursor",
]  # fmt: skip


def test_a_committed_event_is_logged_signed_and_published(stage: RelayStage) -> None:
    """Events get dense indices, a signed checkpoint covers them, and the broker gets each once, in order."""
    relay = stage.start_relay()
    stage.append(5)
    stage.append(300)
    stage.await_published(305)
    stage.check_whole(305, duplicates=False)
    relay.terminate()
    assert 0 == relay.wait(10)


@pytest.mark.parametrize("step", STEPS)
def test_a_relay_killed_at_a_step_loses_nothing_and_never_forks(stage: RelayStage, step: str) -> None:
    """Killed at any step, with a batch before and one after, the next relay goes on where it was."""
    stage.append(300)
    first = stage.start_relay()
    stage.await_published(300)
    first.terminate()
    first.wait(10)
    second = stage.start_relay(failpoint=step)
    stage.append(20)
    stage.await_killed(second)
    stage.append(15)
    stage.start_relay()
    stage.await_published(335)
    stage.check_whole(335)


@pytest.mark.parametrize(
    "step", ["relay.indexing", "relay.indexed", "relay.tiled", "relay.recorded", "relay.signed"]
)
def test_a_relay_resumed_after_a_takeover_does_no_harm(stage: RelayStage, step: str) -> None:
    """Stopped at a step, taken over from, and resumed, it changes nothing and stands by."""
    stopped = stage.start_relay(failpoint=f"{step}:2=pause")
    stage.await_state("leading", stopped)
    stage.append_together(3)
    stage.await_published(3)
    stage.append_together(10)
    stage.await_stopped_process(stopped)
    successor = stage.start_relay()
    stage.await_state("leading", successor)
    stage.append(20)
    stage.await_published(33)
    os.kill(stopped.pid, signal.SIGCONT)
    eventually(
        lambda: stage.relay_log().count("standby") >= 2, "the resumed relay standing by\n" + stage.relay_log()
    )
    stage.append(5)
    stage.await_published(38)
    stage.check_whole(38)
    now = stage.state()
    assert now is not None and successor.pid == now.pid
    assert None is stopped.poll(), "it stands by and does not die"


def test_two_relays_share_the_work_by_turns(stage: RelayStage) -> None:
    """Of two relays one leads; when it ends, the other takes over, and each event is logged once."""
    relays = [stage.start_relay(), stage.start_relay()]
    stage.append(50)
    stage.await_published(50)
    leader = stage.await_state("leading").pid
    first, second = relays if relays[0].pid == leader else relays[::-1]
    first.terminate()
    stage.await_state("leading", second)
    stage.append(50)
    stage.await_published(100)
    stage.check_whole(100, duplicates=False)


def test_a_relay_with_a_lost_database_connection_goes_on(stage: RelayStage) -> None:
    """When the server ends its connection, the relay connects again and goes on."""
    stage.start_relay()
    stage.append(5)
    stage.await_published(5)
    stage.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lethe-relay'"
    )
    stage.append(5)
    stage.await_published(10)
    stage.check_whole(10)


def test_a_missing_exchange_does_not_hold_up_the_log(stage: RelayStage) -> None:
    """While nothing can be published, checkpoints go on; once it can, everything is published in order."""
    stage.channel.exchange_delete("lethe.events")
    stage.start_relay()
    stage.append(20)
    eventually(lambda: stage.signed_size() == 20, "a checkpoint over 20")
    assert 0 == stage.published()
    stage.append(6_000)  # more than may wait in memory: the rest is read again from the log
    eventually(lambda: stage.signed_size() == 6_020, "a checkpoint over 6020")
    stage.channel.exchange_declare("lethe.events", exchange_type="topic", durable=True)
    stage.channel.queue_bind(stage.queue, "lethe.events", "#")
    stage.await_published(6_020)
    stage.check_whole(6_020)


def test_a_broker_that_goes_away_is_waited_for(stage: RelayStage) -> None:
    """Cut off from the broker in the middle of publishing, the relay signs on, comes back by itself and loses
    nothing.
    """
    address = pika.URLParameters(stage.amqp_url)
    link = CuttableLink(address.host, address.port)
    stage.use_broker(stage.amqp_url.replace(f":{address.port}/", f":{link.port}/"))
    stage.start_relay()
    stage.append(3)
    stage.await_published(3)
    for count in (203, 403):
        stage.append_together(200)
        link.cut()
        eventually(lambda count=count: stage.signed_size() == count, "a checkpoint without a broker")
        link.mend()
    stage.await_published(403)
    stage.check_whole(403)


def test_a_late_commit_is_not_passed_over(stage: RelayStage) -> None:
    """An event whose sequence number is lower than one that is logged already is logged when it commits."""
    stage.start_relay()
    stage.append(3)
    stage.await_published(3)
    with stage.transaction() as late:
        append_event(late, "late", 1)
        append_event(late, "late", 2)
        stage.append(10)
        stage.await_published(13)
        stage.append(10)
        stage.await_published(23)
    stage.append(1, "late", 3)
    stage.await_published(26)
    stage.check_whole(26)


def test_an_aborted_append_holds_up_nothing(stage: RelayStage) -> None:
    """A sequence number that was drawn and given up leaves a hole in the sequence and none in the log."""
    stage.start_relay()
    with pytest.raises(ZeroDivisionError), stage.transaction() as aborted:
        append_event(aborted, "never", 1)
        stage.append(3)
        stage.await_published(3)
        raise ZeroDivisionError
    stage.append(3, "after")
    stage.await_published(6)
    stage.check_whole(6)


def test_versions_that_are_not_consecutive_stop_the_relay(stage: RelayStage) -> None:
    """A stream that jumps a version is not indexed: the relay stops and names stream and version."""
    stage.start_relay()
    stage.append(2, "jumping")
    stage.await_published(2)
    stage.execute_untriggered(
        "INSERT INTO lethe.event (account_id, stream, version, event_id, type, schema_version, occurred_at,"
        " envelope, salt, sealed) SELECT account_id, stream, 4, gen_random_uuid(), type, 1, occurred_at,"
        " envelope, salt, sealed FROM lethe.event WHERE version = 2"
    )
    state = stage.await_state("stopped")
    assert "jumping" in state.reason and "version 4" in state.reason
    assert 2 == stage.signed_size()


def test_a_tile_with_other_bytes_stops_the_relay(stage: RelayStage) -> None:
    """A tile that is there with other leaves is never written over: the relay stops before it signs."""
    TileWriter(stage.home / "tiles" / SERVICE).append([bytes(32)] * 5)
    stage.append(5)
    stage.start_relay()
    assert "other bytes" in stage.await_state("stopped").reason
    assert 0 == stage.signed_size()
