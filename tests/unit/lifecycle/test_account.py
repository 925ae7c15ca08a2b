"""When an account's state changes, and which names are the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.lifecycle.account import (
    Account,
    Period,
    PeriodKind,
    State,
    Step,
    StepReason,
    ahead,
    comparable_name,
    due,
    end,
    fail_billing,
    opening,
    recover_billing,
    resume,
    run_out,
    shown_name,
    suspend,
    upgrade,
)
from services.lifecycle.events import (
    TYPES,
    AccountDissolved,
    AccountEnded,
    AccountOpened,
    AccountResumed,
    AccountSuspended,
    AccountUpgraded,
    BillingFailed,
    BillingRecovered,
    Plan,
    SuspensionReason,
)
from services.lifecycle.periods import Periods
from shared.errors import AccountGone, InvalidArgument, Refused
from shared.events import Envelope

ACCOUNT = "6b1f9d0e-0000-4000-8000-000000000001"


NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
"""In whose night clocks in Europe go an hour ahead: no period is an hour shorter for it."""
SECOND = timedelta(seconds=1)
PERIODS = Periods()


DAY = timedelta(days=1)


def account(
    state: State = "active", plan: Plan = "paid", kind: PeriodKind | None = None, ends_at: datetime = NOW,
    closed_until: datetime = NOW,
) -> Account:  # fmt: skip
    period = None if kind is None else Period(kind=kind, ends_at=ends_at)
    closing = Period(kind=state, ends_at=closed_until) if state in ("suspended", "dissolved") else None
    return Account(account_id=ACCOUNT, state=state, plan=plan, period=period, closing=closing)


def suspended(reason: SuspensionReason) -> AccountSuspended:
    return AccountSuspended(account_id=ACCOUNT, reason=reason, dissolved_at=NOW + 60 * DAY)


def step(at: datetime, to: Any, reason: StepReason) -> Step:
    return Step(at=at, to=to, reason=reason)


def test_suspending_and_resuming_change_what_is_not_so_yet() -> None:
    """Active ⇄ suspended; doing it twice gives no second event."""
    assert suspend(account(), "trial-ended", NOW, PERIODS) == suspended("trial-ended")
    assert suspend(account("suspended"), "by-operator", NOW, PERIODS) is None
    assert resume(account("suspended"), NOW) == AccountResumed(account_id=ACCOUNT)
    assert resume(account(), NOW) is None


@pytest.mark.parametrize(
    ("plan", "kind", "reason"), [("trial", "trial", "trial-ended"), ("paid", "past due", "billing-failed")]
)
def test_an_active_account_is_suspended_when_its_period_is_over(plan: Plan, kind: PeriodKind, reason: SuspensionReason) -> None:
    """From the moment on at which it ends, and not a microsecond before; one that is suspended is not suspended again. What is
    ahead says so beforehand."""
    one = account("active", plan, kind)
    assert run_out(one, NOW - timedelta(microseconds=1), PERIODS) is None
    assert run_out(one, NOW, PERIODS) == suspended(reason)
    assert ahead(one, PERIODS) == [
        step(NOW, "suspended", reason), step(NOW + 60 * DAY, "dissolved", "not-resumed"),
        step(NOW + 90 * DAY, "ended", "dissolved"),
    ]  # fmt: skip
    assert run_out(account("suspended", plan, kind, closed_until=NOW + DAY), NOW, PERIODS) is None
    for other in (account("ended", plan, kind), account("active", plan)):
        assert run_out(other, NOW, PERIODS) is None and [] == ahead(other, PERIODS)


def test_a_suspended_account_is_dissolved_and_a_dissolved_one_ended() -> None:
    """When their time is over, not before; each step's time begins with it, however late. The end is only said to be due."""
    one = account("suspended")
    assert ahead(one, PERIODS) == [step(NOW, "dissolved", "not-resumed"), step(NOW + 30 * DAY, "ended", "dissolved")]
    assert due(one, NOW - timedelta(microseconds=1), PERIODS) is None
    late = NOW + 7 * DAY
    assert run_out(one, late, PERIODS) == AccountDissolved(account_id=ACCOUNT, ended_at=late + 30 * DAY)
    one = account("dissolved")
    assert ahead(one, PERIODS) == [step(NOW, "ended", "dissolved")]
    assert due(one, NOW - timedelta(microseconds=1), PERIODS) is None
    assert due(one, NOW, PERIODS) == step(NOW, "ended", "dissolved")
    assert run_out(one, NOW, PERIODS) is None


def test_periods_can_be_those_of_a_plan() -> None:
    """A trial that nobody asks for need not be kept as long as what was paid for."""
    periods = Periods.load({"LETHE_TRIAL_SUSPENDED_DAYS": "10", "LETHE_TRIAL_DISSOLVED_DAYS": "1"})
    for plan, days in (("trial", (10, 11)), ("paid", (60, 90))):
        one = account("active", plan, "trial" if plan == "trial" else "past due")
        event = suspend(one, "by-operator", NOW, periods)
        assert event is not None and event.dissolved_at == NOW + days[0] * DAY
        assert [(step.at - NOW).days for step in ahead(one, periods)] == [0, *days]


def test_a_dissolved_account_is_not_opened_again() -> None:
    """Nor is anything else done to it but to end it."""
    one = account("dissolved", "trial", "trial", ends_at=NOW + DAY)
    for decide in (lambda: resume(one, NOW), lambda: upgrade(one), lambda: recover_billing(one)):
        with pytest.raises(Refused):
            decide()
    with pytest.raises(Refused):
        fail_billing(account("dissolved"), NOW, PERIODS)
    assert suspend(one, "by-operator", NOW, PERIODS) is None, "it is closed already"
    assert end(one, 0, 0) == AccountEnded(account_id=ACCOUNT)
    for holds, erasures in ((1, 0), (0, 1)):
        with pytest.raises(Refused):
            end(one, holds, erasures)


@pytest.mark.parametrize(("plan", "kind"), [("trial", "trial"), ("paid", "past due")])
def test_an_account_is_not_resumed_only_to_be_suspended_again(plan: Plan, kind: PeriodKind) -> None:
    """Refused once the period is over; before that, or when there is none any more, it is opened."""
    with pytest.raises(Refused):
        resume(account("suspended", plan, kind), NOW)
    assert resume(account("suspended", plan, kind), NOW - SECOND)
    assert resume(account("suspended", plan), NOW)


def test_a_trial_is_upgraded_once_and_is_not_billed() -> None:
    """Also when it is suspended; it stays so."""
    for state in ("active", "suspended"):
        assert upgrade(account(state, "trial", "trial")) == AccountUpgraded(account_id=ACCOUNT)
        assert upgrade(account(state)) is None
    with pytest.raises(Refused):
        fail_billing(account(plan="trial", kind="trial"), NOW, PERIODS)
    assert recover_billing(account(plan="trial", kind="trial")) is None


def test_billing_fails_from_its_first_failure_on() -> None:
    """Another one prolongs nothing; recovering ends it, and does nothing where there is nothing to recover from."""
    assert fail_billing(account(), NOW, PERIODS) == BillingFailed(account_id=ACCOUNT, suspended_at=NOW + timedelta(days=7))
    assert fail_billing(account(kind="past due"), NOW, PERIODS) is None
    assert recover_billing(account(kind="past due")) == BillingRecovered(account_id=ACCOUNT)
    assert recover_billing(account()) is None


def test_an_account_that_has_ended_does_not_change() -> None:
    for decide in (
        lambda one: suspend(one, "by-operator", NOW, PERIODS), lambda one: resume(one, NOW), upgrade, recover_billing,
        lambda one: fail_billing(one, NOW, PERIODS),
    ):  # fmt: skip
        with pytest.raises(AccountGone):
            decide(account("ended"))


def test_periods_are_the_missions_unless_the_operator_says_otherwise() -> None:
    """In whole days; what is none is refused, and named."""
    assert opening(ACCOUNT, "K", "trial", NOW, Periods.load({})).trial_ends_at == NOW + timedelta(days=14)
    assert opening(ACCOUNT, "K", "paid", NOW, Periods.load({})).trial_ends_at is None
    names = ("TRIAL", "PAST_DUE", "SUSPENDED", "DISSOLVED", "TRIAL_DISSOLVED")
    set_so = Periods.load({f"LETHE_{name}_DAYS": str(number) for number, name in enumerate(names)})
    assert (set_so.trial_days, set_so.past_due_days) == (0, 1)
    assert (set_so.suspended_days, set_so.dissolved_days) == ({"trial": 2, "paid": 2}, {"trial": 4, "paid": 3})
    assert Periods() == Periods.load({"LETHE_TRIAL_DAYS": ""})
    for text in (" ", "-1", "1.5", "a week", "3651", "²", "9" * 5000):
        with pytest.raises(InvalidArgument) as refused:
            Periods.load({"LETHE_TRIAL_DAYS": text})
        assert "LETHE_TRIAL_DAYS" == refused.value.field


def test_an_older_trial_ends_as_the_mission_has_it() -> None:
    """Its event did not say when; one that was paid for from the beginning had none."""
    made = {"account": ACCOUNT, "actor": ACCOUNT, "causation": None, "event": ACCOUNT, "schema": 1, "sealed": [], "version": 1}
    for plan, ends in (("trial", NOW + timedelta(days=14)), ("paid", None)):
        envelope = Envelope(
            **made, data={"account_id": ACCOUNT, "plan": plan}, service="lifecycle", stream=f"account/{ACCOUNT}", time=NOW,
            type="lifecycle.AccountOpened",
        )  # fmt: skip
        opened = TYPES.decode(envelope)
        assert isinstance(opened, AccountOpened) and opened.trial_ends_at == ends


def test_an_older_suspension_lasts_as_the_mission_has_it() -> None:
    """Its event did not say until when."""
    made = {"account": ACCOUNT, "actor": ACCOUNT, "causation": None, "event": ACCOUNT, "schema": 1, "sealed": [], "version": 1}
    envelope = Envelope(
        **made, data={"account_id": ACCOUNT, "reason": "trial-ended"}, service="lifecycle", stream=f"account/{ACCOUNT}",
        time=NOW, type="lifecycle.AccountSuspended",
    )  # fmt: skip
    assert TYPES.decode(envelope) == suspended("trial-ended")


def test_a_name_is_kept_as_it_was_given_but_for_its_spaces() -> None:
    """Composed, with single spaces."""
    assert opening(ACCOUNT, " Müller\n &  Sons ", "paid", NOW, PERIODS).name == "Müller & Sons"


def test_names_that_read_alike_are_the_same() -> None:
    """Case, width, ligatures and white space make no difference; an accent and a letter do."""
    for name in ("strasse kettles", "STRASSE KETTLES", "Straße  Kettles", "ｓｔｒａｓｓｅ kettles"):
        assert comparable_name(name) == "strasse kettles"
    assert comparable_name("Müller") != comparable_name("Muller")


@given(st.text(max_size=60))
def test_a_comparable_name_stays_as_it_is(name: str) -> None:
    """Comparing what is kept gives what comparing the given name gave, and doing it twice changes nothing."""
    try:
        comparable = comparable_name(name)
    except InvalidArgument:
        return
    assert comparable_name(shown_name(name)) == comparable
    assert comparable_name(comparable) == comparable


@pytest.mark.parametrize("name", ["", "  ", "!?", ACCOUNT, ACCOUNT.upper(), "a\x00b", "a\u202eb", "a\u200bb"])
def test_what_is_no_name_is_refused(name: str) -> None:
    """Nothing to read, an id's form, or characters that can't be seen."""
    with pytest.raises(InvalidArgument):
        opening(ACCOUNT, name, "paid", NOW, PERIODS)
