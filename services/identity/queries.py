"""Rows → answers of identity. Opens what is sealed under living keys. Whose person is erased is shown nowhere (mission E1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from services.identity.commands import (
    ListUsers,
    ShowUser,
    UserList,
    UsersOfPersons,
    UsersOfPersonsAnswer,
    UserView,
)
from services.identity.events import Names, Role
from services.identity.user import stream_of
from shared.errors import NotFound
from shared.references import normalise_address
from shared.work import SealedValue, Store, Work

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COLUMNS = "u.user_id, u.person_id, u.role, u.state, u.added_at, u.name, u.login, u.event_id"
ALIVE = (
    "NOT EXISTS (SELECT 1 FROM keys.person dead WHERE dead.account_id = u.account_id"
    " AND dead.person_id = u.person_id AND dead.cut_at IS NOT NULL)"
)
"""From the cut on, although the rows are removed a moment later. `u` is the user's row."""


def list_users(store: Store, account_id: str, query: ListUsers) -> UserList:
    """A page of users."""
    clauses, values = ["u.account_id = %s", ALIVE], [account_id]
    if not query.include_removed:
        clauses.append("u.state = 'active'")
    if query.after is not None:
        clauses.append(
            "(u.added_at, u.user_id) > (SELECT added_at, user_id FROM app_user WHERE account_id = %s AND user_id = %s)"
        )
        values += [account_id, query.after]
    with store.work(account_id) as work:
        rows = work.fetch(
            f"SELECT {_COLUMNS} FROM app_user u WHERE {' AND '.join(clauses)} ORDER BY u.added_at, u.user_id LIMIT %s",
            (*values, query.limit + 1),
        )
        views = _views(work, rows[: query.limit])
    return UserList(users=views, next_after=views[-1].user_id if len(rows) > query.limit else None)


def show_user(store: Store, account_id: str, query: ShowUser) -> UserView:
    """One user. By id also one who is removed. Raises `NotFound`."""
    with store.work(account_id) as work:
        return find_user(work, query.user)


def find_user(work: Work, who: str) -> UserView:
    """The user with an id or a login, or the first of the owners. Raises `NotFound`."""
    if who == "owner":
        rows = _rows(work, "u.role = 'owner' AND u.state = 'active' ORDER BY u.added_at, u.user_id LIMIT 1")
    elif _UUID.fullmatch(who):
        rows = _rows(work, "u.user_id = %s", who)
    else:
        rows = _rows(
            work,
            "u.user_id = (SELECT t.user_id FROM login_token t WHERE t.account_id = u.account_id AND t.token = %s)",
            login_token(work, who),
        )
    views = _views(work, rows)
    # a token can collide, so a login is looked at once more
    if not views or not (who == "owner" or _UUID.fullmatch(who) or views[0].login == normalise_address(who)):
        raise NotFound()
    return views[0]


def login_token(work: Work, login: str) -> int:
    """The blind index's token of a login."""
    return work.blind_index().token("login", normalise_address(login))


def role_held(work: Work, user_id: str) -> Role | None:
    """What an actor may do as the account stands now; None where they are no user of it any more."""
    rows = _rows(work, "u.user_id = %s AND u.state = 'active'", user_id)
    role: Role | None = rows[0][2] if rows else None
    return role


def owners(work: Work, *, apart_from: Sequence[str] = ()) -> list[str]:
    """The persons of the account's active owners, except these persons."""
    rows = _rows(work, "u.role = 'owner' AND u.state = 'active' AND u.person_id <> ALL (%s::uuid[])", list(apart_from))
    return [row[1] for row in rows]


def active_owners(work: Work) -> list[UserView]:
    """The account's active owners, in the order in which they were added."""
    return _views(work, _rows(work, "u.role = 'owner' AND u.state = 'active' ORDER BY u.added_at, u.user_id"))


def lock_owners(work: Work) -> None:
    """Makes decisions about who owns the account wait for each other, until the commit. What is read after it is decided.

    Not a lock of the owners' rows: of two that wait for the same rows, the second would decide on what it saw before."""
    work.fetch("SELECT pg_advisory_xact_lock(hashtextextended('identity.owners ' || %s, 0))", (work.account_id,))


def _rows(work: Work, clause: str, *values: Any) -> list[tuple[Any, ...]]:
    return work.fetch(
        f"SELECT {_COLUMNS} FROM app_user u WHERE u.account_id = %s AND {ALIVE} AND {clause}", (work.account_id, *values)
    )


def _views(work: Work, rows: Sequence[Sequence[Any]]) -> list[UserView]:
    opened = work.open(
        [
            SealedValue(sealed, stream_of(row[0]), row[7], Names.USER_ADDED, field)
            for row in rows
            for field, sealed in (("name", row[5]), ("login", row[6]))
        ]
    )
    return [
        UserView(
            user_id=row[0], person_id=row[1], role=row[2], state=row[3], added_at=row[4], name=opened[2 * place],
            login=opened[2 * place + 1],
        )
        for place, row in enumerate(rows)
    ]  # fmt: skip


def users_of_persons(store: Store, account_id: str, query: UsersOfPersons) -> UsersOfPersonsAnswer:
    """The persons among these who are active users."""
    with store.work(account_id) as work:
        rows = work.fetch(
            "SELECT DISTINCT person_id FROM app_user WHERE account_id = %s AND person_id = ANY (%s::uuid[])"
            " AND state = 'active' ORDER BY 1",
            (account_id, query.person_ids),
        )
    return UsersOfPersonsAnswer(person_ids=[person for (person,) in rows])
