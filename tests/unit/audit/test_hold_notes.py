"""What is noted of legal holds: who was held from where to where in a log."""

from __future__ import annotations

from datetime import UTC, datetime

from audit.cut_notes import bound
from audit.hold_notes import IN_FORCE, HoldNotes, met_by
from shared.events import Envelope
from shared.ids import new_id

ACCOUNT, OTHER, PERSON = (f"{digit * 8}-1111-1111-1111-111111111111" for digit in "123")


def envelope(type_: str, hold: str, *persons: str, account: str = ACCOUNT) -> Envelope:
    return Envelope(
        account=account, actor=account, causation=None, data={"hold_id": hold, "person_ids": list(persons)}, event=new_id(),
        schema=1, sealed=[], service="tickets", stream=f"held/{hold}", time=datetime(2026, 1, 1, tzinfo=UTC), type=type_,
        version=1,
    )  # fmt: skip


def test_a_hold_is_met_between_its_two_events() -> None:
    """Not at them, before or after; and what was noted is kept over an interruption, also half of it."""
    notes = HoldNotes()
    notes.note(envelope("tickets.PersonsHeld", "a", PERSON), 10)
    notes = HoldNotes(notes.state())
    (in_force,) = notes.by_person()[bound(ACCOUNT, PERSON)]
    assert (10, IN_FORCE) == (in_force.begun, in_force.ended)
    notes.note(envelope("tickets.PersonsReleased", "a", PERSON), 20)
    notes = HoldNotes(notes.state())
    holds = notes.by_person()[bound(ACCOUNT, PERSON)]
    assert [11, 19] == [at for at in (9, 10, 11, 19, 20, 21, IN_FORCE) if met_by(holds, at)]


def test_of_two_holds_each_keeps() -> None:
    """The end of one is not the end of the other, in whatever order they end."""
    notes = HoldNotes()
    for hold, at in (("a", 1), ("b", 3)):
        notes.note(envelope("tickets.PersonsHeld", hold, PERSON), at)
    notes.note(envelope("tickets.PersonsReleased", "a", PERSON), 5)
    holds = notes.by_person()[bound(ACCOUNT, PERSON)]
    assert all(met_by(holds, at) for at in (2, 4, 5, 6, 1_000))


def test_another_account_can_not_end_a_hold_nor_place_one() -> None:
    """The same ids in another account are another hold, and another person."""
    notes = HoldNotes()
    notes.note(envelope("tickets.PersonsHeld", "a", PERSON), 1)
    notes.note(envelope("tickets.PersonsReleased", "a", PERSON, account=OTHER), 2)
    assert met_by(notes.by_person()[bound(ACCOUNT, PERSON)], 3)
    assert bound(OTHER, PERSON) not in notes.by_person()


def test_what_ends_before_it_began_keeps_nobody() -> None:
    """The end may be noted alone, where it arrived first; and whatever else an event says is passed over."""
    notes = HoldNotes()
    notes.note(envelope("tickets.PersonsReleased", "a", PERSON), 1)
    notes.note(envelope("erasure.HoldPlaced", "a", PERSON), 2)
    odd = envelope("tickets.PersonsHeld", "b")
    odd.data["person_ids"] = "no list"
    notes.note(odd, 3)
    assert {} == notes.by_person()
