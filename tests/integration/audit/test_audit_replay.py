"""Replaying logs: what is rebuilt equals what is live, also where a person was erased; what is not as signed stops it."""

from __future__ import annotations

from datetime import timedelta
from threading import Timer

import pytest

from audit.checkpoints import read_checkpoints, take_checkpoints, write_checkpoints
from audit.comparison import ColumnDifference
from audit.item_keys import load_item_keys
from audit.log_rows import LogRow
from audit.opening import Opener
from audit.reading import auditor_connection, read_log
from audit.replay import ReplayResult, replay
from audit.verify import verify
from services.contacts.events import TYPES, PersonNamed
from services.contacts.holdings import ContactsHoldings
from services.tickets import events as tickets
from shared import clock
from shared.cut_journal import Cut, append, journal_key
from shared.erasing import erase_subject
from shared.errors import Tampered, Unavailable
from shared.events import Envelope, EventTypes, Recorded
from shared.ids import new_id
from shared.personal import ERASED
from tests.integration.audit.audit_stage import AuditStage


def rebuild(stage: AuditStage, service: str = "contacts") -> ReplayResult:
    return replay(stage.settings, service, patience_seconds=0.5)


def erase(stage: AuditStage, person: str) -> None:
    """Contacts' part in the erasure of a person."""
    envelope = Envelope(
        account=stage.account, actor=new_id(), causation=None, data={"request_id": new_id(), "person_ids": [person]},
        event=new_id(), schema=1, sealed=[], service="erasure", stream="request/1", time=clock.now(),
        type="erasure.SubjectErased", version=1,
    )  # fmt: skip
    erase_subject(stage.stores["contacts"], ContactsHoldings(), envelope)


def opened(stage: AuditStage, service: str, types: EventTypes) -> list[Recorded]:
    """The whole log of a service, opened."""
    opener, found = Opener(types, load_item_keys(stage.settings, service).get), list[Recorded]()

    def take(rows: list[LogRow]) -> None:
        found.extend(opener.open(rows))

    with auditor_connection(stage.settings, service) as connection:
        read_log(connection, take)
    return found


def test_replay_equals_the_live_rows(logged: AuditStage) -> None:
    """The read model that is rebuilt from the first event equals the live one, and nothing of the replay is left over."""
    result = rebuild(logged)
    assert result.equal and {one.table: one.rebuilt for one in result.tables}["person"] == 100
    assert [] == logged.as_attacker("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'replay%%'")


def test_replay_names_the_row_that_differs(logged: AuditStage) -> None:
    """A live row that was changed behind the log's back is named by its key."""
    person = logged.as_attacker("SELECT person_id::text FROM lethe.person LIMIT 1")[0][0]
    logged.as_attacker("UPDATE lethe.person SET origin = 'user' WHERE person_id = %s", person)
    result = rebuild(logged)
    logged.as_attacker("UPDATE lethe.person SET origin = 'correspondent' WHERE person_id = %s", person)
    differences = next(one.differences for one in result.tables if one.table == "person")
    assert result.equal is False
    assert [(one.key["person_id"], one.what) for one in differences] == [(person, "not the same")]
    assert [ColumnDifference(column="origin", live="user", rebuilt="correspondent")] == differences[0].columns


def test_replay_names_the_row_that_is_there_twice(logged: AuditStage) -> None:
    """A live row that stands there more than once, as it can where somebody took the primary key away, is a difference."""
    key = "lethe.person DROP CONSTRAINT person_pkey", "lethe.person ADD PRIMARY KEY (account_id, person_id)"
    person = logged.as_attacker("SELECT person_id::text FROM lethe.person ORDER BY 1 LIMIT 1")[0][0]
    logged.as_attacker(f"ALTER TABLE {key[0]}")
    logged.as_attacker("INSERT INTO lethe.person SELECT * FROM lethe.person WHERE person_id = %s", person)
    result = rebuild(logged)
    logged.as_attacker(
        "DELETE FROM lethe.person WHERE ctid = (SELECT max(ctid) FROM lethe.person WHERE person_id = %s)", person
    )
    logged.as_attacker(f"ALTER TABLE {key[1]}")
    found = next(one for one in result.tables if one.table == "person")
    assert result.equal is False and found.differing == 1
    assert [(one.key["person_id"], one.what) for one in found.differences] == [(person, "more than once live")]


def test_changed_event_stops_the_replay(logged: AuditStage) -> None:
    """A replay does not go on past an event that is not the one that was signed."""
    logged.as_attacker(
        "UPDATE lethe.event SET envelope = envelope || ' ' WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 7)"
    )
    with pytest.raises(Tampered) as caught:
        rebuild(logged)
    assert caught.value.details["index"] == 7


def test_event_that_was_changed_with_its_leaf_stops_the_replay(logged: AuditStage) -> None:
    """By whoever owns the database: event and leaf fit, and are not what the signed tiles have."""
    logged.as_attacker(
        "UPDATE lethe.event SET envelope = envelope || ' ' WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 7);"
        " UPDATE lethe.log l SET leaf = sha256(e.salt || e.envelope) FROM lethe.event e WHERE e.sequence = l.sequence"
    )
    with pytest.raises(Tampered, match="signed tiles") as caught:
        rebuild(logged)
    assert caught.value.details["index"] == 7


def test_events_that_changed_places_stop_the_replay(logged: AuditStage) -> None:
    """The log's rows begin with another index, or one is missing."""
    changes = (("UPDATE lethe.log SET index = 1000 WHERE index = 7", 7), ("DELETE FROM lethe.log WHERE index = 0", 0))
    for change, index in changes:
        logged.as_attacker(change)
        with pytest.raises(Tampered, match="lacks") as caught:
            rebuild(logged)
        assert caught.value.details["index"] == index


def test_erased_persons_log_verifies_and_replays_equal(stage: AuditStage) -> None:
    """Where a person was erased, the log verifies, each prune explained, and a replay brings back nothing of them."""
    persons = stage.add_persons(5)
    kept = stage.index()
    erase(stage, persons[2])
    stage.index()
    verdict = verify(stage.settings, "contacts", kept)
    assert verdict.good, verdict.findings
    assert verdict.pruned == 2
    result = rebuild(stage)
    assert result.equal and {one.table: one.rebuilt for one in result.tables}["person"] == 4
    events = [one.event for one in opened(stage, "contacts", TYPES)]
    names = {event.person_id: event.name for event in events if isinstance(event, PersonNamed)}
    assert names[persons[2]] == ERASED and names[persons[0]] == "Person 0"


def test_cut_before_its_checkpoint_explains_a_prune(stage: AuditStage) -> None:
    """Between the cut and the relay's next checkpoint the log verifies as well: the verdict waits for that checkpoint. Where it
    does not come, nothing in the log explains the prune."""
    persons = stage.add_persons(3)
    stage.index()
    erase(stage, persons[0])
    verdict = verify(stage.settings, "contacts", patience_seconds=0.2)
    assert {"unexplained prune"} == {one.kind for one in verdict.findings} and verdict.pending == 2
    relay = Timer(0.5, stage.index)
    relay.start()
    verdict = verify(stage.settings, "contacts")
    relay.join()
    assert verdict.good and verdict.pending == 2, verdict.findings


def test_cut_journal_that_lacks_a_cut_is_named(stage: AuditStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut that was taken out of the cut journal is named, since a restore would bring the person back."""
    persons = stage.add_persons(2)
    erase(stage, persons[0])
    stage.index()
    (stage.tiles() / "cut-journal.jsonl").unlink()
    later = clock.now() + timedelta(minutes=5)
    monkeypatch.setattr("shared.clock.now", lambda: later)
    verdict = verify(stage.settings, "contacts", patience_seconds=0.2)
    assert [(one.kind, persons[0] in one.text) for one in verdict.findings] == [("journal", True)]


def test_cut_journal_with_a_changed_line_is_named(stage: AuditStage) -> None:
    """A cut journal in which somebody changed a line, or whose cuts the log does not know, is named."""
    stage.add_persons(1)
    stage.index()
    cut = Cut(account=stage.account, subject=new_id(), kind="person", reason="erasure", request=None,
              time=clock.now() - timedelta(hours=1))  # fmt: skip
    path = stage.tiles() / "cut-journal.jsonl"
    append(path, journal_key(stage.settings.path("root-keys"), "contacts"), [cut])
    assert [one.kind for one in verify(stage.settings, "contacts", patience_seconds=0.2).findings] == ["journal"]
    before = path.read_bytes()
    path.write_bytes(before.replace(b"erasure", b"mistake"))
    assert [one.kind for one in verify(stage.settings, "contacts", patience_seconds=0.2).findings] == ["journal"]
    path.write_bytes(before[:-2] + b',"more":1}\n')
    (finding,) = verify(stage.settings, "contacts", patience_seconds=0.2).findings
    assert "not signed as it stands" in finding.text


def test_replay_waits_for_the_relay_and_says_so(stage: AuditStage) -> None:
    """Committed events that do not get into the log make a replay unavailable, not unequal."""
    stage.add_persons(1)
    with pytest.raises(Unavailable):
        rebuild(stage)


def test_replay_as_of_a_time(stage: AuditStage) -> None:
    """A replay as of a time shows what was there after the last event of that time."""
    stage.add_persons(3)
    stage.index()
    then = clock.now()
    stage.add_persons(4)
    stage.index()
    result = replay(stage.settings, "contacts", as_of=then)
    assert result.equal is None and result.size == 9
    assert {one.table: one.rebuilt for one in result.tables}["person"] == 3


def test_tickets_replay_equal_and_open(stage: AuditStage) -> None:
    """The log of tickets, whose sealed values are structures, replays equal, and opens to what was written."""
    stage.open_tickets(3)
    stage.index("tickets")
    assert rebuild(stage, "tickets").equal
    events = [one.event for one in opened(stage, "tickets", tickets.TYPES)]
    assert [type(one).__name__ for one in events] == ["TicketOpened", "MessageAdded"] * 3
    assert all(isinstance(one, (tickets.TicketOpened, tickets.MessageAdded)) for one in events)
    assert events[0].subject == tickets.Text(["words"], [])  # type: ignore[attr-defined]


def test_checkpoints_survive_their_file(stage: AuditStage) -> None:
    """Checkpoints that are written to a file and read back are the same notes, and verify the logs they came from."""
    stage.add_persons(1)
    note = stage.index()
    path = stage.home / "kept.json"
    path.write_bytes(write_checkpoints(take_checkpoints(stage.settings)))
    kept = read_checkpoints(path)
    assert kept.note("contacts") == note and kept.note("identity") is None
    assert verify(stage.settings, "contacts", kept.note("contacts")).good
