"""What is noted of accounts that are gone: which leaves they account for, and which of them count."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from audit.displacements import MOST_PLACES, Displacements, Place
from audit.findings import Findings
from audit.gone_notes import GoneNotes, Runs, size_of
from shared.account_end import CELL
from shared.events import Envelope
from shared.ids import new_id

ACCOUNT, OTHER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


def leaves_gone(ranges: Any, account: str = CELL, of: str = ACCOUNT) -> Envelope:
    return Envelope(
        account=account, actor=CELL, causation=None, data={"account_id": of, "ranges": ranges}, event=new_id(), schema=1,
        sealed=[], service="tickets", stream=f"gone/{of}", time=datetime(2026, 1, 1, tzinfo=UTC),
        type="tickets.LeavesGone", version=1,
    )  # fmt: skip


def noted(ranges: Any, at: int = 10_000) -> GoneNotes:
    notes = GoneNotes()
    notes.note(leaves_gone(ranges), at)
    return GoneNotes(notes.state())


@given(
    missing=st.sets(st.integers(0, 60)),
    named=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8)), max_size=8),
    at=st.integers(0, 70),
)
def test_what_is_not_named_is_left(missing: set[int], named: list[tuple[int, int]], at: int) -> None:
    """Whatever ranges are named, in whatever order, over each other: left are exactly the other indices, in order and apart. No
    event names what comes after it."""
    found = noted([[first, first + more] for first, more in named], at).unexplained((one, one) for one in sorted(missing))
    explained = {index for first, more in named for index in range(first, first + more + 1) if index < at}
    left = [index for first, last in found for index in range(first, last + 1)]
    assert sorted(missing - explained) == left


def test_ranges_are_taken_apart() -> None:
    """A run of missing indices of which a part is named leaves its ends."""
    assert [(0, 2), (6, 6), (9, 12)] == noted([[7, 8], [3, 5]]).unexplained([(0, 6), (7, 12)])


def test_an_account_goes_once_and_takes_no_leaf_of_another() -> None:
    """What names leaves after the receipt explains none, and is a contradiction; so are leaves that two accounts took."""
    notes = noted([[0, 4]])
    receipt = msgspec.structs.replace(leaves_gone(None), type="tickets.AccountGone")
    notes.note(receipt, 20)
    assert [] == list(notes.contradictions())
    notes = GoneNotes(notes.state())
    notes.note(leaves_gone([[5, 9]]), 30)
    assert [(5, 9)] == notes.unexplained([(0, 9)]) and [(30, ACCOUNT)] == list(notes.contradictions())
    other = msgspec.structs.replace(leaves_gone([[4, 6]], of=OTHER), event=new_id())
    notes.note(other, 40)
    assert {(30, ACCOUNT), (4, OTHER)} == set(notes.contradictions())


@given(runs=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8)), max_size=8), index=st.integers(0, 70))
def test_an_index_is_looked_up_in_all_ranges(runs: list[tuple[int, int]], index: int) -> None:
    """Also where they lie over each other."""
    expected = any(first <= index <= first + more for first, more in runs)
    assert expected == (index in Runs((first, first + more) for first, more in runs))


def test_what_is_no_range_names_nothing() -> None:
    """Nor does an event of an account say that another one is gone."""
    for odd in (None, "x", [[1]], [[1, 2, 3]], [["1", "2"]], [[True, True]], [[5, 4]], [1, 2], [[1.0, 9.0]]):
        assert [(0, 9)] == noted(odd).unexplained([(0, 9)])
    notes = GoneNotes()
    notes.note(leaves_gone([[0, 9]], account=ACCOUNT), 20)
    assert [(0, 9)] == notes.unexplained([(0, 9)]) and not notes.accounts


def test_what_is_not_signed_accounts_for_nothing() -> None:
    """It waits under its commitment, also over an interruption, until that is said to be signed."""
    notes = GoneNotes()
    notes.note(leaves_gone([[0, 9]]), 20, waits_as=b"c")
    notes = GoneNotes(notes.state())
    assert [(3, 4)] == notes.unexplained([(3, 4)]) and not notes.accounts
    assert {b"c"} == notes.waiting_for([(3, 4)]) and set() == notes.waiting_for([(11, 12)]) == notes.waiting_for([])
    notes.accept([b"c", b"d"])
    assert [] == notes.unexplained([(3, 4)]) and [ACCOUNT] == list(notes.accounts) and set() == notes.waiting_for([(3, 4)])


def test_an_account_of_any_size_leaves_no_finding_and_hides_none() -> None:
    """More leaves than places are kept: those that are named are no finding, and of the others none is lost."""
    last = MOST_PLACES + 500
    places = Displacements(last + 10)
    for index in range(last + 1):
        places.add_missing(index, b"s%d" % index)
    places = Displacements(last + 10, places.state())
    for _ in range(3):
        places.add(Place(None, None, b"new", on_its_way=True))
    assert last + 1 - 3 == places.settle(noted([[0, 6], [8, MOST_PLACES], [MOST_PLACES + 2, last - 1]], at=last + 5)).gone
    assert [(7, 7), (MOST_PLACES + 1, MOST_PLACES + 1), (last, last)] == places.missing_runs()
    findings = Findings()
    places.explain(findings)
    assert [7] == [one.index for one in findings.kept if one.kind == "dropped"]
    assert any("2 more places" in one.text for one in findings.kept)
    assert 3 == size_of(places.missing_runs())


def rows_lost(ranges: Any, account: str = CELL, stream: str = "recovery/1", type_: str = "tickets.RowsLost") -> Envelope:
    return msgspec.structs.replace(leaves_gone(ranges, account), data={"ranges": ranges}, stream=stream, type=type_)


def test_what_was_lost_is_accounted_for_by_an_event_of_the_cell_alone() -> None:
    """Lost places are counted apart from those that went with an account; nobody else, and no other stream, can name any."""
    notes = GoneNotes()
    for other in (
        rows_lost([[0, 9]], account=ACCOUNT), rows_lost([[0, 9]], stream="ticket/1"),
        rows_lost([[0, 9]], type_="erasure.RowsLost"), rows_lost([[30, 40]]),  # of another service; what comes after it
    ):  # fmt: skip
        notes.note(other, at=20)
    assert [(0, 9)] == notes.unexplained([(0, 9)])
    notes.note(leaves_gone([[2, 3]]), at=20)
    notes.note(rows_lost([[5, 7]]), at=21)
    notes = GoneNotes(notes.state())
    assert [(0, 1), (4, 4), (8, 9)] == notes.unexplained([(0, 9)])
    assert 3 == notes.lost_among([(0, 9)]) and 1 == notes.lost_among([(7, 8)])
    assert [ACCOUNT] == list(notes.accounts), "no account is gone by it"
    assert 6 in notes.all_named() and [] == list(notes.contradictions())


def test_what_was_lost_waits_for_its_signature_too() -> None:
    """An event that is not known to be signed accounts for nothing, until it is."""
    notes = GoneNotes()
    notes.note(rows_lost([[5, 7]]), at=20, waits_as=b"c")
    assert [(5, 7)] == notes.unexplained([(5, 7)]) and {b"c"} == notes.waiting_for([(5, 7)])
    notes.accept([b"c"])
    assert [] == notes.unexplained([(5, 7)])
