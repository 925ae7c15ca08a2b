"""What the checks of events gather of holds, cuts and accounts that are gone survives an interruption at any place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from audit.event_checks import ChecksState, EventChecks, ExportedEvent, plain_types
from audit.findings import Findings
from shared.account_end import CELL
from shared.events import Envelope, SealedField, canonical
from shared.ids import new_id
from shared.settings import ACCOUNT_SERVICES

ACCOUNT, PERSON, OTHER, TICKET, HOLD = (new_id() for _ in range(5))
KEY = "00112233445566ff"
SALT = bytes(16)


def exported(
    at: int, type_: str, data: dict[str, Any], *, account: str = ACCOUNT, pruned: bool = False, version: int = 1
) -> ExportedEvent:
    sealed = [SealedField(digest="0" * 64, field="content", item=TICKET, key=KEY)] if pruned else []
    envelope = Envelope(
        account=account, actor=CELL, causation=None, data=data, event=new_id(), schema=1, sealed=sealed, service="tickets",
        stream=f"gone/{ACCOUNT}" if account == CELL else f"thing/{at}", time=datetime(2026, 1, 1, tzinfo=UTC),
        type=f"tickets.{type_}", version=version,
    )  # fmt: skip
    return ExportedEvent(at, SALT + canonical(envelope), (False,) * len(sealed))


def message(at: int) -> ExportedEvent:
    return exported(at, "MessageAdded", {"owner_id": PERSON, "item_id": TICKET, "ticket_id": TICKET}, pruned=True)


def held(at: int, type_: str) -> ExportedEvent:
    return exported(at, type_, {"hold_id": HOLD, "person_ids": [PERSON]})


def cut(at: int, person: str) -> ExportedEvent:
    return exported(at, "SubjectCut", {"request_id": new_id(), "person_id": person, "keys": [KEY], "shared_items": 0})


def findings_of(events: list[ExportedEvent], interrupted_after: int) -> list[tuple[str, int | None]]:
    """What is found, by a verification that stops once and goes on from a file."""
    findings = Findings()
    checks = EventChecks("tickets", findings, lambda: False)
    for one in events[:interrupted_after]:
        checks.check_exported(one)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(checks.state()), type=ChecksState)
    checks = EventChecks("tickets", findings, lambda: False, begin=kept)
    for one in events[interrupted_after:]:
        checks.check_exported(one)
    checks.report(())
    return [(one.kind, one.index) for one in findings.kept]


@pytest.mark.parametrize("stop", range(6))
def test_a_cut_under_hold_is_found_wherever_it_is_interrupted(stop: int) -> None:
    """By the person that the cut names, and by whose a pruned part was."""
    story = [message(0), held(1, "PersonsHeld"), message(2), cut(3, PERSON), held(4, "PersonsReleased")]
    assert [("cut under hold", 3)] == findings_of(story, stop)
    story[3] = cut(3, OTHER)
    assert [("cut under hold", 0), ("cut under hold", 2)] == findings_of(story, stop)


@pytest.mark.parametrize("stop", range(5))
def test_a_cut_before_a_hold_or_after_it_is_none(stop: int) -> None:
    """Whatever stands between."""
    before = [message(0), cut(1, PERSON), held(2, "PersonsHeld"), held(3, "PersonsReleased")]
    after = [message(0), held(1, "PersonsHeld"), held(2, "PersonsReleased"), cut(3, PERSON)]
    assert [] == findings_of(before, stop) == findings_of(after, stop)


@pytest.mark.parametrize("stop", range(4))
def test_an_event_after_the_end_of_its_account_is_found_wherever_it_is_interrupted(stop: int) -> None:
    """Of the account that is gone, and of no other; what is still going is none."""
    gone = exported(2, "LeavesGone", {"account_id": ACCOUNT, "ranges": [[0, 1]]}, account=CELL)
    still_there = held(1, "PersonsHeld")
    assert [("inserted", 3)] == findings_of([still_there, gone, held(3, "PersonsReleased")], stop)
    assert [] == findings_of([still_there, gone, exported(3, "ReadsRecorded", {}, account=OTHER)], stop)


@pytest.mark.parametrize("stop", range(4))
def test_leaves_that_go_with_an_account_after_its_receipt_are_found_wherever_it_is_interrupted(stop: int) -> None:
    """Its receipt says that all of it is gone: whoever names more afterwards explains what somebody else's events were."""
    first = exported(4, "LeavesGone", {"account_id": ACCOUNT, "ranges": [[0, 1]]}, account=CELL)
    receipt = exported(5, "AccountGone", {"account_id": ACCOUNT, "events": 2, "rows": 1}, account=CELL, version=2)
    later = exported(6, "LeavesGone", {"account_id": ACCOUNT, "ranges": [[2, 3]]}, account=CELL, version=3)
    assert [("changed", 6)] == findings_of([first, receipt, later], stop)
    assert [] == findings_of([first, receipt], min(stop, 2))


@pytest.mark.parametrize("service", [*ACCOUNT_SERVICES, "audit"])
def test_no_event_is_plain_that_is_noted(service: str) -> None:
    """Whatever a service's events are called: those of which cuts, holds or what is gone are noted are looked at one by one."""
    plain = {name.decode() for name in plain_types(service)}
    assert plain
    noted = {"LeavesGone", "AccountGone", "AccountEnded", "PersonsHeld", "PersonsReleased", "KeptItemCut", "SubjectCut"}
    noted |= {"HoldEnded"}
    assert not {name for name in plain if name.partition(".")[2] in noted}
