"""The facts that lifecycle publishes about accounts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from shared.account_end import AccountGone, LeavesGone
from shared.erasing import ErasureReceipted, SubjectCut
from shared.events import ERASED, Envelope, Erased, Event, EventTypes
from shared.ids import StoredId
from shared.legal_holds import KeptItemCut, PersonsHeld, PersonsReleased
from shared.personal import Personal
from shared.recovery_events import CutRepeated, RowsLost

Plan = Literal["trial", "paid"]
SuspensionReason = Literal["trial-ended", "billing-failed", "by-operator"]


class AccountOpened(Event, frozen=True, kw_only=True):
    """A customer's account began. Its name may be a person's, so it is sealed, under an item of the account."""

    schema_version = 2

    account_id: StoredId
    plan: Plan
    trial_ends_at: datetime | None
    """Since version 2: when it is suspended unless it was upgraded (mission L1). None on a plan that is paid for."""
    name: Annotated[
        str | Erased,
        Personal(
            category="name", purpose="to know whose account it is", item="account_id", person=None, retention="account"
        ),
    ] = ERASED


class AccountSuspended(Event, frozen=True, kw_only=True):
    """No login and no access to data, for anybody (mission L3)."""

    schema_version = 2

    account_id: StoredId
    reason: SuspensionReason
    dissolved_at: datetime
    """Since version 2: when it is dissolved unless it was resumed (mission L4)."""


class AccountResumed(Event, frozen=True, kw_only=True):
    """The account is open again."""

    account_id: StoredId


class AccountUpgraded(Event, frozen=True, kw_only=True):
    """The account is paid for from now on: its trial has no end any more."""

    account_id: StoredId


class BillingFailed(Event, frozen=True, kw_only=True):
    """The account is past due. It is suspended at `suspended_at`, unless the billing recovers (mission L2)."""

    account_id: StoredId
    suspended_at: datetime


class BillingRecovered(Event, frozen=True, kw_only=True):
    """The account is past due no more."""

    account_id: StoredId


class AccountDissolved(Event, frozen=True, kw_only=True):
    """Nobody asked for the suspended account: it can't be opened again. Its configuration is removed, its data stays in storage
    until `ended_at` (mission L4, L5)."""

    account_id: StoredId
    ended_at: datetime


class AccountEnded(Event, frozen=True, kw_only=True):
    """The account is to be removed everywhere, for good. Each service gives a receipt (`AccountGone`)."""

    account_id: StoredId


class Names:
    """The full names of the types, for reactions and queries."""

    ACCOUNT_OPENED: ClassVar = "lifecycle.AccountOpened"


def opened_1_to_2(data: dict[str, Any], envelope: Envelope) -> dict[str, Any]:
    """Of older trials nobody had said when they end: 14 days after they began, as mission L1 has it."""
    ends = envelope.time + timedelta(days=14) if data["plan"] == "trial" else None
    return {**data, "trial_ends_at": msgspec.to_builtins(ends)}


def suspended_1_to_2(data: dict[str, Any], envelope: Envelope) -> dict[str, Any]:
    """Of older suspensions nobody had said what comes of them: 60 days after they began, as mission L4 has it."""
    return {**data, "dissolved_at": msgspec.to_builtins(envelope.time + timedelta(days=60))}


TYPES = EventTypes(
    "lifecycle",
    {
        "AccountOpened": AccountOpened,
        "AccountSuspended": AccountSuspended,
        "AccountResumed": AccountResumed,
        "AccountUpgraded": AccountUpgraded,
        "BillingFailed": BillingFailed,
        "BillingRecovered": BillingRecovered,
        "AccountDissolved": AccountDissolved,
        "AccountEnded": AccountEnded,
        "LeavesGone": LeavesGone,
        "AccountGone": AccountGone,
        "RowsLost": RowsLost,
        "CutRepeated": CutRepeated,
        "PersonsHeld": PersonsHeld,
        "PersonsReleased": PersonsReleased,
        "KeptItemCut": KeptItemCut,
        "SubjectCut": SubjectCut,
        "ErasureReceipted": ErasureReceipted,
    },
    upcasts={
        ("lifecycle.AccountOpened", 1): opened_1_to_2,
        ("lifecycle.AccountSuspended", 1): suspended_1_to_2,
    },
)
