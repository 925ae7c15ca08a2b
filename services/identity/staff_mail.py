"""The mails that tell an account's owners of access for staff: queued in the transaction that asks for it or opens it.

They hold ids, a purpose of the fixed list and times, and no reference: whoever reads a mailbox learns nothing of a person.
"""

from __future__ import annotations

from typing import Final

from services.identity.owner_mail import moment_text, tell_owners
from services.identity.staff_events import BreakGlassOpened, StaffAccessRequested
from services.identity.staff_grant import StaffGrant
from shared.work import Work

ASKED_SUBJECT: Final = "The vendor's staff asks for access to your account"
OPENED_SUBJECT: Final = "The vendor's staff opened your account in an emergency"


def tell_of_request(work: Work, asked: StaffAccessRequested) -> None:
    """An owner is to decide."""
    tell_owners(
        work, ASKED_SUBJECT,
        "A member of the vendor's staff asks to be let into your account.\n\n"
        f"Account: {work.account_id}\nPurpose: {asked.purpose}\nFor: {asked.minutes} minutes from your approval\n"
        f"Grant: {asked.grant_id}\n\n"
        f"Nothing is open unless an owner approves it. Without an answer it is over at {moment_text(asked.pending_until)}.\n",
    )  # fmt: skip


def tell_of_break_glass(work: Work, grant: StaffGrant, opened: BreakGlassOpened) -> None:
    """The account is open, and no owner was asked."""
    tell_owners(
        work, OPENED_SUBJECT,
        "Two members of the vendor's staff opened your account for one of them, without asking you.\n\n"
        f"Account: {work.account_id}\nPurpose: {grant.purpose}\nUntil: {moment_text(opened.expires_at)}\n"
        f"Grant: {grant.grant_id}\n\n"
        "Each look-up is recorded, and you can read the records. An owner can end this access at once by revoking the grant.\n",
    )  # fmt: skip
