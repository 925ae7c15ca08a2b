"""One function per command of lifecycle: read, decide (`account.py`), append. Knows nothing of nameko."""

from __future__ import annotations

from collections.abc import Callable

from services.lifecycle.account import State, resume, suspend
from services.lifecycle.commands import AccountView, OpenAccount, SuspendAccount
from services.lifecycle.events import AccountOpened, AccountResumed, AccountSuspended
from services.lifecycle.queries import account_with_name, show_account
from shared.blind_index import BlindIndex
from shared.errors import Conflict, NotFound
from shared.ids import new_id
from shared.work import Store, Work


def open_account(store: Store, names: BlindIndex, actor: str, command: OpenAccount, idempotency_key: str | None) -> AccountView:
    """Opens an account. The same idempotency key and name give the account that it opened the first time; a name that is
    taken otherwise is a `Conflict`. The row of the name is the guard: two at once meet at its primary key."""
    token = names.token("account", normalised(command.name))
    account_id = account_with_name(store, token)
    if account_id is not None:
        if idempotency_key is None or not _opened_with(store, account_id, idempotency_key):
            raise Conflict("there is an account of this name")
        return show_account(store, account_id)
    account_id = new_id()

    def decide(work: Work) -> None:
        work.fetch("SELECT 1 FROM account_name WHERE token = %s", (token,))
        work.append(
            f"account/{account_id}", 0, [AccountOpened(account_id=account_id, plan=command.plan, name=command.name)]
        )
        work.later(
            "INSERT INTO account_name (token, account_id, opened_at) VALUES (%s, %s, %s)", (token, account_id, work.now)
        )
        if idempotency_key is not None:
            index = work.blind_index().token("opened with", idempotency_key)
            work.later(
                "INSERT INTO lethe.idempotency (account_id, actor_id, command_key, request_hash, result, done_at)"
                " VALUES (%s, %s, %s, '', '{}', %s)",
                (account_id, actor, index.to_bytes(8, "big", signed=True), work.now),
            )

    store.run(account_id, decide, actor=actor)
    return show_account(store, account_id)


def suspend_account(store: Store, account_id: str, actor: str, command: SuspendAccount) -> AccountView:
    """No login and no access to data, for anybody (mission L3). Done already is done."""
    return _change(store, account_id, actor, lambda state: suspend(account_id, state, command.reason))


def resume_account(store: Store, account_id: str, actor: str) -> AccountView:
    """Opens the account again."""
    return _change(store, account_id, actor, lambda state: resume(account_id, state))


def _change(
    store: Store, account_id: str, actor: str, decide_event: Callable[[State], AccountSuspended | AccountResumed | None]
) -> AccountView:
    def decide(work: Work) -> None:
        row = work.fetch_one("SELECT state FROM account WHERE account_id = %s FOR UPDATE", (account_id,))
        if row is None:
            raise NotFound()
        event = decide_event(row[0])
        if event is not None:
            stream = f"account/{account_id}"
            version = work.versions_of([stream])[stream]
            work.append(stream, version, [event])
            # lifecycle itself is closed, or open, from this commit on
            work.later(
                "INSERT INTO lethe.account_state (account_id, state, version) VALUES (%s, %s, %s)"
                " ON CONFLICT (account_id) DO UPDATE SET state = EXCLUDED.state, version = EXCLUDED.version",
                (account_id, "suspended" if isinstance(event, AccountSuspended) else "active", version + 1),
            )

    store.run(account_id, decide, actor=actor)
    return show_account(store, account_id)


def _opened_with(store: Store, account_id: str, idempotency_key: str) -> bool:
    with store.work(account_id) as work:
        index = work.blind_index().token("opened with", idempotency_key)
        return bool(
            work.fetch(
                "SELECT 1 FROM lethe.idempotency WHERE account_id = %s AND command_key = %s",
                (account_id, index.to_bytes(8, "big", signed=True)),
            )
        )


def normalised(name: str) -> str:
    """An account's name to compare by: without regard to case and white space."""
    return " ".join(name.split()).casefold()
