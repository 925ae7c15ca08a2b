"""What one log says and another must say too: found where it does not, and only where both were read."""

from __future__ import annotations

from typing import Any

from audit.findings import Told, Verdict
from audit.log_agreement import compared, reading_order
from shared.ids import new_id
from shared.settings import SERVICES

ACCOUNT, HOLD = new_id(), new_id()


def verdict(service: str, since: int = 0, **told: Any) -> Verdict:
    nothing: dict[str, Any] = {"holds_released": [], "holds_ended": [], "accounts_gone": [], "accounts_ended": []}
    return Verdict(
        service=service, origin=f"test/{service}", size=1, root="", kept_size=None, since=since, checked=1, pruned=0, pending=0,
        findings=[], told=Told(**nothing | told),
    )  # fmt: skip


def found(*verdicts: Verdict) -> list[tuple[str, int | None]]:
    return [(one.service, finding.index) for one in compared(verdicts) for finding in one.findings]


def test_those_who_decide_are_read_last() -> None:
    """What an earlier log has of their decisions is in theirs then."""
    order = reading_order(SERVICES)
    assert order[-2:] == ["erasure", "lifecycle"] and sorted(order) == sorted(SERVICES)


def test_an_end_of_a_hold_that_nobody_placed_is_found() -> None:
    """Named by the log and the index; not where erasure ended it, where either log has lost the account, or erasure was not
    read whole."""
    tickets, released = verdict("tickets", holds_released=[(ACCOUNT, HOLD, 7)]), verdict("erasure")
    assert [("tickets", 7)] == found(tickets, released)
    assert [] == found(tickets, verdict("erasure", holds_ended=[(ACCOUNT, HOLD)]))
    assert [("tickets", 7)] == found(tickets, verdict("erasure", holds_ended=[(new_id(), HOLD)]))
    assert [] == found(tickets, verdict("erasure", accounts_gone=[ACCOUNT]))
    assert [] == found(verdict("tickets", holds_released=[(ACCOUNT, HOLD, 7)], accounts_gone=[ACCOUNT]), released)
    assert [] == found(tickets) == found(tickets, verdict("erasure", since=3))


def test_an_account_that_is_gone_and_never_ended_is_found() -> None:
    """Not where lifecycle says that it has ended, or is gone. What erasure's log says is no excuse."""
    contacts, lifecycle = verdict("contacts", accounts_gone=[ACCOUNT]), verdict("lifecycle")
    assert [("contacts", None)] == found(contacts, lifecycle)
    assert [] == found(contacts, verdict("lifecycle", accounts_ended=[ACCOUNT]))
    assert [] == found(contacts, verdict("lifecycle", accounts_gone=[ACCOUNT]))
    assert [("erasure", None)] == found(verdict("erasure", accounts_gone=[ACCOUNT]), lifecycle)
    assert [] == found(contacts)
