"""The mail that asks whether the mailbox of a login is its user's. What comes of it is in `login_address_handlers.py`.

Until then the login is found in its account alone (`routing.counted`): anybody may write anybody's address into an account.
"""

from __future__ import annotations

from datetime import timedelta

from services.identity.mailed_links import add_link
from shared.outgoing_mail import queue_mail
from shared.work import Work

LIFE = timedelta(days=7)
SUBJECT = "Is this your address?"
TEXT = """Somebody, probably you, gave this address as their login at a customer-support desk. If it was you, follow this link:

{url}

The link is good for {days} days, and once. Until then you have to name your account when you log in. If it was not you, do
nothing: then nobody is let in by your address.
"""


def mail_confirmation(work: Work, user_id: str, person_id: str, login: str) -> None:
    """Mails a user a link to show that the mailbox of their login is theirs."""
    url = add_link(work, "login", user_id, person_id, LIFE)
    queue_mail(
        work, item_id=user_id, person_id=person_id, to=login, subject=SUBJECT, text=TEXT.format(url=url, days=LIFE.days)
    )
