"""The account: pure decisions about its state. No I/O, no keys."""

from __future__ import annotations

from typing import Literal

from services.lifecycle.events import AccountResumed, AccountSuspended, SuspensionReason

State = Literal["active", "suspended"]


def suspend(account_id: str, state: State, reason: SuspensionReason) -> AccountSuspended | None:
    """The event that suspends; None where it is done already."""
    return None if state == "suspended" else AccountSuspended(account_id=account_id, reason=reason)


def resume(account_id: str, state: State) -> AccountResumed | None:
    """The event that opens it again; None where it is open."""
    return None if state == "active" else AccountResumed(account_id=account_id)
