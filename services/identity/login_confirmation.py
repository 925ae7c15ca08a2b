"""The mailbox of a login: shown to be somebody's by a link that was mailed there. Knows no nameko.

Until then the login is found in its account alone (`routing.counted`): anybody may write anybody's address into an account.
"""

from __future__ import annotations

from datetime import timedelta

from services.identity.admission import check_ranges, look_up
from services.identity.commands import ConfirmLogin, Done
from services.identity.credentials import append_for_user, lock_access, normal_source
from services.identity.events import LoginConfirmed
from services.identity.mailed_links import NOT_GOOD, account_of_link, add_link, look_at_link, take_link
from services.identity.routing import confirm_login_route
from shared.errors import PersonErased, Unauthenticated
from shared.outgoing_mail import queue_mail
from shared.work import Store, Work

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


def confirm_login(store: Store, command: ConfirmLogin) -> Done:
    """The link was followed. Raises `Unauthenticated`, whatever is wrong with it; `PermissionRefused` from outside of the
    account's ranges; `AccountSuspended`."""
    source = normal_source(command.source)
    account_id = account_of_link(store, command.link_token)
    with store.work(account_id) as work:
        user_id = look_at_link(work, command.link_token, "login").subject_id
        check_ranges(work, source)

    def decide(work: Work) -> None:
        lock_access(work, user_id)
        take_link(work, command.link_token, "login")
        if look_up(work, user_id) is None:
            raise Unauthenticated(NOT_GOOD)
        confirm_login_route(work, user_id)
        append_for_user(work, user_id, [LoginConfirmed(user_id=user_id)])

    try:
        store.run(account_id, decide, actor=user_id)
    except PersonErased:
        raise Unauthenticated(NOT_GOOD) from None
    return Done()
