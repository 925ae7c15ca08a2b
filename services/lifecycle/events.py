"""The facts that lifecycle publishes about accounts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from shared.account_end import AccountGone, LeavesGone
from shared.erasing import ErasureReceipted, SubjectCut
from shared.events import ERASED, Erased, Event, EventTypes
from shared.ids import StoredId
from shared.legal_holds import KeptItemCut, PersonsHeld, PersonsReleased
from shared.personal import Personal

Plan = Literal["trial", "paid"]
SuspensionReason = Literal["trial-ended", "billing-failed", "by-operator"]


class AccountOpened(Event, frozen=True, kw_only=True):
    """A customer's account began. Its name may be a person's, so it is sealed, under an item of the account."""

    account_id: StoredId
    plan: Plan
    name: Annotated[
        str | Erased,
        Personal(
            category="name", purpose="to know whose account it is", item="account_id", person=None, retention="account"
        ),
    ] = ERASED


class AccountSuspended(Event, frozen=True, kw_only=True):
    """No login and no access to data, for anybody (mission L3)."""

    account_id: StoredId
    reason: SuspensionReason


class AccountResumed(Event, frozen=True, kw_only=True):
    """The account is open again."""

    account_id: StoredId


class AccountEnded(Event, frozen=True, kw_only=True):
    """The account is to be removed everywhere, for good. Each service gives a receipt (`AccountGone`)."""

    account_id: StoredId


class Names:
    """The full names of the types, for reactions and queries."""

    ACCOUNT_OPENED: ClassVar = "lifecycle.AccountOpened"


TYPES = EventTypes(
    "lifecycle",
    {
        "AccountOpened": AccountOpened,
        "AccountSuspended": AccountSuspended,
        "AccountResumed": AccountResumed,
        "AccountEnded": AccountEnded,
        "LeavesGone": LeavesGone,
        "AccountGone": AccountGone,
        "PersonsHeld": PersonsHeld,
        "PersonsReleased": PersonsReleased,
        "KeptItemCut": KeptItemCut,
        "SubjectCut": SubjectCut,
        "ErasureReceipted": ErasureReceipted,
    },
)
