"""What is noted of cuts: which keys explain a prune, and what waits until it is known to be signed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from audit.cut_notes import CutNotes, key_of
from shared.events import Envelope
from shared.ids import new_id

ONE, OTHER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
KEY = "00112233445566ff"


def envelope(account: str = ONE, type_: str = "identity.UserDeleted", **data: Any) -> Envelope:
    return Envelope(
        account=account, actor=account, causation=None, data=data, event=new_id(), schema=1, sealed=[], service="identity",
        stream="user/x", time=datetime(2026, 1, 1, tzinfo=UTC), type=type_, version=1,
    )  # fmt: skip


def unexplained(notes: CutNotes, account: str = ONE) -> bool:
    name = key_of(account, KEY)
    assert name is not None
    return bool(notes.unexplained([name]))


def test_a_key_is_bound_to_its_account() -> None:
    """Of another account the same id is another key; nor does it help to choose an id so that both differ by the same bits."""
    difference = int(ONE[:8] + ONE[9:13] + ONE[14:18], 16) ^ int(OTHER[:8] + OTHER[9:13] + OTHER[14:18], 16)
    notes = CutNotes()
    notes.note(envelope(OTHER, keys=[KEY, f"{int(KEY, 16) ^ difference:016x}"]), 7)
    assert unexplained(notes) and not unexplained(notes, OTHER)


@pytest.mark.parametrize("key", ["", "00112233445566F", "-0112233445566ff", "0x112233445566ff", " 0112233445566ff", "٠" * 16])
def test_what_is_no_id_of_a_key_names_none(key: str) -> None:
    """Sixteen hexadecimal digits, as they are written, and nothing that a number could be read from."""
    assert key_of(ONE, key) is None


def test_what_is_not_signed_explains_nothing() -> None:
    """It waits under its commitment, also over an interruption, until that is said to be signed."""
    notes = CutNotes()
    notes.note(envelope(user_id=OTHER, keys=[KEY]), 7, waits_as=b"c")
    notes = CutNotes(notes.state())
    name = key_of(ONE, KEY)
    assert name is not None and {b"c"} == notes.waiting_for({name}) and unexplained(notes)
    notes.accept([b"other"])
    assert unexplained(notes)
    notes.accept([b"c"])
    assert not unexplained(notes) and set() == notes.waiting_for({name})


def test_persons_and_items_are_told_apart() -> None:
    """A person's cut is noted by the person, an item's by the ids that its event names."""
    notes = CutNotes()
    notes.note(envelope(type_="identity.SubjectCut", person_id=OTHER, keys=[]), 7)
    notes.note(envelope(user_id=OTHER, keys=[KEY]), 8)
    assert {(ONE, OTHER)} == set(notes.persons) and [(OTHER,)] == [item.ids for item in notes.items]


def test_a_cut_that_was_repeated_is_known_without_a_key() -> None:
    """Of an item that came after the copy there is no key, and the journal has it all the same; no other event tells so."""
    notes = CutNotes()
    notes.note(envelope(type_="identity.CutRepeated", item_id=OTHER, keys=[]), 7)
    notes.note(envelope(type_="identity.UserRemoved", user_id=ONE, keys=[]), 8)
    assert [(OTHER,)] == [item.ids for item in notes.items]
