"""One function per command of lifecycle: read, decide (`account.py`), append. Knows nothing of nameko."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from services.lifecycle.account import State, end, opening, resume, suspend
from services.lifecycle.commands import AccountEndView, AccountView, OpenAccount, SuspendAccount
from services.lifecycle.events import AccountEnded, AccountResumed, AccountSuspended
from services.lifecycle.queries import show_account, show_account_end
from services.lifecycle.routing import Routing
from shared.account_states import KeepAccountState, keep_state
from shared.errors import Conflict, Incomplete, NotFound
from shared.events import Envelope
from shared.idempotency import once
from shared.ids import new_id
from shared.settings import ACCOUNT_SERVICES
from shared.work import SYSTEM_ACTOR, Store, Work

Tell = Callable[[KeepAccountState], Collection[str]]
"""Tells every other service the account's state; gives the names of those that have not said that they keep it."""


def open_account(store: Store, routing: Routing, actor: str, command: OpenAccount, idempotency_key: str | None) -> AccountView:
    """Opens an account. Raises `Conflict` where its name is taken, or the key was used for another request.

    The row of the name is the guard: two at once meet at its primary key, and the later one looks again. A command that is
    sent again under its key comes to the id that the key stands for, and finds there what it did."""
    account_id = routing.account_for(actor, idempotency_key) if idempotency_key is not None else new_id()
    token = routing.token(command.name)

    def decide(work: Work) -> None:
        def do() -> dict[str, str]:
            if work.fetch_one("SELECT 1 FROM account_name WHERE token = %s", (token,)):
                raise Conflict("There is an account of this name already.", field="name")
            work.append(f"account/{account_id}", 0, [opening(account_id, command.name, command.plan)])
            work.later(
                "INSERT INTO account_name (token, account_id, opened_at) VALUES (%s, %s, %s)", (token, account_id, work.now)
            )
            return {"account_id": account_id}

        once(work, actor, idempotency_key, command, do)

    store.run(account_id, decide, actor=actor)
    return show_account(store, account_id)


def suspend_account(store: Store, account_id: str, actor: str, command: SuspendAccount, tell: Tell) -> AccountView:
    """No login and no access to data, for anybody (mission L3), from the answer on. Done already is done, and told again.

    Raises `Incomplete` where a service could not be told: it is suspended, and that service learns it from the event."""
    return _change(store, account_id, actor, lambda state: suspend(account_id, state, command.reason), tell)


def resume_account(store: Store, account_id: str, actor: str, tell: Tell) -> AccountView:
    """Opens the account again. Raises `Incomplete` as suspending does."""
    return _change(store, account_id, actor, lambda state: resume(account_id, state), tell)


def end_account(store: Store, account_id: str, actor: str, holds: int, erasures: int) -> AccountEndView:
    """Has every service remove all that it has of an account, for good. Raises `Refused`. Done already is done; services that
    are not done are told again, by an event of the cell: the account's own may be gone."""
    with store.work(SYSTEM_ACTOR) as work:
        ended = work.fetch("SELECT gone_at FROM ended_account WHERE account_id = %s", (account_id,))
    if ended:
        if any(gone_at is None for (gone_at,) in ended):
            store.run(SYSTEM_ACTOR, lambda work: _tell_again(work, account_id), actor=actor)
        return show_account_end(store, account_id)

    def decide(work: Work) -> None:
        row = work.fetch_one("SELECT state FROM account WHERE account_id = %s FOR UPDATE", (account_id,))
        if row is None:
            raise NotFound()
        event = end(account_id, row[0], holds, erasures)
        if event is not None:
            stream = f"account/{account_id}"
            work.append(stream, work.versions_of([stream])[stream], [event])
            work.later(
                "INSERT INTO ended_account (account_id, service, ended_at) SELECT %s, unnest(%s::text[]), %s",
                (account_id, list(ACCOUNT_SERVICES), work.now),
            )

    store.run(account_id, decide, actor=actor)
    return show_account_end(store, account_id)


def _tell_again(work: Work, account_id: str) -> None:
    stream = f"ended/{account_id}"
    work.append(stream, work.versions_of([stream])[stream], [AccountEnded(account_id=account_id)])


def take_receipt(store: Store, envelope: Envelope) -> None:
    """A service has nothing of an account any more. Repeatable."""
    with store.work(SYSTEM_ACTOR) as work:
        work.later(
            "UPDATE ended_account SET gone_at = %s WHERE account_id = %s AND service = %s AND gone_at IS NULL",
            (envelope.time, envelope.data["account_id"], envelope.service),
        )


def _change(
    store: Store, account_id: str, actor: str, decide_event: Callable[[State], AccountSuspended | AccountResumed | None],
    tell: Tell,
) -> AccountView:  # fmt: skip
    def decide(work: Work) -> KeepAccountState:
        row = work.fetch_one("SELECT state FROM account WHERE account_id = %s FOR UPDATE", (account_id,))
        if row is None:
            raise NotFound()
        stream = f"account/{account_id}"
        version = work.versions_of([stream])[stream]
        event = decide_event(row[0])
        if event is None:
            return KeepAccountState(state=row[0], version=version)
        work.append(stream, version, [event])
        state: Literal["active", "suspended"] = "suspended" if isinstance(event, AccountSuspended) else "active"
        keep_state(work, state, version + 1)  # lifecycle itself is closed, or open, from this commit on
        return KeepAccountState(state=state, version=version + 1)

    changed = store.run(account_id, decide, actor=actor)
    untold = sorted(tell(changed))
    if untold:
        raise Incomplete(
            f"The account is {changed.state}; these services could not be told yet: {', '.join(untold)}. They will learn it"
            " when they are back; do it again to make sure.",
            state=changed.state, services=untold,
        )  # fmt: skip
    return show_account(store, account_id)
