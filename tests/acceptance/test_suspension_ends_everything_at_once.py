"""A suspended account is closed in every replica of every service when the suspension is answered (mission L3)."""

from __future__ import annotations

import os
import signal

import pytest

from cli.exit_status import DONE, INCOMPLETE
from cli.main import invoke
from deploy.stack import Stack
from shared.errors import AccountSuspended, Incomplete, Refused
from tests.support.desk import Callers, Desk, await_it

TICKETS = 3
SECONDS = 30
QUERIES = [
    ("tickets", "list_tickets"), ("contacts", "list_persons"), ("identity", "list_users"), ("erasure", "list_erasures"),
]  # fmt: skip


@pytest.fixture(scope="module")
def desk(doors_callers: Callers) -> Desk:
    """An account of the stack."""
    return Desk.open(doors_callers)


def suspend(desk: Desk) -> str:
    """The account's state as the answer tells it."""
    answer = desk.call("lifecycle", "suspend_account", {}, token=desk.callers.operator)
    return str(answer["state"])


def resume(desk: Desk) -> None:
    desk.call("lifecycle", "resume_account", token=desk.callers.operator)


def is_open(desk: Desk, service: str, method: str) -> bool:
    """Whether a service answers the account's owner."""
    try:
        desk.call(service, method, {})
    except AccountSuspended:
        return False
    return True


def test_the_next_call_is_refused_by_every_replica(desk: Desk) -> None:
    """Services that have just answered, three replicas of one among them, refuse the very next calls once suspending is
    answered, and answer the very next once resuming is: ten times over."""
    for _ in range(10):
        assert all(is_open(desk, *one) for one in QUERIES for _ in range(TICKETS))
        assert "suspended" == suspend(desk)
        assert not any(is_open(desk, *one) for one in QUERIES for _ in range(TICKETS))
        resume(desk)


def test_an_account_whose_period_is_over_is_closed_by_itself(doors_callers: Callers) -> None:
    """By the timer, in every replica; and opened again once the reason is gone, not before. Its billing may fail for no day in
    this stack."""
    desk = Desk.open(doors_callers)

    def note(outcome: str) -> None:
        desk.call("lifecycle", "note_billing", {"outcome": outcome}, token=desk.callers.operator)

    note("failed")
    await_it(lambda: not any(is_open(desk, *one) for one in QUERIES for _ in range(TICKETS)), SECONDS)
    with pytest.raises(Refused):
        resume(desk)
    note("recovered")
    assert not any(is_open(desk, *one) for one in QUERIES)
    resume(desk)
    assert all(is_open(desk, *one) for one in QUERIES for _ in range(TICKETS))


def test_a_service_that_is_away_is_named_and_closed_when_it_is_back(
    desk_stack: Stack, desk: Desk, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a service is stopped, suspending is incomplete and names it, on the command line by exit status 4 as well; the
    others are closed; it is closed itself once it is back, without anybody's doing, and suspending again then is complete."""
    monkeypatch.setenv("LETHE_HOME", str(desk_stack.home))
    assert is_open(desk, *QUERIES[1])
    desk_stack.stop("contacts")
    with pytest.raises(Incomplete) as incomplete:
        suspend(desk)
    assert ["contacts"] == incomplete.value.details["services"]
    assert INCOMPLETE == invoke(["account", "suspend", desk.account, "--yes"])
    assert "contacts" in capfd.readouterr().err
    assert not any(is_open(desk, *one) for one in QUERIES if one[0] != "contacts")
    desk_stack.start("contacts")
    desk_stack.await_ready()
    await_it(lambda: not is_open(desk, *QUERIES[1]), 30)
    assert DONE == invoke(["account", "suspend", desk.account, "--yes"])
    resume(desk)


def test_a_service_that_stands_still_does_not_hold_up_the_answer(desk_stack: Stack, desk: Desk) -> None:
    """A service that takes the call and never answers is named within the caller's time, too."""
    pid = desk_stack.pid("contacts")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Incomplete) as incomplete:
            desk.call("lifecycle", "suspend_account", {}, token=desk.callers.operator, seconds=4.0)
        assert ["contacts"] == incomplete.value.details["services"]
    finally:
        os.kill(pid, signal.SIGCONT)
    await_it(lambda: not is_open(desk, *QUERIES[1]), 30)
    resume(desk)
