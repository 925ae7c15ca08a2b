"""Mails to an account's owners: queued in the transaction that they tell of."""

from __future__ import annotations

from datetime import datetime

from services.identity.queries import active_owners
from services.identity.user import stream_of
from shared.outgoing_mail import queue_mail
from shared.work import Work


def tell_owners(work: Work, subject: str, text: str) -> None:
    """Each of them under their own item, so that the mail goes with its owner."""
    for owner in active_owners(work):
        if isinstance(owner.login, str):
            queue_mail(
                work, item_id=owner.user_id, person_id=owner.person_id, to=owner.login, subject=subject, text=text,
                stream=stream_of(owner.user_id),
            )  # fmt: skip


def moment_text(moment: datetime) -> str:
    """A time as it stands in a mail: to the minute, UTC."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
