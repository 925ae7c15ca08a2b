"""How long an account stays in a state that ends by itself: policy, in days (mission L1, L2, L4, L5, L8)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from services.lifecycle.events import Plan
from shared.errors import InvalidArgument

MOST_DAYS = 3_650


class Periods(msgspec.Struct, frozen=True, kw_only=True):
    """The periods of a cell, in whole days. The end of one that has begun stands in its event: another policy moves none."""

    trial_days: int = 14
    """A trial that is not upgraded so long is suspended (mission L1)."""
    past_due_days: int = 7
    """An upgraded account whose billing fails for longer is suspended (mission L2)."""
    suspended_days: int = 60
    """A suspended account whose owner does not ask for it so long is dissolved (mission L4)."""
    dissolved_days: int = 30
    """A dissolved account is stored so long, and then ended (mission L5)."""

    @classmethod
    def load(cls, environment: Mapping[str, str] = os.environ) -> Periods:
        """With what `LETHE_TRIAL_DAYS`, `LETHE_PAST_DUE_DAYS`, `LETHE_SUSPENDED_DAYS` and `LETHE_DISSOLVED_DAYS` say, where
        they say anything. Raises `InvalidArgument`."""
        given = {name: environment.get(f"LETHE_{name.upper()}") for name in cls.__struct_fields__}
        return cls(**{name: _days(name, text) for name, text in given.items() if text})

    def trial_end(self, plan: Plan, opened_at: datetime) -> datetime | None:
        """When the trial of an account ends; None on a plan that is paid for."""
        return opened_at + timedelta(days=self.trial_days) if plan == "trial" else None

    def past_due_end(self, failed_at: datetime) -> datetime:
        """When an account is suspended whose billing failed."""
        return failed_at + timedelta(days=self.past_due_days)

    def suspended_end(self, suspended_at: datetime) -> datetime:
        """When a suspended account is dissolved."""
        return suspended_at + timedelta(days=self.suspended_days)

    def dissolved_end(self, dissolved_at: datetime) -> datetime:
        """When a dissolved account is ended."""
        return dissolved_at + timedelta(days=self.dissolved_days)


def _days(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= MOST_DAYS):
        raise InvalidArgument(field=f"LETHE_{name.upper()}", rule=f"a whole number of days, {MOST_DAYS} at most")
    return int(text)
