"""A replay that was interrupted goes on where it was; what it left over meanwhile tells nothing and is not trusted blindly."""

from __future__ import annotations

from typing import Any

import pytest

import audit.replay
from audit.log_rows import LogRow
from audit.replay import replay
from audit.scratch import Scratch
from shared.errors import Conflict, Tampered
from tests.integration.audit.audit_stage import AuditStage

PERSONS = 700
EVENTS = 3 * PERSONS
STOPPED_AT = 1_200


class Stopped(BaseException):
    """Stands for whatever ends a program in the middle: Ctrl+C, a signal, a machine that goes down."""


@pytest.fixture
def stage(long_log: AuditStage) -> AuditStage:
    """The log that all tests of this module replay; it grows, and stays whole."""
    return long_log


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices that are read from the log, in this order."""
    read: list[int] = []
    read_log = audit.replay.read_log

    def counting(connection: Any, handle: Any, start: int = 0, end: int = 2**62) -> None:
        def take(rows: list[LogRow]) -> None:
            read.extend(row.at for row in rows)
            handle(rows)

        read_log(connection, take, start, end)

    monkeypatch.setattr(audit.replay, "read_log", counting)
    return read


def stop_at(index: int) -> Any:
    """A progress that ends the program once so many events are played."""

    def stop(step: str, done: int, of: int) -> None:
        if step == "events" and done >= index:
            raise Stopped

    return stop


def interrupt(stage: AuditStage) -> None:
    with pytest.raises(Stopped):
        replay(stage.settings, "contacts", progress=stop_at(STOPPED_AT), patience_seconds=0.5)


def scratch_schemas(stage: AuditStage) -> list[str]:
    return [name for (name,) in stage.as_attacker("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'replay%%'")]


def test_interrupted_replay_reads_the_rest_only(stage: AuditStage, counted: list[int]) -> None:
    """What is read after resuming is the rest and at most 5 % of the log; the outcome is that of a replay in one go."""
    interrupt(stage)
    counted.clear()
    result = replay(stage.settings, "contacts", patience_seconds=0.5)
    assert result.equal and result.size == EVENTS
    assert len(counted) <= EVENTS - STOPPED_AT + 0.05 * EVENTS
    assert counted == list(range(result.resumed_at, EVENTS))
    assert scratch_schemas(stage) == []


def test_resumed_replay_catches_up_with_what_happened_meanwhile(stage: AuditStage) -> None:
    """Rows are compared at one moment, though the log grew and rows went between the interruption and the resumption."""
    interrupt(stage)
    added = stage.add_persons(4)
    stage.index()
    result = replay(stage.settings, "contacts", patience_seconds=0.5)
    assert result.equal and result.resumed_at > 0
    assert next(one.rebuilt for one in result.tables if one.table == "person") >= PERSONS + len(added)


def test_restart_begins_anew(stage: AuditStage, counted: list[int]) -> None:
    """`--restart` trusts nothing of an earlier run."""
    interrupt(stage)
    counted.clear()
    result = replay(stage.settings, "contacts", restart=True, patience_seconds=0.5)
    assert result.equal and result.resumed_at == 0 and counted[0] == 0


def test_left_over_rows_hold_no_ciphertext(stage: AuditStage) -> None:
    """What an interrupted replay leaves has digests of sealed values: nothing that an erasure would have to find."""
    interrupt(stage)
    (sealed,) = stage.as_attacker("SELECT name FROM lethe.person WHERE name IS NOT NULL LIMIT 1")[0]
    left = stage.as_attacker("SELECT DISTINCT octet_length(name) FROM replay.person WHERE name IS NOT NULL")
    assert left == [(32,)] and len(sealed) > 32
    replay(stage.settings, "contacts", patience_seconds=0.5)


def test_replay_of_another_log_is_not_gone_on_with(stage: AuditStage, counted: list[int]) -> None:
    """Where the signed log does not begin as it did when the replay was interrupted, it begins anew."""
    interrupt(stage)
    stage.as_attacker("UPDATE replay.replay_progress SET root = sha256(root)")
    counted.clear()
    result = replay(stage.settings, "contacts", patience_seconds=0.5)
    assert result.equal and result.resumed_at == 0 and counted[0] == 0


def test_replay_by_another_program_is_not_gone_on_with(stage: AuditStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another version of the projections began is not mixed with what this one makes."""
    interrupt(stage)
    monkeypatch.setattr("audit.scratch.program_digest", lambda service: "another")
    assert replay(stage.settings, "contacts", patience_seconds=0.5).resumed_at == 0


def test_crash_of_the_server_begins_anew(stage: AuditStage) -> None:
    """After a crash PostgreSQL empties unlogged tables: all of them, so there is no progress without its rows."""
    interrupt(stage)
    kinds = stage.as_attacker(
        "SELECT DISTINCT relpersistence::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'replay'::regnamespace"
    )
    assert kinds == [("u",)]
    tables = stage.as_attacker("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'replay'::regnamespace")
    stage.as_attacker(f"TRUNCATE {', '.join(f'replay.{name}' for (name,) in tables)}")
    result = replay(stage.settings, "contacts", patience_seconds=0.5)
    assert result.equal and result.resumed_at == 0


def test_two_replays_of_one_log_do_not_meet(stage: AuditStage) -> None:
    """The second is refused while the first is going on."""
    refused: list[Conflict] = []

    def start_another(*_: Any) -> None:
        if not refused:
            with pytest.raises(Conflict) as caught:
                replay(stage.settings, "contacts", patience_seconds=0.5)
            refused.append(caught.value)

    assert replay(stage.settings, "contacts", progress=start_another, patience_seconds=0.5).equal
    assert len(refused) == 1


def test_tampered_log_leaves_nothing_over(stage: AuditStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """That an event is not as it was signed is an outcome: there is nothing to go on with."""
    made: list[str] = []
    create = Scratch.create
    monkeypatch.setattr(Scratch, "create", lambda self: (create(self), made.append(self.name)))
    stage.as_attacker(
        "UPDATE lethe.event SET envelope = envelope || ' ' WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 1500)"
    )
    try:
        with pytest.raises(Tampered) as caught:
            replay(stage.settings, "contacts", patience_seconds=0.5)
    finally:
        stage.as_attacker(
            "UPDATE lethe.event SET envelope = substr(envelope, 1, octet_length(envelope) - 1)"
            " WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 1500)"
        )
    assert caught.value.details["index"] == 1500
    assert made == ["replay"] and scratch_schemas(stage) == []
