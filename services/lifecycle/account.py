"""The account: pure decisions about its state, and what makes two names the same. No I/O, no keys."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from services.lifecycle.events import AccountEnded, AccountOpened, AccountResumed, AccountSuspended, Plan, SuspensionReason
from shared.errors import AccountGone, InvalidArgument, Refused

State = Literal["active", "suspended", "ended"]
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Unicode's categories of what can't be seen, or changes how the rest is seen."""


def opening(account_id: str, name: str, plan: Plan) -> AccountOpened:
    """The event that begins an account. Raises `InvalidArgument` where the name is none."""
    comparable_name(name)
    return AccountOpened(account_id=account_id, plan=plan, name=shown_name(name))


def suspend(account_id: str, state: State, reason: SuspensionReason) -> AccountSuspended | None:
    """The event that suspends; None where it is done already. Raises `AccountGone`."""
    _check_not_ended(state)
    return None if state == "suspended" else AccountSuspended(account_id=account_id, reason=reason)


def resume(account_id: str, state: State) -> AccountResumed | None:
    """The event that opens it again; None where it is open. Raises `AccountGone`."""
    _check_not_ended(state)
    return None if state == "active" else AccountResumed(account_id=account_id)


def end(account_id: str, state: State, holds: int, erasures: int) -> AccountEnded | None:
    """The event that ends it, for good; None where it is done already. Only a suspended account ends: nobody works in it any
    more, and its owner knows. Raises `Refused` also where legal holds keep somebody in it, or erasures are under way: their
    certificates are owed to the persons."""
    if state == "ended":
        return None
    if state != "suspended":
        raise Refused("Only a suspended account can be ended.")
    if holds or erasures:
        raise Refused("Legal holds, or erasures that are not completed, keep the account.", holds=holds, erasures=erasures)
    return AccountEnded(account_id=account_id)


def _check_not_ended(state: State) -> None:
    if state == "ended":
        raise AccountGone("The account has ended.")


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
