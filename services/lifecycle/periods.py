"""How long an account stays in a state that ends by itself: policy, in days, by plan (mission L1, L2, L4, L5, L8)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import get_args

import msgspec

from services.lifecycle.events import Plan
from shared.errors import InvalidArgument

MOST_DAYS = 3_650
PLANS: tuple[Plan, ...] = get_args(Plan)


class Periods(msgspec.Struct, frozen=True, kw_only=True):
    """The periods of a cell, in whole days. The end of one that has begun stands in its event: another policy moves none."""

    trial_days: int = 14
    """A trial that is not upgraded so long is suspended (mission L1)."""
    past_due_days: int = 7
    """An upgraded account whose billing fails for longer is suspended (mission L2)."""
    suspended_days: Mapping[Plan, int] = msgspec.field(default_factory=lambda: dict.fromkeys(PLANS, 60))
    """A suspended account whose owner does not ask for it so long is dissolved (mission L4)."""
    dissolved_days: Mapping[Plan, int] = msgspec.field(default_factory=lambda: dict.fromkeys(PLANS, 30))
    """A dissolved account is stored so long, and then ended (mission L5)."""

    @classmethod
    def load(cls, environment: Mapping[str, str] = os.environ) -> Periods:
        """With what `LETHE_TRIAL_DAYS`, `LETHE_PAST_DUE_DAYS`, `LETHE_SUSPENDED_DAYS` and `LETHE_DISSOLVED_DAYS` say, where
        they say anything; of one plan, with a name such as `LETHE_TRIAL_SUSPENDED_DAYS`. Raises `InvalidArgument`."""
        default = cls()

        def days(name: str, otherwise: int) -> int:
            text = environment.get(f"LETHE_{name}")
            return _days(name, text) if text else otherwise

        def days_by_plan(name: str, otherwise: Mapping[Plan, int]) -> dict[Plan, int]:
            return {plan: days(f"{plan.upper()}_{name}", days(name, otherwise[plan])) for plan in PLANS}

        return cls(
            trial_days=days("TRIAL_DAYS", default.trial_days),
            past_due_days=days("PAST_DUE_DAYS", default.past_due_days),
            suspended_days=days_by_plan("SUSPENDED_DAYS", default.suspended_days),
            dissolved_days=days_by_plan("DISSOLVED_DAYS", default.dissolved_days),
        )

    def trial_end(self, plan: Plan, opened_at: datetime) -> datetime | None:
        """When the trial of an account ends; None on a plan that is paid for."""
        return opened_at + timedelta(days=self.trial_days) if plan == "trial" else None

    def past_due_end(self, failed_at: datetime) -> datetime:
        """When an account is suspended whose billing failed."""
        return failed_at + timedelta(days=self.past_due_days)

    def suspended_end(self, plan: Plan, suspended_at: datetime) -> datetime:
        """When a suspended account is dissolved."""
        return suspended_at + timedelta(days=self.suspended_days[plan])

    def dissolved_end(self, plan: Plan, dissolved_at: datetime) -> datetime:
        """When a dissolved account is ended."""
        return dissolved_at + timedelta(days=self.dissolved_days[plan])


def _days(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= MOST_DAYS):
        raise InvalidArgument(field=f"LETHE_{name}", rule=f"a whole number of days, {MOST_DAYS} at most")
    return int(text)
