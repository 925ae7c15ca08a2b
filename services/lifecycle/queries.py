"""Rows → answers of lifecycle."""

from __future__ import annotations

from contextlib import suppress

from services.lifecycle.account import Account, Period, PeriodKind, State, ahead, comparable_name
from services.lifecycle.commands import AccountEndView, AccountPage, AccountView, EndInService, FindAccount, ListAccounts
from services.lifecycle.events import Names, Plan
from services.lifecycle.periods import Periods
from services.lifecycle.routing import Routing
from shared.errors import NotFound
from shared.work import SYSTEM_ACTOR, SealedValue, Store, Work

_CLOSING: frozenset[PeriodKind] = frozenset({"suspended", "dissolved"})


def show_account(store: Store, periods: Periods, account_id: str) -> AccountView:
    """One account."""
    with store.work(account_id) as work:
        row = work.fetch_one(
            "SELECT name, event_id, plan, state, opened_at, changed_at FROM account WHERE account_id = %s", (account_id,)
        )
        if row is None:
            raise NotFound()
        (name,) = work.open([SealedValue(row[0], f"account/{account_id}", row[1], Names.ACCOUNT_OPENED, "name")])
        account = account_as_it_stands(work, row[3], row[2])
    return AccountView(
        account_id=account_id, name=name, plan=row[2], state=row[3], opened_at=row[4], changed_at=row[5],
        ahead=ahead(account, periods),
    )  # fmt: skip


def account_as_it_stands(work: Work, state: State, plan: Plan) -> Account:
    """The account of a unit of work, with its periods."""
    found: dict[bool, Period] = {
        kind in _CLOSING: Period(kind=kind, ends_at=ends_at)
        for kind, ends_at in work.fetch("SELECT kind, ends_at FROM account_period WHERE account_id = %s", (work.account_id,))
    }
    return Account(account_id=work.account_id, state=state, plan=plan, period=found.get(False), closing=found.get(True))


def show_account_end(store: Store, account_id: str) -> AccountEndView:
    """How far the end of an account is, service by service. Raises `NotFound` where it has not ended."""
    with store.work(SYSTEM_ACTOR) as work:
        rows = work.fetch(
            "SELECT service, ended_at, gone_at FROM ended_account WHERE account_id = %s ORDER BY service", (account_id,)
        )
    if not rows:
        raise NotFound()
    services = [EndInService(service=service, gone_at=gone_at) for service, _, gone_at in rows]
    return AccountEndView(
        account_id=account_id, ended_at=rows[0][1], is_gone=all(one.gone_at is not None for one in services), services=services
    )


def find_account(store: Store, periods: Periods, routing: Routing, query: FindAccount) -> AccountView:
    """The account of a name, over the routing table: the one table that no account owns. Raises `NotFound`.

    A token can collide, so the name is looked at once more."""
    token = routing.token(query.name)
    with store.work(SYSTEM_ACTOR) as work:
        row = work.fetch_one("SELECT account_id FROM account_name WHERE token = %s", (token,))
    if row is not None:
        found = show_account(store, periods, row[0])
        if isinstance(found.name, str) and comparable_name(found.name) == comparable_name(query.name):
            return found
    raise NotFound("There is no account of this name.")


def list_accounts(store: Store, periods: Periods, query: ListAccounts) -> AccountPage:
    """A page of the cell's accounts, oldest first. Raises `NotFound` where the account after which it begins has ended: an
    empty page would look like the last one."""
    with store.work(SYSTEM_ACTOR) as work:
        if query.after and not work.fetch("SELECT 1 FROM account_name WHERE account_id = %s", (query.after,)):
            raise NotFound("There is no account after which this page could begin.")
        rows = work.fetch(
            "SELECT account_id FROM account_name WHERE %s::uuid IS NULL OR (opened_at, account_id) >"
            " (SELECT opened_at, account_id FROM account_name WHERE account_id = %s) ORDER BY opened_at, account_id LIMIT %s",
            (query.after, query.after, query.limit + 1),
        )
    views = []
    for (account,) in rows[: query.limit]:
        with suppress(NotFound):  # it has ended in this moment
            views.append(show_account(store, periods, account))
    return AccountPage(accounts=views, next_after=rows[query.limit - 1][0] if len(rows) > query.limit else None)
