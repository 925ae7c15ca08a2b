"""Rows → answers of identity. Opens what is sealed under living keys. Whose person is erased is shown nowhere (mission E1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from services.identity import invitation as invitations
from services.identity.commands import (
    InvitationList,
    InvitationView,
    IpRanges,
    ListInvitations,
    ListUsers,
    ShowUser,
    UserList,
    UserOfPerson,
    UsersOfPersons,
    UsersOfPersonsAnswer,
    UserView,
)
from services.identity.events import Names, Role
from services.identity.user import FORMER_AGENT, fold, stream_of
from shared import clock
from shared.errors import NotFound
from shared.personal import ERASED
from shared.references import normalise_address
from shared.work import SealedValue, Store, Work

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COLUMNS = "u.user_id, u.person_id, u.role, u.state, u.added_at, u.name, u.login, u.event_id, u.event_type, u.version"
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
    """One user. By id also one who is removed, and one whose profile is gone: what they did stands under their id, and shows
    "former agent" (mission E5). Raises `NotFound`."""
    with store.work(account_id) as work:
        try:
            return find_user(work, query.user)
        except NotFound:
            former = _former_user(work, query.user)
            if former is None:
                raise
            return former


def _former_user(work: Work, who: str) -> UserView | None:
    """A user of whom nothing is left but their events without names. By id only: a login that is erased leads nowhere."""
    events = work.load(stream_of(who)) if is_id(who) else []
    user = fold(one.event for one in events)
    if user is None:
        return None
    return UserView(
        user_id=user.user_id, person_id=user.person_id, role=user.role, state="removed", added_at=events[0].envelope.time,
        name=FORMER_AGENT, login=ERASED, version=user.version,
    )  # fmt: skip


def find_user(work: Work, who: str) -> UserView:
    """The user with an id or a login, or the first of the owners. Raises `NotFound`."""
    if who == "owner":
        rows = _rows(work, "u.role = 'owner' AND u.state = 'active' ORDER BY u.added_at, u.user_id LIMIT 1")
    elif is_id(who):
        rows = _rows(work, "u.user_id = %s", who)
    else:
        rows = _rows(
            work,
            "u.user_id = (SELECT t.user_id FROM login_token t WHERE t.account_id = u.account_id AND t.token = %s)",
            login_token(work, who),
        )
    views = _views(work, rows)
    # a token can collide, so a login is looked at once more
    if not views or not (who == "owner" or is_id(who) or views[0].login == normalise_address(who)):
        raise NotFound()
    return views[0]


def is_id(who: str) -> bool:
    """Whether a user is named by an id."""
    return bool(_UUID.fullmatch(who))


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
            SealedValue(sealed, stream_of(row[0]), row[7], row[8], field)
            for row in rows
            for field, sealed in (("name", row[5]), ("login", row[6]))
        ]
    )
    return [
        UserView(
            user_id=row[0], person_id=row[1], role=row[2], state=row[3], added_at=row[4], name=opened[2 * place],
            login=opened[2 * place + 1], version=row[9],
        )
        for place, row in enumerate(rows)
    ]  # fmt: skip


def users_of_persons(store: Store, account_id: str, query: UsersOfPersons) -> UsersOfPersonsAnswer:
    """The users among these persons, whatever their state."""
    with store.work(account_id) as work:
        rows = work.fetch(
            f"SELECT DISTINCT u.person_id, u.role FROM app_user u WHERE u.account_id = %s AND u.person_id = ANY (%s::uuid[])"
            f" AND {ALIVE} ORDER BY 1, 2",
            (account_id, query.person_ids),
        )
    return UsersOfPersonsAnswer(users=[UserOfPerson(person_id=person, role=role) for person, role in rows])


# -- invitations

INVITATION_COLUMNS = "u.invitation_id, u.role, u.login, u.invited_at, u.expires_at, u.event_id"


def list_invitations(store: Store, account_id: str, query: ListInvitations) -> InvitationList:
    """A page of the invitations that can be accepted, oldest first."""
    with store.work(account_id) as work:
        rows = work.fetch(
            f"SELECT {INVITATION_COLUMNS} FROM invitation u WHERE u.account_id = %s AND u.expires_at > %s AND {ALIVE}"
            " AND (%s::uuid IS NULL OR (u.invited_at, u.invitation_id) > (SELECT invited_at, invitation_id FROM invitation"
            " WHERE account_id = %s AND invitation_id = %s)) ORDER BY u.invited_at, u.invitation_id LIMIT %s",
            (account_id, clock.now(), query.after, account_id, query.after, query.limit + 1),
        )
        views = invitation_views(work, rows[: query.limit])
    return InvitationList(invitations=views, next_after=views[-1].invitation_id if len(rows) > query.limit else None)


def show_invitation(store: Store, account_id: str, invitation_id: str) -> InvitationView:
    """One invitation that is open. Raises `NotFound`."""
    with store.work(account_id) as work:
        rows = work.fetch(
            f"SELECT {INVITATION_COLUMNS} FROM invitation u WHERE u.account_id = %s AND u.invitation_id = %s AND {ALIVE}",
            (account_id, invitation_id),
        )
        if not rows:
            raise NotFound()
        return invitation_views(work, rows)[0]


def invitation_views(work: Work, rows: Sequence[Sequence[Any]]) -> list[InvitationView]:
    """Rows of `INVITATION_COLUMNS`, opened."""
    logins = work.open(
        [SealedValue(row[2], invitations.stream_of(row[0]), row[5], Names.USER_INVITED, "login") for row in rows]
    )
    return [
        InvitationView(invitation_id=row[0], role=row[1], login=login, invited_at=row[3], expires_at=row[4])
        for row, login in zip(rows, logins, strict=True)
    ]


# -- from where users are let in


NOWHERE = "0.0.0.0/32"
"""The address of no host (RFC 1122, section 3.2.1.3): it is no request's source."""


def show_ip_ranges(store: Store, account_id: str) -> IpRanges:
    """From where the account's users are let in; from anywhere where the list is empty."""
    with store.work(account_id) as work:
        return IpRanges(ranges=ranges_of(work))


def ranges_of(work: Work) -> list[str]:
    """The account's ranges, for a look whether they hold an address. Where they can't be opened: one that nobody comes from, so
    that nobody is let in by mistake."""
    row = work.fetch_one("SELECT count, ranges, event_id FROM ip_ranges WHERE account_id = %s", (work.account_id,))
    if row is None or row[0] == 0:
        return []
    (ranges,) = work.open([SealedValue(row[1], ip_ranges_stream(work.account_id), row[2], Names.IP_RANGES_SET, "ranges")])
    return ranges if isinstance(ranges, list) else [NOWHERE]


def ip_ranges_stream(account_id: str) -> str:
    """The stream of the account's ranges."""
    return f"ip-ranges/{account_id}"
