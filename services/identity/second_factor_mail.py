"""What a user is told by mail about their second factor: that somebody guesses at it, and that it was taken away."""

from __future__ import annotations

from services.identity import totp
from services.identity.commands import UserView
from services.identity.queries import find_user
from shared.outgoing_mail import queue_mail
from shared.work import Work

FAILED_SUBJECT = "Wrong codes for your login"
FAILED = """{failures} wrong codes were given for your login at a customer-support desk. Whoever gave them has your password.

If it was not you, choose another password now.
"""
LOCKED = """From now on no code of your app is taken: a recovery code lets you in, and then codes are good again.
"""
RESET_SUBJECT = "Your second factor was taken away"
RESET = """An owner or administrator of your account at a customer-support desk has taken your second factor away: no code is
asked for at your next login. You have been logged out everywhere.

Switch it on again as soon as you are in. If you did not ask for this, tell an owner of your account at once.
"""
VOID = """Your password was too short to be enough alone, so it is void: have a link mailed to you (forgotten password), and
choose another one.
"""


def tell_of_failures(work: Work, user_id: str, failures: int) -> None:
    """Tells a user that somebody who has their password gives wrong codes."""
    locked = LOCKED if failures >= totp.FAILURES_AT_MOST else ""
    _tell(work, find_user(work, user_id), FAILED_SUBJECT, FAILED.format(failures=failures) + locked)


def tell_of_reset(work: Work, user: UserView, is_password_void: bool) -> None:
    """Tells a user that their second factor is gone."""
    _tell(work, user, RESET_SUBJECT, RESET + (VOID if is_password_void else ""))


def _tell(work: Work, user: UserView, subject: str, text: str) -> None:
    queue_mail(work, item_id=user.user_id, person_id=user.person_id, to=str(user.login), subject=subject, text=text)
