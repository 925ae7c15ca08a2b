"""The password reset by mail, for who has forgotten theirs. Knows no nameko.

The second factor stays as it is, so that somebody else's mailbox is not enough.
"""

from __future__ import annotations

from typing import Final

from services.identity import password as passwords
from services.identity.admission import check_ranges, look_up
from services.identity.commands import Done, RequestPasswordReset, ResetPassword
from services.identity.credentials import lock_access, normal_source
from services.identity.events import PasswordResetRequested
from services.identity.link import Purpose
from services.identity.links_by_login import LinkMail, mail_link
from services.identity.mailed_links import (
    NOT_GOOD,
    account_of_link,
    look_at_link,
    remove_links,
    take_link,
)
from services.identity.password_handlers import set_password
from services.identity.queries import find_user
from services.identity.routing import confirm_login_route
from shared.errors import Conflict, PersonErased, Unauthenticated
from shared.work import Store, Work

PURPOSE: Final[Purpose] = "password reset"
SUBJECT = "A new password"
TEXT = """Somebody, probably you, wants a new password for your login at a customer-support desk. Choose one by this link:

{url}

The link is good for an hour, and once. If it was not you, do nothing: your password stays as it is.
"""
_MAIL: Final = LinkMail(PURPOSE, SUBJECT, TEXT, PasswordResetRequested)


def request_password_reset(store: Store, command: RequestPasswordReset) -> Done:
    """Mails a link to the login's user, in each account where there is one."""
    return mail_link(store, command, _MAIL)


def reset_password(store: Store, command: ResetPassword) -> Done:
    """A new password by a mailed link: sessions end, failed logins are forgotten, and the second factor stays.

    Raises `Unauthenticated`, whatever is wrong with the link; `InvalidArgument` for a password that may not be;
    `PermissionRefused` from outside of the account's ranges; `AccountSuspended`; `Busy`."""
    source = normal_source(command.source)
    account_id = account_of_link(store, command.link_token)
    with store.work(account_id) as work:
        user_id = look_at_link(work, command.link_token, PURPOSE).subject_id
        admission = look_up(work, user_id)
        check_ranges(work, source)
        login = None if admission is None else find_user(work, user_id).login
    if admission is None:
        raise Unauthenticated(NOT_GOOD)
    passwords.check_new(command.password, str(login), has_second_factor=admission.has_second_factor)
    hashed, alone = passwords.hashed(command.password), passwords.stands_alone(command.password)

    def decide(work: Work) -> None:
        lock_access(work, user_id)
        take_link(work, command.link_token, PURPOSE)
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
