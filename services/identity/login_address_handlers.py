"""The address that is a user's login: another one, and that the mailbox of one is theirs. Knows no nameko.

Who has a user's session must not get the account with it: another login of one's own needs the password, and counts once the
link that is mailed to the new address was followed. The old address is told twice, so that whose it is can step in.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from services.identity.admission import check_ranges, look_up
from services.identity.commands import ConfirmLogin, Done
from services.identity.credentials import append_for_user, lock_access, normal_source
from services.identity.events import LoginChangeRequested, LoginConfirmed, ProfileChanged
from services.identity.handlers import check_free
from services.identity.mailed_links import (
    NOT_GOOD,
    Opened,
    account_of_link,
    add_link,
    links_mailed_since,
    look_at_link,
    remove_links,
    take_link,
)
from services.identity.password_handlers import OwnPassword, still_stands
from services.identity.queries import find_user, login_token
from services.identity.routing import add_login_route, confirm_login_route, remove_login_routes
from shared.errors import NotFound, PersonErased, Refused, Unauthenticated
from shared.outgoing_mail import queue_mail
from shared.work import Store, Work

LIFE = timedelta(hours=24)
MAILED_AT_MOST = 3
"""Links to new addresses of one user within `LIFE`: nobody writes to strangers through us."""
PersonWith = Callable[[str, str], str]
"""(login, person id) → the person whose address the login is: the one who is named, where nobody had it. Repeatable."""

SUBJECT = "Your new login"
TEXT = """This address is to be your login at a customer-support desk. Follow this link, and it is:

{url}

The link is good for a day, and once. If you expected nothing of the kind, do nothing: then nothing happens.
"""
WARNING_SUBJECT = "Your login is to be another one"
WARNING = """Somebody who has your password, we hope you, wants another address to be your login at a customer-support desk.
A link was mailed there. If it was not you, change your password now: then the link is void.
"""
NOTICE_SUBJECT = "Your login is another one"
NOTICE = """Another address is your login at a customer-support desk from now on, as you wanted. If it was not you, tell an
owner or an administrator of your account at once.
"""


def ask_login_change(work: Work, user_id: str, login: str, own: OwnPassword) -> None:
    """Mails a user a link to an address that is to be their login. The password was right a moment ago. Raises `Conflict` for a
    login that is another user's, `Refused` where many were asked for, `Unauthenticated` if the password changed meanwhile."""
    lock_access(work, user_id)
    view = find_user(work, user_id)
    check_free(work, login)
    if look_up(work, user_id) is None or not still_stands(work, own.verified):
        raise Unauthenticated(NOT_GOOD)
    if links_mailed_since(work, "login", user_id, LIFE) >= MAILED_AT_MOST:
        raise Refused("Too many links were mailed to new addresses today.", reason="too many links")
    url = add_link(work, "login", user_id, view.person_id, LIFE, held=login)
    for to, subject, text in ((login, SUBJECT, TEXT.format(url=url)), (str(view.login), WARNING_SUBJECT, WARNING)):
        queue_mail(work, item_id=user_id, person_id=view.person_id, to=to, subject=subject, text=text)
    append_for_user(work, user_id, [LoginChangeRequested(user_id=user_id)])


def confirm_login(store: Store, command: ConfirmLogin, person_with: Callable[[str], PersonWith]) -> Done:
    """The link was followed: the mailbox is the user's, and where the link holds another login, that is theirs from now on: a
    further address of the same person, so that it goes with them.

    Raises `Unauthenticated`, whatever is wrong with the link; `Conflict` for a login that was taken meanwhile, `Refused` for an
    address that the account knows as somebody else's; `PermissionRefused` from outside of the account's ranges;
    `AccountSuspended`."""
    source = normal_source(command.source)
    account_id = account_of_link(store, command.link_token)
    with store.work(account_id) as work:
        opened = look_at_link(work, command.link_token, "login")
        check_ranges(work, source)
        if opened.held is not None:
            check_free(work, opened.held)
    if opened.held is not None and person_with(account_id)(opened.held, opened.person_id) != opened.person_id:
        raise Refused("The account knows this address as somebody else's.", reason="address of another person")

    def decide(work: Work) -> None:
        lock_access(work, opened.subject_id)
        _confirm(work, take_link(work, command.link_token, "login"))

    try:
        store.run(account_id, decide, actor=opened.subject_id)
    except (PersonErased, NotFound):
        raise Unauthenticated(NOT_GOOD) from None
    return Done()


def _confirm(work: Work, opened: Opened) -> None:
    user_id = opened.subject_id
    view = find_user(work, user_id)
    if look_up(work, user_id) is None:
        raise Unauthenticated(NOT_GOOD)
    if opened.held is None:
        confirm_login_route(work, user_id)
        append_for_user(work, user_id, [LoginConfirmed(user_id=user_id)])
        return
    check_free(work, opened.held)
    move_login(work, user_id, opened.held, is_confirmed=True)
    queue_mail(
        work, item_id=user_id, person_id=view.person_id, to=str(view.login), subject=NOTICE_SUBJECT, text=NOTICE
    )
    changed = ProfileChanged(user_id=user_id, person_id=view.person_id, name=view.name, login=opened.held)
    append_for_user(work, user_id, [changed, LoginConfirmed(user_id=user_id)])


def move_login(work: Work, user_id: str, login: str, *, is_confirmed: bool) -> None:
    """The user is found by the new login, and no more by the old one. What was mailed before gets nobody in."""
    work.later("DELETE FROM login_token WHERE account_id = %s AND user_id = %s", (work.account_id, user_id))
    work.later(
        "INSERT INTO login_token (account_id, token, user_id) VALUES (%s, %s, %s)",
        (work.account_id, login_token(work, login), user_id),
    )
    remove_login_routes(work, [user_id])
    add_login_route(work, login, user_id, is_confirmed=is_confirmed)
    remove_links(work, user_id)
