"""Links that are mailed to the user of a login, asked for by somebody who is not logged in. Knows no nameko.

Whoever asks learns nothing: not whether there is such a user, and not by the time either. The mail goes to the login alone.
What the link is good for is its purpose's own module's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.identity.admission import Admission, look_up
from services.identity.answer_time import answered_after
from services.identity.commands import Done, RequestPasswordReset, RequestRangeRecovery
from services.identity.credentials import append_for_user, lock_access, normal_source
from services.identity.link import Purpose
from services.identity.mailed_links import add_link, links_mailed_since
from services.identity.queries import find_user
from services.identity.routing import LoginRoute, login_route_token, routes_of_login
from shared import account_states
from shared.errors import NotFound, PersonErased
from shared.events import Event
from shared.outgoing_mail import queue_mail
from shared.references import normalise_address
from shared.work import SYSTEM_ACTOR, Store, Work

LIFE = timedelta(hours=1)
MAILED_AT_MOST = 3
"""Links of one purpose to one user within `LIFE`: nobody fills somebody's mailbox with us."""
ANSWER_SECONDS = 0.3
"""How long an answer takes at least: longer than what is done for a user who exists."""
ACCOUNTS_AT_MOST = 20
UNCONFIRMED_AT_MOST = 3


@dataclass(frozen=True)
class LinkMail:
    """What is mailed, and to whom. `text` has a place for the `url`; `event` is the type of what has happened."""

    purpose: Purpose
    subject: str
    text: str
    event: Callable[..., Event]
    is_for: Callable[[Admission], bool] = lambda _: True


def mail_link(store: Store, asked: RequestPasswordReset | RequestRangeRecovery, mail: LinkMail) -> Done:
    """Mails a link to the login's user, in each account where there is one that the mail is for. The answer is always the same,
    after the same time."""
    with answered_after(ANSWER_SECONDS):
        normal_source(asked.source)
        with store.work(SYSTEM_ACTOR) as work:
            routes = routes_of_login(work, login_route_token(store.settings, asked.login))
        for route in _mailed_to(routes, asked.account_id):
            _mail_link(store, route, asked.login, mail)
    return Done()


def _mailed_to(routes: Sequence[LoginRoute], account_id: str | None) -> list[LoginRoute]:
    """The routes of a login whose users are mailed. Where the mailbox is not confirmed, few: whoever writes somebody's address
    into many accounts fills no mailbox."""
    if account_id is not None:
        return [one for one in routes if one.account_id == account_id]
    confirmed = [one for one in routes if one.is_confirmed]
    return confirmed[:ACCOUNTS_AT_MOST] + [one for one in routes if not one.is_confirmed][:UNCONFIRMED_AT_MOST]


def _mail_link(store: Store, route: LoginRoute, login: str, mail: LinkMail) -> None:
    if account_states.state_of(store, route.account_id) != "active":
        return

    def decide(work: Work) -> None:
        lock_access(work, route.user_id)
        view, admission = find_user(work, route.user_id), look_up(work, route.user_id)
        # a token can collide, so the login is looked at once more
        if admission is None or view.login != normalise_address(login) or not mail.is_for(admission):
            return
        if links_mailed_since(work, mail.purpose, route.user_id, LIFE) >= MAILED_AT_MOST:
            return
        url = add_link(work, mail.purpose, route.user_id, view.person_id, LIFE)
        queue_mail(
            work, item_id=route.user_id, person_id=view.person_id, to=view.login, subject=mail.subject,
            text=mail.text.format(url=url),
        )  # fmt: skip
        append_for_user(work, route.user_id, [mail.event(user_id=route.user_id)])

    try:
        store.run(route.account_id, decide)
    except (NotFound, PersonErased):
        pass  # the user is gone: the answer is the same
