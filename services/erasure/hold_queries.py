"""Rows → answers about legal holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.erasure.commands import AccountKept, HoldInForce, HoldList, HoldView, ListHolds, OfHold
from services.erasure.events import Names
from services.erasure.hold import ARTICLES
from shared.account_end import await_writers
from shared.errors import NotFound
from shared.work import SealedValue, Store, Work

_HOLD = "SELECT hold_id, person_ids, basis, placed_at, placed_by, expires_at, ended_at, ended_as, reference, event_id FROM hold"


def show_hold(store: Store, account_id: str, query: OfHold) -> HoldView:
    """One hold."""
    with store.work(account_id) as work:
        rows = work.fetch(f"{_HOLD} WHERE account_id = %s AND hold_id = %s", (account_id, query.hold_id))
        if not rows:
            raise NotFound()
        return _views(work, rows)[0]


def list_holds(store: Store, account_id: str, query: ListHolds) -> HoldList:
    """A page, the newest holds first."""
    with store.work(account_id) as work:
        rows = work.fetch(
            f"{_HOLD} WHERE account_id = %s AND (%s OR ended_at IS NULL) AND (%s::uuid IS NULL OR (placed_at, hold_id) <"
            " (SELECT placed_at, hold_id FROM hold WHERE account_id = %s AND hold_id = %s))"
            " ORDER BY placed_at DESC, hold_id DESC LIMIT %s",
            (account_id, query.include_ended, query.after, account_id, query.after, query.limit + 1),
        )
        views = _views(work, rows[: query.limit])
    return HoldList(holds=views, next_after=views[-1].hold_id if len(rows) > query.limit else None)


def preview_holds(store: Store, account_id: str, persons: Sequence[str]) -> list[HoldInForce]:
    """The holds that a request for these persons would wait for."""
    with store.work(account_id) as work:
        return holds_on(work, persons)


def what_keeps_account(store: Store, account_id: str) -> AccountKept:
    """Holds in force and requests that are not completed. Of an account that is suspended here: who had been let in before that
    has committed, or is refused in their transaction."""
    await_writers(store)
    with store.work(account_id) as work:
        ((holds, erasures),) = work.fetch(
            "SELECT (SELECT count(*) FROM hold WHERE account_id = %s AND ended_at IS NULL),"
            " (SELECT count(*) FROM request WHERE account_id = %s AND state <> 'completed')",
            (account_id, account_id),
        )
    return AccountKept(holds=holds, erasures=erasures)


def holds_on(work: Work, persons: Sequence[str], apart_from: str | None = None) -> list[HoldInForce]:
    """The holds in force on any of these persons, the longest first. To be sure of them, under the persons' locks."""
    rows = work.fetch(
        "SELECT DISTINCT hold_id, basis, expires_at FROM hold JOIN hold_person USING (account_id, hold_id)"
        " WHERE account_id = %s AND person_id = ANY (%s::uuid[]) AND ended_at IS NULL AND hold_id IS DISTINCT FROM %s"
        " ORDER BY expires_at DESC, hold_id",
        (work.account_id, list(persons), apart_from),
    )
    return [_in_force(*row) for row in rows]


def holds_of_requests(work: Work, requests: Sequence[str]) -> dict[str, list[HoldInForce]]:
    """The holds in force that each of these requests waits for."""
    found: dict[str, list[HoldInForce]] = {}
    if not requests:
        return found
    for request, *hold in work.fetch(
        "SELECT DISTINCT r.request_id, hold_id, basis, expires_at FROM request_person r"
        " JOIN hold_person USING (account_id, person_id) JOIN hold USING (account_id, hold_id)"
        " WHERE r.account_id = %s AND r.request_id = ANY (%s::uuid[]) AND ended_at IS NULL ORDER BY expires_at DESC, hold_id",
        (work.account_id, list(requests)),
    ):
        found.setdefault(request, []).append(_in_force(*hold))
    return found


def held_requests(work: Work, holds: Sequence[str]) -> dict[str, list[str]]:
    """The requests that wait for each of these holds."""
    found: dict[str, list[str]] = {}
    for hold, request in work.fetch(
        "SELECT DISTINCT h.hold_id, request_id FROM hold_person h JOIN request_person USING (account_id, person_id)"
        " JOIN request USING (account_id, request_id)"
        " WHERE h.account_id = %s AND h.hold_id = ANY (%s::uuid[]) AND state = 'held' ORDER BY request_id",
        (work.account_id, list(holds)),
    ):
        found.setdefault(hold, []).append(request)
    return found


def persons_of_held_requests(work: Work, hold: str) -> dict[str, list[str]]:
    """The requests that wait for a hold, with their persons."""
    rows = work.fetch(
        "SELECT request_id, person_ids FROM request WHERE account_id = %s AND request_id = ANY (%s::uuid[])",
        (work.account_id, held_requests(work, [hold]).get(hold, [])),
    )
    return dict(rows)


def _in_force(hold_id: str, basis: Any, expires_at: Any) -> HoldInForce:
    return HoldInForce(hold_id=hold_id, basis=basis, article=ARTICLES[basis], expires_at=expires_at)


def _views(work: Work, rows: Sequence[tuple[Any, ...]]) -> list[HoldView]:
    requests = held_requests(work, [row[0] for row in rows if row[6] is None])
    noted: dict[str, list[str]] = {}
    for hold, service in work.fetch(
        "SELECT hold_id, service FROM hold_noted WHERE account_id = %s AND hold_id = ANY (%s::uuid[]) ORDER BY service",
        (work.account_id, [row[0] for row in rows]),
    ):
        noted.setdefault(hold, []).append(service)
    references = work.open(
        [SealedValue(row[8], f"hold/{row[0]}", row[9], Names.HOLD_PLACED, "reference") for row in rows]
    )
    return [
        HoldView(
            hold_id=hold, person_ids=persons, basis=basis, article=ARTICLES[basis],
            reference=reference if isinstance(reference, str) else None, placed_at=placed_at, placed_by=placed_by,
            expires_at=expires_at, ended_at=ended_at, end=end, requests=requests.get(hold, []),
            noted_by=noted.get(hold, []),
        )
        for (hold, persons, basis, placed_at, placed_by, expires_at, ended_at, end, _, _), reference in zip(
            rows, references, strict=True
        )
    ]  # fmt: skip
