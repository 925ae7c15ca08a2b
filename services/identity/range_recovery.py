"""The way back in for an owner whose own address has changed under the account's IP ranges: a mailed link that suspends the
ranges for one login of theirs. Knows no nameko.

The link takes the place of the address and of nothing else: password and second factor are asked for as ever. The session lasts
for an hour, long enough to set other ranges. All owners are told. Nobody of the vendor's opens this door.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from services.identity.admission import Admission, lets_in
from services.identity.commands import Done, RequestRangeRecovery
from services.identity.credentials import append_for_user
from services.identity.events import IpRangesSuspended, RangeRecoveryRequested
from services.identity.link import Purpose
from services.identity.links_by_login import LinkMail, mail_link
from services.identity.mailed_links import look_at_link, take_link
from services.identity.queries import active_owners
from shared.errors import Unauthenticated
from shared.outgoing_mail import queue_mail
from shared.work import Store, Work

PURPOSE: Final[Purpose] = "IP ranges"
SESSION_LIFE = timedelta(hours=1)

SUBJECT = "A way in from another address"
TEXT = """Somebody, probably you, wants to log in to a customer-support desk from an address that your account does not let in.
With this link, your password and your second factor you are let in once, for an hour, to set the addresses anew:

{url}

The link is good for an hour, and once. If it was not you, do nothing: without your password it is good for nothing.
"""
NOTICE_SUBJECT = "An owner logged in from an address outside of your ranges"
NOTICE = """An owner of your account at a customer-support desk has logged in by a mailed link from an address that the account
does not let in. That session lasts for an hour. If nobody of you did that, end all sessions and change the passwords of the
owners now.
"""


def _is_for(admission: Admission) -> bool:
    return admission.role == "owner" and admission.ranges_event_id is not None


_MAIL: Final = LinkMail(PURPOSE, SUBJECT, TEXT, RangeRecoveryRequested, _is_for)


def request_range_recovery(store: Store, command: RequestRangeRecovery) -> Done:
    """Mails a link to the login's user, in each account that they own and that has IP ranges."""
    return mail_link(store, command, _MAIL)


def suspends_ranges(work: Work, admission: Admission, source: str, link_token: str | None) -> bool | None:
    """Whether a login of a user needs the link that it brings (True) or is let in as it is (False); None: neither, so that it
    is refused. The link is not used up yet: what else the login needs may be missing."""
    if lets_in(work, admission, source):
        return False
    if link_token is None or admission.role != "owner":
        return None
    try:
        opened = look_at_link(work, link_token, PURPOSE)
    except Unauthenticated:
        return None
    return True if opened.subject_id == admission.user_id else None


def use_link(work: Work, admission: Admission, session_id: str, link_token: str) -> None:
    """The login is complete: the link is used up, and all owners are told. Raises `Unauthenticated` if somebody was faster."""
    take_link(work, link_token, PURPOSE)
    append_for_user(work, admission.user_id, [IpRangesSuspended(user_id=admission.user_id, session_id=session_id)])
    for owner in active_owners(work):
        queue_mail(
            work, item_id=owner.user_id, person_id=owner.person_id, to=str(owner.login), subject=NOTICE_SUBJECT, text=NOTICE
        )
