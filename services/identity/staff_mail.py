"""The mails that tell an account's owners of access for staff: queued in the transaction that asks for it or opens it.

They hold ids, a purpose of the fixed list and times, and no reference: whoever reads a mailbox learns nothing of a person.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from services.identity.queries import active_owners
from services.identity.staff_events import BreakGlassOpened, StaffAccessRequested
from services.identity.staff_grant import StaffGrant
from services.identity.user import stream_of
from shared.outgoing_mail import queue_mail
from shared.work import Work

ASKED_SUBJECT: Final = "The vendor's staff asks for access to your account"
OPENED_SUBJECT: Final = "The vendor's staff opened your account in an emergency"


def tell_of_request(work: Work, asked: StaffAccessRequested) -> None:
    """An owner is to decide."""
    _tell_owners(
        work, ASKED_SUBJECT,
        "A member of the vendor's staff asks to be let into your account.\n\n"
        f"Account: {work.account_id}\nPurpose: {asked.purpose}\nFor: {asked.minutes} minutes from your approval\n"
        f"Grant: {asked.grant_id}\n\n"
        f"Nothing is open unless an owner approves it. Without an answer it is over at {_moment(asked.pending_until)}.\n",
    )  # fmt: skip


def tell_of_break_glass(work: Work, grant: StaffGrant, opened: BreakGlassOpened) -> None:
    """The account is open, and no owner was asked."""
    _tell_owners(
        work, OPENED_SUBJECT,
        "Two members of the vendor's staff opened your account for one of them, without asking you.\n\n"
        f"Account: {work.account_id}\nPurpose: {grant.purpose}\nUntil: {_moment(opened.expires_at)}\n"
        f"Grant: {grant.grant_id}\n\n"
        "Each look-up is recorded, and you can read the records. An owner can end this access at once by revoking the grant.\n",
    )  # fmt: skip


def _tell_owners(work: Work, subject: str, text: str) -> None:
    """Each of them under their own item, so that the mail goes with its owner."""
    for owner in active_owners(work):
        if isinstance(owner.login, str):
            queue_mail(
                work, item_id=owner.user_id, person_id=owner.person_id, to=owner.login, subject=subject, text=text,
                stream=stream_of(owner.user_id),
            )  # fmt: skip


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
