"""What lifecycle can be asked: validated arguments and the answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from services.lifecycle.account import State, Step
from services.lifecycle.events import Plan, SuspensionReason
from shared.events import ServiceName
from shared.ids import Id
from shared.personal import Erased, InTransit

AccountName = Annotated[str, msgspec.Meta(min_length=1, max_length=200), InTransit(category="name")]


class OpenAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new account. Names are unique in a cell."""

    name: AccountName
    plan: Plan = "paid"


class FindAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: AccountName


class SuspendAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: SuspensionReason = "by-operator"


class NoteBilling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of billing the account."""

    outcome: Literal["failed", "recovered"]


class ListAccounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of accounts in the order in which they were opened."""

    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    account_id: Id
    name: AccountName | Erased
    plan: Plan
    state: State
    opened_at: datetime
    changed_at: datetime
    ahead: list[Step]
    """What happens to it by itself, and when, unless somebody does something before."""


class OfAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account by its id: one that is gone is none that a call could be made in."""

    account_id: Id


class EndInService(msgspec.Struct, frozen=True, kw_only=True):
    """`gone_at`: when nothing of the account was left there; None while that is to come."""

    service: ServiceName
    gone_at: datetime | None


class AccountEndView(msgspec.Struct, frozen=True, kw_only=True):
    """The end of an account. What is left of it are ids, times, and commitments in the logs."""

    account_id: Id
    ended_at: datetime
    is_gone: bool
    """Nothing of it is stored in any service any more."""
    services: list[EndInService]


class AccountPage(msgspec.Struct, frozen=True, kw_only=True):
    accounts: list[AccountView]
    next_after: Id | None
