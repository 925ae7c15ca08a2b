"""Rows → answers of lifecycle."""

from __future__ import annotations

from services.lifecycle.commands import AccountPage, AccountView, ListAccounts
from services.lifecycle.events import Names
from shared.errors import NotFound
from shared.work import SYSTEM_ACTOR, SealedValue, Store


def show_account(store: Store, account_id: str) -> AccountView:
    """One account."""
    with store.work(account_id) as work:
        row = work.fetch_one(
            "SELECT name, event_id, plan, state, opened_at, changed_at FROM account WHERE account_id = %s", (account_id,)
        )
        if row is None:
            raise NotFound()
        (name,) = work.open([SealedValue(row[0], f"account/{account_id}", row[1], Names.ACCOUNT_OPENED, "name")])
    return AccountView(
        account_id=account_id, name=name, plan=row[2], state=row[3], opened_at=row[4], changed_at=row[5]
    )


def account_with_name(store: Store, token: int) -> str | None:
    """The account that a name's token leads to. The routing table is the one table that no account owns."""
    with store.work(SYSTEM_ACTOR) as work:
        row = work.fetch_one("SELECT account_id FROM account_name WHERE token = %s", (token,))
    return str(row[0]) if row else None


def list_accounts(store: Store, query: ListAccounts) -> AccountPage:
    """A page of the cell's accounts, oldest first."""
    with store.work(SYSTEM_ACTOR) as work:
        rows = work.fetch(
            "SELECT account_id FROM account_name WHERE %s::uuid IS NULL OR (opened_at, account_id) >"
            " (SELECT opened_at, account_id FROM account_name WHERE account_id = %s) ORDER BY opened_at, account_id LIMIT %s",
            (query.after, query.after, query.limit + 1),
        )
    views = [show_account(store, account) for (account,) in rows[: query.limit]]
    return AccountPage(accounts=views, next_after=views[-1].account_id if len(rows) > query.limit else None)
