"""One function per command of identity: read, decide (`user.py`), append. Knows nothing of nameko."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from services.identity.access_commands import SetFirstPassword
from services.identity.commands import AddFirstOwner, AddUser, MintedToken, MintToken, RemoveUser, ShowUser, UserView
from services.identity.credentials import end_all_access, lock_access
from services.identity.events import MailFailure, MailGivenUp, UserAdded
from services.identity.password import check_new
from services.identity.password_handlers import set_first_password
from services.identity.queries import find_user, lock_owners, login_token, owners, role_held, show_user
from services.identity.rights import cut_off, hold_rights
from services.identity.routing import add_login_route, remove_login_routes
from services.identity.user import check_operator_adds, check_user_adds, fold, removal, stream_of
from shared import account_states, clock
from shared.door import Door
from shared.errors import AccountSuspended, Conflict, InvalidArgument, NotFound
from shared.idempotency import done_before, once
from shared.ids import new_id
from shared.outgoing_mail import ClaimedMail
from shared.references import normalise_address
from shared.tokens import Actor, TokenIssuer
from shared.work import SYSTEM_ACTOR, Store, Work

_MAIL_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]+@[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]+")

PersonOf = Callable[[str, str], str]
"""(login, name) → the id of the person behind a user, whom contacts knows or adds. Repeatable."""


class Caller(NamedTuple):
    """Who gives a command: a user of the account, or an operator (who has no id of their own in events)."""

    actor_id: str
    is_operator: bool = False


def add_user(
    store: Store, account_id: str, caller: Caller, idempotency_key: str | None, command: AddUser, person_of: PersonOf
) -> UserView:
    """A user of the account. Who may do it is looked at before contacts is asked, so that a refused command leaves no person
    behind, and again in the transaction that adds the user.

    Raises `PermissionRefused`; `Conflict` for a login that is taken; `PersonErased` if the person goes at this moment.
    """
    login = checked_login(command.login)

    def look(work: Work) -> bool:
        if done_before(work, caller.actor_id, idempotency_key, command) is not None:
            return True
        _check_may_add(work, caller, command)
        check_free(work, login)
        return False

    is_done = store.run(account_id, look, actor=caller.actor_id)
    person_id = "" if is_done else person_of(command.login, command.name)

    def decide(work: Work) -> str:
        def do() -> dict[str, str]:
            if caller.is_operator:
                work.pin_persons((person_id,))
                work.flush()  # persons are locked before all else, as an erasure does
                lock_owners(work)
            _check_may_add(work, caller, command)
            check_free(work, login)
            return {"user_id": append_user(work, person_id, command, login)}

        return str(once(work, caller.actor_id, idempotency_key, command, do)["user_id"])

    user_id = store.run(account_id, decide, actor=caller.actor_id)
    return show_user(store, account_id, ShowUser(user=user_id))


def add_first_owner(
    store: Store, account_id: str, idempotency_key: str | None, command: AddFirstOwner, person_of: PersonOf,
    *, is_confirmed: bool = True,
) -> UserView:  # fmt: skip
    """The first owner, with a password. Sent again under its key it completes what a first try left half done. Who signs up
    by themselves (not `is_confirmed`) is mailed a link to show that the mailbox is theirs."""
    login = checked_login(command.login)
    check_new(command.password, login, has_second_factor=False)
    operator = Caller(SYSTEM_ACTOR, is_operator=True)
    adding = AddUser(role="owner", name=command.name, login=command.login)
    owner = add_user(store, account_id, operator, idempotency_key, adding, person_of)
    try:
        first = SetFirstPassword(user=owner.user_id, password=command.password)
        set_first_password(store, account_id, first, is_confirmed=is_confirmed)
    except Conflict:
        pass  # it was set by the first try, or the owner has changed it since
    return owner


def _check_may_add(work: Work, caller: Caller, command: AddUser) -> None:
    if caller.is_operator:
        check_operator_adds(command.role, len(owners(work)))
    else:
        check_user_adds(role_held(work, caller.actor_id), command.role)


def check_free(work: Work, login: str) -> None:
    """Raises `Conflict` for a login that is a user's."""
    taken = "SELECT 1 FROM login_token WHERE account_id = %s AND token = %s"
    if work.fetch_one(taken, (work.account_id, login_token(work, login))):
        raise Conflict("There is a user with this login already.", field="login")


def append_user(work: Work, person_id: str, command: AddUser, login: str, *, is_confirmed: bool = False) -> str:
    """A new user of a person; gives the id. Who may do it was decided. `is_confirmed`: the mailbox of the login is theirs."""
    user_id = new_id()
    added = UserAdded(user_id=user_id, person_id=person_id, role=command.role, name=command.name, login=login)
    work.append(stream_of(user_id), 0, [added])
    work.later(
        "INSERT INTO login_token (account_id, token, user_id) VALUES (%s, %s, %s)",
        (work.account_id, login_token(work, login), user_id),
    )
    add_login_route(work, login, user_id, is_confirmed=is_confirmed)
    return user_id


def remove_user(store: Store, account_id: str, caller: Caller, command: RemoveUser) -> UserView:
    """Takes a user's rights away, with all their tokens; their login is free again. Twice is once.

    Raises `NotFound`, `PermissionRefused`, `Refused` for a last owner (mission E5, under parallel tries as well).
    """

    def decide(work: Work) -> str:
        user_id = find_user(work, command.user).user_id
        lock_owners(work)
        user = fold(one.event for one in work.load(stream_of(user_id)))
        held = role_held(work, caller.actor_id)
        events = removal(held, user, len(owners(work)), command.reason)
        if user is not None and events:
            lock_access(work, user_id)
            work.append(stream_of(user_id), user.version, [*events, cut_off(work, user_id)])
            work.later("DELETE FROM login_token WHERE account_id = %s AND user_id = %s", (work.account_id, user_id))
            remove_login_routes(work, [user_id])
            end_all_access(work, user_id)
        return user_id

    user_id = store.run(account_id, decide, actor=caller.actor_id)
    return show_user(store, account_id, ShowUser(user=user_id))


def mint_token(store: Store, issuer: TokenIssuer, account_id: str, command: MintToken) -> MintedToken:
    """A token with which to act as a user. Raises `AccountSuspended` (mission L3), `NotFound` for who is no user now."""
    if account_states.state_of(store, account_id) != "active":
        raise AccountSuspended()
    with store.work(account_id) as work:
        user_id = find_user(work, command.user).user_id
        hold_rights(work, user_id)
        user = find_user(work, user_id)
        if user.state != "active":
            raise NotFound()
        life = timedelta(minutes=command.minutes)
        expires_at = clock.now() + life  # not after what stands in the token
        door = Door(kind="minted token")
        token = issuer.mint(Actor(kind="user", id=user.user_id, account_id=account_id, role=user.role, door=door), life)
    return MintedToken(token=token, user_id=user.user_id, role=user.role, expires_at=expires_at)


def note_mail_given_up(work: Work, mail: ClaimedMail, failure: MailFailure, reply_code: int) -> None:
    """Records, in the transaction that gives a mail up, that somebody was not told what they were to be told."""
    event = MailGivenUp(
        mail_id=mail.mail_id, item_id=mail.item_id, person_id=mail.person_id, failure=failure, attempts=mail.attempts,
        reply_code=reply_code,
    )  # fmt: skip
    work.append(f"mail/{mail.mail_id}", 0, [event])


def checked_login(text: str) -> str:
    """A login in its one form. Raises `InvalidArgument` for what is no mail address."""
    normalised = normalise_address(text)
    if not _MAIL_ADDRESS.fullmatch(normalised):
        raise InvalidArgument(field="login", rule="a mail address, as in name@example.org")
    return normalised
