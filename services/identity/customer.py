"""The customer: a person of contacts who signs in to the portal. Pure names and limits; what they hold is rows and events."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.identity.login_delay import wait_of_login
from services.identity.password import FAILURES_AT_MOST

SESSION_PREFIX = "lethe_portal_"
LINK_PREFIX = "lethe_link_"
LINK_LIFE = timedelta(minutes=15)
LINKS_AT_ONCE = 5
"""Of one address, and of one person, within `LINK_LIFE`: twenty an hour. Nobody's mailbox is filled by who knows the address,
and no log by who asks again and again."""
SAVED_SEARCHES_AT_MOST = 100


def stream_of(person_id: str) -> str:
    """The stream of a customer's events. They are sealed under the item of the person."""
    return f"portal/{person_id}"


def link_mail(link: str, token: str) -> tuple[str, str]:
    """Subject and text of the mail with a link. It says nothing of the person: who reads along learns an address at most."""
    text = (
        "Somebody, we hope you, asked to sign in to the customer portal with this address.\n\n"
        f"To sign in, follow this link within fifteen minutes. It works once:\n\n{link}\n\n"
        f"A program may ask for the code itself:\n\n{token}\n\n"
        "If it was not you, do nothing: without this mail nobody gets in.\n"
    )
    return "Your link to the customer portal", text


def link_address(public_url: str, account_id: str, token: str) -> str:
    """The address in the mail. The token stands behind the #, which no browser sends and no server logs."""
    return f"{public_url.rstrip('/')}/portal/{account_id}/sign-in#{token}"


def may_try_password(failures: int, failed_at: datetime | None, now: datetime) -> bool:
    """Whether a password is looked at: not too soon after failures, and never after so many in a row. A link gets in still."""
    if failures >= FAILURES_AT_MOST:
        return False
    return failed_at is None or wait_of_login(failures, failed_at, now) == 0
