"""Rows → answers about staff access. Opens the reference for those who may read it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.identity.staff_commands import ListStaffGrants, OfStaffGrant, StaffGrantPage, StaffGrantView
from services.identity.staff_grant import state_at, stream_of
from shared.errors import NotFound
from shared.work import SealedValue, Store, Work

_COLUMNS = (
    "g.grant_id, g.staff_id, g.basis, g.purpose, g.state, g.minutes, g.requested_at, g.pending_until, g.decided_by,"
    " g.decided_at, g.expires_at, g.closed_at, g.sessions, g.reference, g.event_id"
)
_OPEN = "(g.state IN ('requested', 'asked') AND g.pending_until > %s OR g.state = 'active' AND g.expires_at > %s)"
_ASKED_BY = {"consent": "identity.StaffAccessRequested", "break-glass": "identity.BreakGlassAsked"}


def list_staff_grants(store: Store, account_id: str, reader: str | None, query: ListStaffGrants) -> StaffGrantPage:
    """A page of grants, the newest first. `reader`: the staff member who asks; None for the account's own people."""
    clauses: list[str] = ["g.account_id = %s"]
    values: list[Any] = [account_id]
    with store.work(account_id) as work:
        if query.only_open:
            clauses.append(_OPEN)
            values += [work.now, work.now]
        if query.after is not None:
            clauses.append(
                "(g.requested_at, g.grant_id) < (SELECT requested_at, grant_id FROM staff_grant"
                " WHERE account_id = %s AND grant_id = %s)"
            )
            values += [account_id, query.after]
        rows = work.fetch(
            f"SELECT {_COLUMNS} FROM staff_grant g WHERE {' AND '.join(clauses)}"
            " ORDER BY g.requested_at DESC, g.grant_id DESC LIMIT %s",
            (*values, query.limit + 1),
        )
        views = _views(work, rows[: query.limit], reader, work.now)
    return StaffGrantPage(grants=views, next_after=views[-1].grant_id if len(rows) > query.limit else None)


def show_staff_grant(store: Store, account_id: str, reader: str | None, query: OfStaffGrant) -> StaffGrantView:
    """One grant. Raises `NotFound`."""
    with store.work(account_id) as work:
        rows = work.fetch(
            f"SELECT {_COLUMNS} FROM staff_grant g WHERE g.account_id = %s AND g.grant_id = %s", (account_id, query.grant_id)
        )
        if not rows:
            raise NotFound()
        return _views(work, rows, reader, work.now)[0]


def _views(work: Work, rows: Sequence[Sequence[Any]], reader: str | None, now: datetime) -> list[StaffGrantView]:
    """A staff member reads the reference of their own grants, and of break-glass, which they may have to confirm."""
    references = work.open(
        [SealedValue(row[13], stream_of(row[0]), row[14], _ASKED_BY[row[2]], "reference") for row in rows]
    )
    return [
        StaffGrantView(
            grant_id=row[0], staff_id=row[1], basis=row[2], purpose=row[3], state=state_at(row[4], row[7], row[10], now),
            reference=reference if row[13] is not None and (reader in (None, row[1]) or row[2] == "break-glass") else None,
            minutes=row[5], requested_at=row[6], pending_until=row[7], decided_by=row[8], decided_at=row[9],
            expires_at=row[10], closed_at=row[11], sessions=row[12],
        )
        for row, reference in zip(rows, references, strict=True)
    ]  # fmt: skip
