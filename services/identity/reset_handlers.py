"""The password reset by mail, for who has forgotten theirs. Knows no nameko.

Whoever asks learns nothing: not whether there is such a user, and not by the time either. The mail goes to the login alone. The
second factor stays as it is, so that somebody else's mailbox is not enough.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

from services.identity import password as passwords
from services.identity.admission import check_ranges, look_up
from services.identity.commands import Done, RequestPasswordReset, ResetPassword
from services.identity.credentials import append_for_user, lock_access, normal_source
from services.identity.events import PasswordResetRequested
from services.identity.mailed_links import (
    NOT_GOOD,
    account_of_link,
    add_link,
    links_mailed_since,
    look_at_link,
    remove_links,
    take_link,
)
from services.identity.password_handlers import set_password
from services.identity.queries import find_user
from services.identity.routing import LoginRoute, confirm_login_route, login_route_token, routes_of_login
from shared import account_states
from shared.errors import Conflict, NotFound, PersonErased, Unauthenticated
from shared.outgoing_mail import queue_mail
from shared.references import normalise_address
from shared.work import SYSTEM_ACTOR, Store, Work

LIFE = timedelta(hours=1)
MAILED_AT_MOST = 3
"""Links to one user within `LIFE`: nobody fills somebody's mailbox with us."""
ANSWER_SECONDS = 0.3
"""How long an answer takes at least: longer than what is done for a user who exists."""
ACCOUNTS_AT_MOST = 20
UNCONFIRMED_AT_MOST = 3
SUBJECT = "A new password"
TEXT = """Somebody, probably you, wants a new password for your login at a customer-support desk. Choose one by this link:

{url}

The link is good for an hour, and once. If it was not you, do nothing: your password stays as it is.
"""


def request_password_reset(store: Store, command: RequestPasswordReset) -> Done:
    """Mails a link to the login's user, in each account where there is one. The answer is always the same, after the same
    time."""
    answer_at = time.monotonic() + ANSWER_SECONDS
    normal_source(command.source)
    with store.work(SYSTEM_ACTOR) as work:
        routes = routes_of_login(work, login_route_token(store.settings, command.login))
    for route in mailed_to(routes, command.account_id):
        _mail_link(store, route, command.login)
    time.sleep(max(0.0, answer_at - time.monotonic()))  # cooperative: eventlet has patched it
    return Done()


def mailed_to(routes: Sequence[LoginRoute], account_id: str | None) -> list[LoginRoute]:
    """The routes of a login whose users are mailed. Where the mailbox is not confirmed, few: whoever writes somebody's address
    into many accounts fills no mailbox."""
    if account_id is not None:
        return [one for one in routes if one.account_id == account_id]
    confirmed = [one for one in routes if one.is_confirmed]
    return confirmed[:ACCOUNTS_AT_MOST] + [one for one in routes if not one.is_confirmed][:UNCONFIRMED_AT_MOST]


def _mail_link(store: Store, route: LoginRoute, login: str) -> None:
    if account_states.state_of(store, route.account_id) != "active":
        return

    def decide(work: Work) -> None:
        lock_access(work, route.user_id)
        view, admission = find_user(work, route.user_id), look_up(work, route.user_id)
        # a token can collide, so the login is looked at once more
        if admission is None or view.login != normalise_address(login):
            return
        if links_mailed_since(work, "password reset", route.user_id, LIFE) >= MAILED_AT_MOST:
            return
        url = add_link(work, "password reset", route.user_id, view.person_id, LIFE)
        queue_mail(
            work, item_id=route.user_id, person_id=view.person_id, to=view.login, subject=SUBJECT, text=TEXT.format(url=url)
        )
        append_for_user(work, route.user_id, [PasswordResetRequested(user_id=route.user_id)])

    try:
        store.run(route.account_id, decide)
    except (NotFound, PersonErased):
        pass  # the user is gone: the answer is the same


def reset_password(store: Store, command: ResetPassword) -> Done:
    """A new password by a mailed link: sessions end, failed logins are forgotten, and the second factor stays.

    Raises `Unauthenticated`, whatever is wrong with the link; `InvalidArgument` for a password that may not be;
    `PermissionRefused` from outside of the account's ranges; `AccountSuspended`; `Busy`."""
    source = normal_source(command.source)
    account_id = account_of_link(store, command.link_token)
    with store.work(account_id) as work:
        user_id = look_at_link(work, command.link_token, "password reset").subject_id
        admission = look_up(work, user_id)
        check_ranges(work, source)
        login = None if admission is None else find_user(work, user_id).login
    if admission is None:
        raise Unauthenticated(NOT_GOOD)
    passwords.check_new(command.password, str(login), has_second_factor=admission.has_second_factor)
    hashed, alone = passwords.hashed(command.password), passwords.stands_alone(command.password)

    def decide(work: Work) -> None:
        lock_access(work, user_id)
        take_link(work, command.link_token, "password reset")
        current = look_up(work, user_id)
        if current is None:
            raise Unauthenticated(NOT_GOOD)
        if not (alone or current.has_second_factor):
            raise Conflict("The second factor was switched off at this moment.")
        remove_links(work, user_id)
        set_password(work, current, hashed, alone, "reset")
        confirm_login_route(work, user_id)

    try:
        store.run(account_id, decide, actor=user_id)
    except PersonErased:
        raise Unauthenticated(NOT_GOOD) from None
    return Done()
