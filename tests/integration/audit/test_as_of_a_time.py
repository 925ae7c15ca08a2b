"""What a time means for the log, and a ticket as it was then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audit.log_rows import LogRow
from audit.log_time import size_at
from audit.reading import auditor_connection, read_events
from audit.replay import replay
from audit.ticket_state import TicketState, ticket_state
from services.tickets.holdings import TicketsHoldings
from shared import clock
from shared.blobs import BlobStore
from shared.erasing import erase_subject
from shared.errors import NotFound, Tampered
from shared.events import Envelope
from shared.ids import new_id
from tests.integration.audit.audit_stage import AuditStage

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def put_times(stage: AuditStage, times: list[tuple[int, int]]) -> None:
    """Says when each event of contacts' log happened, and when it was indexed, in minutes after `BEGIN`."""
    for index, (happened, indexed) in enumerate(times):
        stage.as_attacker(
            "UPDATE lethe.event SET occurred_at = %s WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = %s)",
            BEGIN + timedelta(minutes=happened), index,
        )  # fmt: skip
        stage.as_attacker(
            "UPDATE lethe.log SET indexed_at = %s WHERE index = %s", BEGIN + timedelta(minutes=indexed), index
        )


@pytest.mark.parametrize(
    ("minute", "size"), [(-1, 0), (0, 0), (1, 3), (2, 3), (4, 3), (5, 4), (9, 4), (10, 6), (11, 6), (99, 6)]
)
def test_log_at_a_time_is_what_was_published_by_then(stage: AuditStage, minute: int, size: int) -> None:
    """An event is in the log of a time if it had happened and was indexed by then, with all before it."""
    stage.add_persons(2)
    stage.index()
    # The fourth happened early and was indexed late; the last one was dated back, and has one of a later time before it
    put_times(stage, [(0, 1), (1, 1), (1, 1), (0, 5), (10, 6), (9, 4)])
    with auditor_connection(stage.settings, "contacts") as connection, connection.cursor() as cursor:
        assert size == size_at(cursor, BEGIN + timedelta(minutes=minute), 6)


def test_log_at_a_time_ends_with_the_published_checkpoint(stage: AuditStage) -> None:
    """What no checkpoint covers yet was published at no time."""
    stage.add_persons(2)
    stage.index()
    with auditor_connection(stage.settings, "contacts") as connection, connection.cursor() as cursor:
        assert size_at(cursor, clock.now(), 4) == 4
        assert size_at(cursor, clock.now(), 0) == 0


def test_ticket_as_of_each_moment(stage: AuditStage) -> None:
    """A ticket is shown as it was: what had happened, with its messages of then; before it was opened there was none."""
    before = clock.now()
    (ticket,) = stage.open_tickets(1)
    stage.index("tickets")
    then = clock.now()
    stage.answer(ticket)
    stage.index("tickets")
    stage.open_tickets(2)
    stage.index("tickets")
    first, last = ticket_state(stage.settings, ticket, then), ticket_state(stage.settings, ticket)
    assert (first.size, last.size) == (2, 7) and first.account_id == stage.account
    assert [one.type for one in last.events] == ["tickets.TicketOpened", "tickets.MessageAdded", "tickets.MessageAdded"]
    assert (counted(first), counted(last)) == (("1", 1), ("2", 2))
    assert rows_of(last, "message")[0]["content"].startswith("sha256:")
    with pytest.raises(NotFound):
        ticket_state(stage.settings, ticket, before)
    with pytest.raises(NotFound):
        ticket_state(stage.settings, new_id())
    with pytest.raises(NotFound):
        ticket_state(stage.settings, ticket, account_id=new_id())


def test_live_ticket_is_the_ticket_as_of_now(stage: AuditStage) -> None:
    """The rows that are shown are those of the read model, with digests for sealed values."""
    ticket = stage.open_tickets(3)[1]
    stage.answer(ticket)
    stage.index("tickets")
    (live,) = stage.as_attacker(
        "SELECT messages::text, channel, requester_id::text, encode(sha256(subject), 'hex') FROM lethe.ticket"
        " WHERE ticket_id = %s", ticket, service="tickets",
    )  # fmt: skip
    (shown,) = rows_of(ticket_state(stage.settings, ticket), "ticket")
    assert (shown["messages"], shown["channel"], shown["requester_id"], str(shown["subject"]).removeprefix("sha256:")) == live


def test_erased_ticket_stays_erased_whatever_the_time(stage: AuditStage) -> None:
    """Before its erasure the ticket's story is told without what was written in it; after it, there is no row left."""
    (ticket,) = stage.open_tickets(1)
    stage.index("tickets")
    then = clock.now()
    (requester,) = stage.as_attacker("SELECT requester_id::text FROM lethe.ticket", service="tickets")[0]
    erase(stage, requester)
    stage.index("tickets")
    before, after = ticket_state(stage.settings, ticket, then), ticket_state(stage.settings, ticket)
    assert [one.sealed for one in before.events] == ["erased", "erased"]
    assert rows_of(before, "message")[0]["content"] is None and rows_of(before, "ticket")[0]["subject"] is None
    assert after.rows == [] and [one.sealed for one in after.events] == ["erased", "erased"]
    result = replay(stage.settings, "tickets", as_of=then)
    assert {one.table: one.rebuilt for one in result.tables}["message"] == 1


def test_changed_event_of_a_ticket_is_named(stage: AuditStage) -> None:
    """A ticket is not shown from events that are not as they were signed, nor with one missing."""
    (ticket,) = stage.open_tickets(1)
    stage.answer(ticket)
    stage.index("tickets")
    stage.as_attacker("UPDATE lethe.event SET envelope = envelope || ' ' WHERE version = 2", service="tickets")
    with pytest.raises(Tampered) as changed:
        ticket_state(stage.settings, ticket)
    stage.as_attacker("DELETE FROM lethe.event WHERE version = 2", service="tickets")
    with pytest.raises(Tampered) as missing:
        ticket_state(stage.settings, ticket)
    assert changed.value.details["index"] == 1 and "follow" in missing.value.message


def test_ticket_is_found_without_reading_the_log(stage: AuditStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the log is, only the ticket's own events are read."""
    ticket = stage.open_tickets(300)[150]
    stage.index("tickets")
    read: list[int] = []

    def counting(*arguments: Any) -> list[LogRow]:
        rows = read_events(*arguments)
        read.extend(row.at for row in rows)
        return rows

    monkeypatch.setattr("audit.ticket_state.read_events", counting)
    assert len(ticket_state(stage.settings, ticket).events) == 2
    assert read == [300, 301]


def erase(stage: AuditStage, person: str) -> None:
    """Tickets' part in the erasure of a person."""
    envelope = Envelope(
        account=stage.account, actor=new_id(), causation=None, data={"request_id": new_id(), "person_ids": [person]},
        event=new_id(), schema=1, sealed=[], service="erasure", stream="request/1", time=clock.now(),
        type="erasure.SubjectErased", version=1,
    )  # fmt: skip
    holdings = TicketsHoldings(BlobStore(str(stage.home / "blobs")), lambda *_: None)
    erase_subject(stage.stores["tickets"], holdings, envelope)


def rows_of(state: TicketState, table: str) -> list[dict[str, str | None]]:
    return [row.values for row in state.rows if row.table == table]


def counted(state: TicketState) -> tuple[str | None, int]:
    """How many messages the ticket's row says, and how many rows of messages there are."""
    return rows_of(state, "ticket")[0]["messages"], len(rows_of(state, "message"))
