"""The account: pure decisions about its state and its periods, and what makes two names the same. No I/O, no keys."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Literal

import msgspec

from services.lifecycle.events import (
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

State = Literal["active", "suspended", "dissolved", "ended"]
PeriodKind = Literal["trial", "past due", "suspended", "dissolved"]
StepReason = SuspensionReason | Literal["not-resumed", "dissolved"]
SUSPENDED_AFTER: dict[PeriodKind, SuspensionReason] = {"trial": "trial-ended", "past due": "billing-failed"}
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Unicode's categories of what can't be seen, or changes how the rest is seen."""


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """What runs out at `ends_at`, and what it is."""

    kind: PeriodKind
    ends_at: datetime


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """How an account stands."""

    account_id: str
    state: State
    plan: Plan
    period: Period | None = None
    """A trial, or the time for which billing may fail: in one of them at most. It goes on while the account is suspended."""
    closing: Period | None = None
    """How long a suspended account waits for its owner, or a dissolved one is stored."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to an account by itself, unless somebody does something before."""

    at: datetime
    to: Literal["suspended", "dissolved", "ended"]
    reason: StepReason


def opening(account_id: str, name: str, plan: Plan, now: datetime, periods: Periods) -> AccountOpened:
    """The event that begins an account. Raises `InvalidArgument` where the name is none."""
    comparable_name(name)
    return AccountOpened(
        account_id=account_id, plan=plan, trial_ends_at=periods.trial_end(plan, now), name=shown_name(name)
    )


def suspend(account: Account, reason: SuspensionReason, now: datetime, periods: Periods) -> AccountSuspended | None:
    """The event that suspends; None where it is done already. Raises `AccountGone`."""
    _check_not_ended(account)
    if account.state != "active":
        return None
    return AccountSuspended(account_id=account.account_id, reason=reason, dissolved_at=periods.suspended_end(account.plan, now))


def due(account: Account, now: datetime, periods: Periods) -> Step | None:
    """What is to happen to it by itself now. One step at a time, however late it is: the next one's time begins with it."""
    steps = ahead(account, periods)
    return steps[0] if steps and steps[0].at <= now else None


def run_out(account: Account, now: datetime, periods: Periods) -> AccountSuspended | AccountDissolved | None:
    """The event of what is due; None where there is nothing, or not yet, or it is the end, which others have a say in."""
    step = due(account, now, periods)
    if step is None or step.to == "ended":
        return None
    if step.to == "dissolved":
        return AccountDissolved(account_id=account.account_id, ended_at=periods.dissolved_end(account.plan, now))
    return suspend(account, SUSPENDED_AFTER[account.period.kind], now, periods) if account.period is not None else None


def resume(account: Account, now: datetime) -> AccountResumed | None:
    """The event that opens it again; None where it is open. Raises `AccountGone`, and `Refused` for a dissolved one, or where
    the reason for which it would be suspended again at once is still there."""
    _check_not_dissolved(account)
    if account.state == "active":
        return None
    if account.period is not None and account.period.ends_at <= now:
        told = {
            "trial": "Its trial has ended: upgrade it first.",
            "past due": "Its billing has failed for too long: note first that it has recovered.",
        }
        raise Refused(told[account.period.kind], ended_at=account.period.ends_at.isoformat())
    return AccountResumed(account_id=account.account_id)


def upgrade(account: Account) -> AccountUpgraded | None:
    """The event after which it is paid for; None where it is. A suspended one stays so until it is resumed. Raises
    `AccountGone`, and `Refused` for a dissolved one."""
    _check_not_dissolved(account)
    return None if account.plan == "paid" else AccountUpgraded(account_id=account.account_id)


def fail_billing(account: Account, now: datetime, periods: Periods) -> BillingFailed | None:
    """The event from which on it is past due; None where it is: another failure does not prolong the period. Raises
    `AccountGone`, and `Refused` for a trial, which nobody is billed for, and for a dissolved one."""
    _check_not_dissolved(account)
    if account.plan == "trial":
        raise Refused("Nobody is billed for a trial.")
    if account.period is not None:
        return None
    return BillingFailed(account_id=account.account_id, suspended_at=periods.past_due_end(now))


def recover_billing(account: Account) -> BillingRecovered | None:
    """The event from which on it is past due no more; None where it is not. A suspended one stays so until it is resumed.
    Raises `AccountGone`, and `Refused` for a dissolved one."""
    _check_not_dissolved(account)
    is_past_due = account.period is not None and account.period.kind == "past due"
    return BillingRecovered(account_id=account.account_id) if is_past_due else None


def ahead(account: Account, periods: Periods) -> list[Step]:
    """What happens to it by itself, in order (mission L1 to L5, L8). What is due already happens at the next look, a moment
    from now, but for an end that legal holds or erasures keep. `periods` says how long those take that have not begun."""
    running = account.period if account.state == "active" else account.closing
    if running is None or account.state == "ended":
        return []
    at, steps = running.ends_at, list[Step]()
    if account.state == "active":
        steps.append(Step(at=at, to="suspended", reason=SUSPENDED_AFTER[running.kind]))
        at = periods.suspended_end(account.plan, at)
    if account.state != "dissolved":
        steps.append(Step(at=at, to="dissolved", reason="not-resumed"))
        at = periods.dissolved_end(account.plan, at)
    return [*steps, Step(at=at, to="ended", reason="dissolved")]


def end(account: Account, holds: int, erasures: int) -> AccountEnded | None:
    """The event that ends it, for good; None where it is done already. Only a suspended or dissolved account ends: nobody works
    in it any more, and its owner knows. Raises `Refused` also where legal holds keep somebody in it, or erasures are under
    way: their certificates are owed to the persons."""
    if account.state == "ended":
        return None
    if account.state == "active":
        raise Refused("Only a suspended account can be ended.")
    if holds or erasures:
        raise Refused("Legal holds, or erasures that are not completed, keep the account.", holds=holds, erasures=erasures)
    return AccountEnded(account_id=account.account_id)


def _check_not_ended(account: Account) -> None:
    if account.state == "ended":
        raise AccountGone("The account has ended.")


def _check_not_dissolved(account: Account) -> None:
    _check_not_ended(account)
    if account.state == "dissolved":
        raise Refused("The account is dissolved: it can't be opened again.")


def shown_name(name: str) -> str:
    """A name as it is kept: NFC, with single spaces."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def comparable_name(name: str) -> str:
    """The form by which names are the same: NFKC, without case, single spaces.

    Raises `InvalidArgument` for a name without a letter or digit, with characters that can't be seen, or in the form of an id:
    wherever an account is named an id will do, so a name must not pass for another account.
    """
    shown = shown_name(name)
    comparable = " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", shown).casefold()).split())
    if not any(character.isalnum() for character in comparable):
        raise InvalidArgument(field="name", rule="has a letter or a digit")
    if any(unicodedata.category(character) in _UNSEEN for character in shown):
        raise InvalidArgument(field="name", rule="has no characters that can't be seen")
    if _ID.fullmatch(comparable):
        raise InvalidArgument(field="name", rule="has not the form of an id")
    return comparable
