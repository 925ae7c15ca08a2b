"""The mails that tell an account's owners that it is suspended or dissolved, and until when they can do what (mission L4).

They name no person but the account's id and times: whoever reads a mailbox learns nothing else.
"""

from __future__ import annotations

from typing import Final

from services.identity.owner_mail import moment_text, tell_owners
from services.lifecycle.events import AccountDissolved, AccountSuspended, SuspensionReason
from shared.work import Work

SUSPENDED_SUBJECT: Final = "Your account is suspended"
DISSOLVED_SUBJECT: Final = "Your account is dissolved"
_WHY: Final[dict[SuspensionReason, str]] = {
    "trial-ended": "Its trial is over.", "billing-failed": "Billing it has failed for too long.",
    "by-operator": "We have closed it.",
}  # fmt: skip


def tell_of_suspension(work: Work, suspended: AccountSuspended) -> None:
    """An owner can ask for it."""
    tell_owners(
        work, SUSPENDED_SUBJECT,
        f"Your account is suspended: nobody can log in, and nobody has access to its data. {_WHY[suspended.reason]}\n\n"
        f"Account: {work.account_id}\n\n"
        f"Answer this mail to have it opened again. If nobody asks by {moment_text(suspended.dissolved_at)} it is dissolved:"
        " it can't be opened again then, and its data are deleted some time after that.\n\n"
        "You can ask for its deletion at any time.\n",
    )  # fmt: skip


def tell_of_dissolution(work: Work, dissolved: AccountDissolved) -> None:
    """What is left to do is to wait."""
    tell_owners(
        work, DISSOLVED_SUBJECT,
        "Nobody asked for your suspended account: it is dissolved, and can't be opened again. What had been set up in it is"
        f" removed.\n\nAccount: {work.account_id}\n\n"
        f"Its data are stored until {moment_text(dissolved.ended_at)} and deleted then, unless the law keeps some of them.\n",
    )  # fmt: skip
