"""What suspends, dissolves and ends an account by itself (mission L1 to L5, L8): once, whatever is late, twice, or jumps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any

import pytest

from audit.replay import replay
from audit.verify import verify
from services.lifecycle import handlers
from services.lifecycle.account import Step
from services.lifecycle.commands import AccountView
from services.lifecycle.handlers import NEXT_LOOK
from services.lifecycle.periods import Periods
from shared import clock
from shared.account_states import state_of
from shared.due_rows import claim_due
from shared.errors import Refused, Unavailable
from shared.ids import new_id
from shared.settings import ACCOUNT_SERVICES
from shared.tokens import Actor
from tests.support.cell import Cell
from tests.support.together import at_once

Later = Callable[[timedelta], None]
OPERATOR = Actor(kind="operator", id=new_id(), role="operator")
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
TRIAL, PAST_DUE = timedelta(days=14), timedelta(days=7)
SUSPENDED, DISSOLVED = timedelta(days=60), timedelta(days=30)


class Desk:
    """A new account, and its operator."""

    def __init__(self, cell: Cell, plan: str) -> None:
        self.cell = cell
        opened = cell.call(new_id(), "lifecycle", "open_account", {"name": f"Kettles {new_id()}", "plan": plan}, OPERATOR)
        self.account: str = opened.account_id

    def do(self, method: str, **argument: Any) -> AccountView:
        answer: AccountView = self.cell.call(self.account, "lifecycle", method, argument or None, OPERATOR)
        return answer

    def shown(self) -> AccountView:
        return self.do("show_account")

    def look(self, cell: Cell | None = None) -> str:
        """Has a replica look which accounts are due; how the account stands then."""
        (cell or self.cell).service("lifecycle").take_due_steps()
        return self.shown().state

    def happened(self) -> list[str]:
        """What is in the account's stream, without what it is called by."""
        with self.cell.store("lifecycle").work(self.account) as work:
            events = work.load(f"account/{self.account}")
        return [f"{one.envelope.type.partition('.')[2]} {getattr(one.event, 'reason', '')}".strip() for one in events]


def until(moment: datetime, reason: Any) -> list[Step]:
    """What is ahead of an active account."""
    return [Step(at=moment, to="suspended", reason=reason), *from_then(moment)]


def from_then(moment: datetime) -> list[Step]:
    """What is ahead of one that was suspended at a moment."""
    dissolved = moment + SUSPENDED
    return [
        Step(at=dissolved, to="dissolved", reason="not-resumed"),
        Step(at=dissolved + DISSOLVED, to="ended", reason="dissolved"),
    ]


def test_a_trial_that_nobody_upgrades_is_suspended_when_it_ends(cell: Cell, later: Later) -> None:
    """After 14 days, not a second before, in every service, and once; what is ahead says it beforehand."""
    desk = Desk(cell, "trial")
    assert until(clock.now() + TRIAL, "trial-ended") == desk.shown().ahead
    later(TRIAL - SECOND)
    assert "active" == desk.look()
    later(SECOND)
    assert "suspended" == desk.look()
    assert from_then(clock.now()) == desk.shown().ahead
    assert {"suspended"} == {state_of(cell.store(service), desk.account) for service in ACCOUNT_SERVICES}
    later(DAY)
    assert "suspended" == desk.look() == desk.look(Cell(cell.settings))
    assert ["AccountOpened", "AccountSuspended trial-ended"] == desk.happened()


def test_an_account_that_is_upgraded_in_time_goes_on(cell: Cell, later: Later) -> None:
    """Nothing is ahead of it any more. Upgrading twice is upgrading once."""
    desk = Desk(cell, "trial")
    later(TRIAL - SECOND)
    for _ in range(2):
        upgraded = desk.do("upgrade_account")
        assert ("paid", "active", []) == (upgraded.plan, upgraded.state, upgraded.ahead)
    later(2 * TRIAL)
    assert "active" == desk.look()
    assert ["AccountOpened", "AccountUpgraded"] == desk.happened()


def test_an_account_whose_billing_fails_for_too_long_is_suspended(cell: Cell, later: Later) -> None:
    """7 days after the first failure: another one in between changes nothing."""
    desk = Desk(cell, "paid")
    assert [] == desk.shown().ahead
    end = clock.now() + PAST_DUE
    assert until(end, "billing-failed") == desk.do("note_billing", outcome="failed").ahead
    later(PAST_DUE - SECOND)
    assert until(end, "billing-failed") == desk.do("note_billing", outcome="failed").ahead
    assert "active" == desk.look()
    later(SECOND)
    assert "suspended" == desk.look()
    assert ["AccountOpened", "BillingFailed", "AccountSuspended billing-failed"] == desk.happened()


def test_billing_that_recovers_in_time_has_no_effect(cell: Cell, later: Later) -> None:
    """And the next failure begins a period of its own."""
    desk = Desk(cell, "paid")
    desk.do("note_billing", outcome="failed")
    later(PAST_DUE - SECOND)
    assert [] == desk.do("note_billing", outcome="recovered").ahead
    later(PAST_DUE)
    assert "active" == desk.look()
    assert until(clock.now() + PAST_DUE, "billing-failed") == desk.do("note_billing", outcome="failed").ahead
    later(PAST_DUE)
    assert "suspended" == desk.look()


def test_a_trial_is_not_billed(cell: Cell) -> None:
    with pytest.raises(Refused):
        Desk(cell, "trial").do("note_billing", outcome="failed")


@pytest.mark.parametrize(
    ("plan", "mending"), [("trial", ("upgrade_account", {})), ("paid", ("note_billing", {"outcome": "recovered"}))]
)
def test_a_suspended_account_is_resumed_when_the_reason_is_gone(cell: Cell, later: Later, plan: str, mending: Any) -> None:
    """Not before: it would be suspended again at once. Afterwards it stays open."""
    desk = Desk(cell, plan)
    if plan == "paid":
        desk.do("note_billing", outcome="failed")
    later(TRIAL)
    assert "suspended" == desk.look()
    with pytest.raises(Refused):
        desk.do("resume_account")
    method, argument = mending
    assert "suspended" == desk.do(method, **argument).state, "whoever pays asks to be let in again"
    assert "active" == desk.do("resume_account").state
    later(TRIAL)
    assert "active" == desk.look()
    assert {"active"} == {state_of(cell.store(service), desk.account) for service in ACCOUNT_SERVICES}


def test_a_trial_goes_on_after_it_was_suspended_for_another_reason(cell: Cell, later: Later) -> None:
    """It ends when it would have; meanwhile nobody looks at it."""
    desk = Desk(cell, "trial")
    end = clock.now() + TRIAL
    desk.do("suspend_account", reason="by-operator")
    assert from_then(clock.now()) == desk.shown().ahead
    later(TRIAL - DAY)
    assert until(end, "trial-ended") == desk.do("resume_account").ahead
    later(DAY)
    assert "suspended" == desk.look()
    suspended = ["AccountSuspended by-operator", "AccountResumed", "AccountSuspended trial-ended"]
    assert ["AccountOpened", *suspended] == desk.happened()


def test_a_clock_that_jumps_suspends_once_and_opens_nothing(cell: Cell, later: Later) -> None:
    """Ahead by 150 days: at the next look. Back again: what is suspended stays so; and resumed, its trial ends in its time."""
    desk = Desk(cell, "trial")
    end = clock.now() + TRIAL
    later(150 * DAY)
    assert "suspended" == desk.look()
    later(-150 * DAY)
    assert "suspended" == desk.look()
    assert until(end, "trial-ended") == desk.do("resume_account").ahead
    assert "active" == desk.look()
    later(TRIAL)
    assert "suspended" == desk.look()
    assert 2 == desk.happened().count("AccountSuspended trial-ended")


def test_a_look_that_comes_too_early_is_done_again_in_time(cell: Cell, later: Later) -> None:
    """A claim that was made while the clock was ahead: the account is neither suspended nor forgotten."""
    desk = Desk(cell, "trial")
    later(TRIAL)
    assert (desk.account, desk.account) in claim_due(cell.store("lifecycle"), "open_period", "account_id", NEXT_LOOK, 1000)
    later(-DAY)
    with cell.store("lifecycle").work(desk.account) as work:
        assert handlers._run_out(work, Periods()) == (False, None)
    later(DAY - SECOND)
    assert "active" == desk.look()
    later(SECOND)
    assert "suspended" == desk.look()


def test_a_claim_of_a_replica_that_died_while_its_clock_was_ahead_is_none(cell: Cell, later: Later) -> None:
    """However far ahead: the account is suspended when its time is over."""
    desk = Desk(cell, "trial")
    later(150 * DAY)
    assert (desk.account, desk.account) in claim_due(cell.store("lifecycle"), "open_period", "account_id", NEXT_LOOK, 1000)
    later(-150 * DAY)
    assert "active" == desk.look()
    later(TRIAL)
    assert "suspended" == desk.look()


def test_a_claim_stands_against_a_clock_that_is_a_little_behind(cell: Cell, later: Later) -> None:
    """That of another replica: what one is looking after is not for two."""
    desk = Desk(cell, "trial")
    later(TRIAL + NEXT_LOOK)
    store = cell.store("lifecycle")
    assert (desk.account, desk.account) in claim_due(store, "open_period", "account_id", NEXT_LOOK, 1000)
    later(-NEXT_LOOK + SECOND)
    assert (desk.account, desk.account) not in claim_due(store, "open_period", "account_id", NEXT_LOOK, 1000)


def test_what_can_not_be_done_keeps_nothing_else_however_much_it_is(cell: Cell, later: Later) -> None:
    """Looks that take longer than claims last, over more than fit into one: each row has its turn."""
    desks = {desk.account for desk in (Desk(cell, "trial") for _ in range(5))}
    later(TRIAL)
    seen: set[str] = set()
    for _ in range(4):
        claimed = claim_due(cell.store("lifecycle"), "open_period", "account_id", NEXT_LOOK, 2)
        seen |= {account for account, _ in claimed}
        later(5 * NEXT_LOOK)
    assert desks <= seen


def test_billing_that_fails_while_an_account_is_suspended_waits_for_it_to_be_resumed(cell: Cell, later: Later) -> None:
    """Nobody looks after it meanwhile; resumed in time, it is suspended when the time is over."""
    desk = Desk(cell, "paid")
    ahead = desk.do("suspend_account", reason="by-operator").ahead
    assert from_then(clock.now()) == ahead == desk.do("note_billing", outcome="failed").ahead
    end = clock.now() + PAST_DUE
    later(DAY)
    assert until(end, "billing-failed") == desk.do("resume_account").ahead
    later(PAST_DUE - DAY)
    assert "suspended" == desk.look()


def test_agents_do_not_see_that_billing_fails(cell: Cell) -> None:
    """Owners and admins do."""
    desk = Desk(cell, "paid")
    desk.do("note_billing", outcome="failed")
    for role, seen in (("owner", 1), ("admin", 1), ("agent", 0)):
        somebody = Actor(kind="user", id=new_id(), account_id=desk.account, role=role)
        assert 3 * seen == len(cell.call(desk.account, "lifecycle", "show_account", None, somebody).ahead)


def test_many_that_are_due_at_once_are_suspended_once_each(cell: Cell, later: Later) -> None:
    """By three replicas that look at the same time."""
    desks = [Desk(cell, "trial") for _ in range(8)]
    later(TRIAL)
    replicas = [Cell(cell.settings) for _ in range(3)]
    for _ in range(3):
        at_once([replica.service("lifecycle").take_due_steps for replica in replicas])
    assert [["AccountOpened", "AccountSuspended trial-ended"]] * len(desks) == [desk.happened() for desk in desks]


def test_what_a_replica_that_died_had_claimed_is_done_by_another(cell: Cell, later: Later) -> None:
    """A minute later; so is what could not be done."""
    desk = Desk(cell, "trial")
    later(TRIAL)
    assert (desk.account, desk.account) in claim_due(cell.store("lifecycle"), "open_period", "account_id", NEXT_LOOK, 1000)
    assert "active" == desk.look()
    later(NEXT_LOOK)
    assert "suspended" == desk.look(Cell(cell.settings))


def test_a_service_that_is_away_learns_it_from_the_event(cell: Cell, later: Later, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is suspended, and the next one too: for who does not answer nobody waits twice."""
    desks = [Desk(cell, "trial") for _ in range(2)]
    later(TRIAL)

    client = cell.service("lifecycle").runtime.client
    call, waited = client.call_async, []

    def tickets_away(service: str, *arguments: Any, **options: Any) -> Any:
        if service != "tickets":
            return call(service, *arguments, **options)
        waited.append(service)
        answer: Future[Any] = Future()
        answer.set_exception(Unavailable())
        return answer

    with monkeypatch.context() as away:
        away.setattr(client, "call_async", tickets_away)
        assert ["suspended", "suspended"] == [desk.look() for desk in desks]
    assert ["tickets"] == waited
    assert "active" == state_of(cell.store("tickets"), desks[0].account)
    cell.sign("lifecycle")
    for one in cell.deliveries(desks[0].account, ACCOUNT_SERVICES):
        cell.deliver(one)
    assert "suspended" == state_of(cell.store("tickets"), desks[0].account)


def test_the_rows_are_what_the_log_says(cell: Cell, later: Later) -> None:
    """After all of this: replayed, the read model is the live one."""
    for plan in ("trial", "paid"):
        desk = Desk(cell, plan)
        desk.do("upgrade_account")
        desk.do("note_billing", outcome="failed")
        later(PAST_DUE)
        desk.look()
        desk.do("note_billing", outcome="recovered")
        desk.do("resume_account")
        desk.do("note_billing", outcome="failed")
    Desk(cell, "trial")
    cell.sign("lifecycle")
    assert [] == verify(cell.settings, "lifecycle").findings
    result = replay(cell.settings, "lifecycle", patience_seconds=0.5)
    assert result.equal, [(one.table, one.differences) for one in result.tables if one.differing]
    assert {"account", "account_period"} <= {one.table for one in result.tables}
