"""The way back in for an owner whose own address has changed under the account's IP ranges: a mailed link that suspends the
ranges for one login of theirs. Knows no nameko.

The link takes the place of the address and of nothing else: password and second factor are asked for as ever. The session lasts
for an hour, long enough to set other ranges. All owners are told. Nobody of the vendor's opens this door.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

from services.identity.admission import Admission, lets_in, look_up
from services.identity.commands import Done, RequestRangeRecovery
from services.identity.credentials import append_for_user, lock_access, normal_source
from services.identity.events import IpRangesSuspended, RangeRecoveryRequested
from services.identity.link import Purpose
from services.identity.mailed_links import add_link, links_mailed_since, look_at_link, take_link
from services.identity.queries import active_owners, find_user
from services.identity.reset_handlers import ANSWER_SECONDS, mailed_to
from services.identity.routing import LoginRoute, login_route_token, routes_of_login
from shared import account_states
from shared.errors import NotFound, PersonErased, Unauthenticated
from shared.outgoing_mail import queue_mail
from shared.references import normalise_address
from shared.work import SYSTEM_ACTOR, Store, Work

PURPOSE: Final[Purpose] = "IP ranges"
LIFE = timedelta(hours=1)
SESSION_LIFE = timedelta(hours=1)
MAILED_AT_MOST = 3

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


def request_range_recovery(store: Store, command: RequestRangeRecovery) -> Done:
    """Mails a link to the login's user, in each account that they own and that has IP ranges. The answer is always the same,
    after the same time."""
    answer_at = time.monotonic() + ANSWER_SECONDS
    normal_source(command.source)
    with store.work(SYSTEM_ACTOR) as work:
        routes = routes_of_login(work, login_route_token(store.settings, command.login))
    for route in mailed_to(routes, command.account_id):
        _mail_link(store, route, command.login)
    time.sleep(max(0.0, answer_at - time.monotonic()))  # cooperative: eventlet has patched it
    return Done()


def _mail_link(store: Store, route: LoginRoute, login: str) -> None:
    if account_states.state_of(store, route.account_id) != "active":
        return

    def decide(work: Work) -> None:
        lock_access(work, route.user_id)
        view, admission = find_user(work, route.user_id), look_up(work, route.user_id)
        # a token can collide, so the login is looked at once more
        if admission is None or view.login != normalise_address(login):
            return
        if admission.role != "owner" or admission.ranges_event_id is None:
            return
        if links_mailed_since(work, PURPOSE, route.user_id, LIFE) >= MAILED_AT_MOST:
            return
        url = add_link(work, PURPOSE, route.user_id, view.person_id, LIFE)
        queue_mail(
            work, item_id=route.user_id, person_id=view.person_id, to=view.login, subject=SUBJECT, text=TEXT.format(url=url)
        )
        append_for_user(work, route.user_id, [RangeRecoveryRequested(user_id=route.user_id)])

    try:
        store.run(route.account_id, decide)
    except (NotFound, PersonErased):
        pass  # the user is gone: the answer is the same


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
