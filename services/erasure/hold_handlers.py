"""One function per command about legal holds (mission E12): read, decide (`hold.py`), append. Knows nothing of nameko.

A hold and a request for erasure take the same persons' locks. So a hold is either there before the request, which then waits
for it, or comes when the participants have been told, and is refused: what may be cut already can't be promised to be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from services.erasure.commands import HoldView, OfHold, PlacedHold, PlaceHold
from services.erasure.events import HoldEnd, HoldEnded, HoldPlaced
from services.erasure.handlers import go_on
from services.erasure.hold import check_term
from services.erasure.hold_queries import held_requests, holds_on, show_hold
from shared.errors import Conflict, NotFound, PersonErased
from shared.idempotency import once
from shared.ids import new_id
from shared.item_cuts import cut_item
from shared.references import refuse_identifiers
from shared.work import SYSTEM_ACTOR, Store, Work

NEXT_LOOK = timedelta(seconds=10)
"""For how long an expired hold is one replica's to end."""


def place_hold(
    store: Store, account_id: str, actor: str, idempotency_key: str | None, command: PlaceHold, persons: Sequence[str]
) -> PlacedHold:
    """Places a hold. Raises `InvalidArgument`, `PersonErased`, and `Conflict` where the erasing is under way."""
    refuse_identifiers("reference", command.reference)

    def decide(work: Work) -> PlacedHold:
        def do() -> dict[str, Any]:
            check_term(command.expires_at, work.now)
            work.lock_persons(persons)
            if work.cut_persons(persons):
                raise PersonErased()
            _check_not_under_way(work, persons)
            hold_id = new_id()
            placed = HoldPlaced(
                hold_id=hold_id, person_ids=sorted(persons), basis=command.basis, expires_at=command.expires_at,
                reference=command.reference,
            )  # fmt: skip
            work.append(_stream_of(hold_id), 0, [placed])
            work.later(
                "INSERT INTO open_hold (hold_id, account_id, look_at) VALUES (%s, %s, %s)",
                (hold_id, account_id, command.expires_at),
            )
            return {"hold_id": hold_id, "person_ids": sorted(persons)}

        return PlacedHold(**once(work, actor, idempotency_key, command, do))

    return store.run(account_id, decide, actor=actor)


def release_hold(store: Store, account_id: str, actor: str, command: OfHold) -> HoldView:
    """Ends a hold; the requests that waited for it alone go on. One that has ended stays as it is."""
    store.run(account_id, lambda work: _end(work, command.hold_id, "released"), actor=actor)
    return show_hold(store, account_id, command)


def end_expired_holds(store: Store, limit: int = 20) -> int:
    """Ends holds whose time is over, each by one replica; how many there were."""

    def claim(work: Work) -> list[tuple[str, str]]:
        rows = work.change(
            "UPDATE open_hold SET look_at = %s WHERE hold_id IN (SELECT hold_id FROM open_hold"
            " WHERE look_at <= %s ORDER BY look_at LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING account_id, hold_id",
            (work.now + NEXT_LOOK, work.now, limit),
        )
        return [(account, hold) for account, hold in rows]

    claimed = store.run(SYSTEM_ACTOR, claim)
    for account_id, hold_id in claimed:
        store.run(account_id, lambda work: _end(work, hold_id, "expired"))  # noqa: B023
    return len(claimed)


def _end(work: Work, hold_id: str, end: HoldEnd) -> None:
    row = work.fetch_one(
        "SELECT person_ids, ended_at FROM hold WHERE account_id = %s AND hold_id = %s FOR UPDATE", (work.account_id, hold_id)
    )
    if row is None:
        raise NotFound()
    persons, ended_at = row
    if ended_at is not None:
        return
    work.lock_persons(persons)
    ended = HoldEnded(hold_id=hold_id, person_ids=persons, end=end, keys=cut_item(work, hold_id))
    work.append(_stream_of(hold_id), work.versions_of([_stream_of(hold_id)])[_stream_of(hold_id)], [ended])
    work.later("DELETE FROM open_hold WHERE hold_id = %s", (hold_id,))
    for request in held_requests(work, [hold_id]).get(hold_id, []):
        (whom,) = work.fetch(
            "SELECT person_ids FROM request WHERE account_id = %s AND request_id = %s FOR UPDATE", (work.account_id, request)
        )[0]
        if not holds_on(work, whom, apart_from=hold_id):
            go_on(work, request, whom)


def _check_not_under_way(work: Work, persons: Sequence[str]) -> None:
    row = work.fetch_one(
        "SELECT request_id FROM request JOIN request_person USING (account_id, request_id)"
        " WHERE account_id = %s AND person_id = ANY (%s::uuid[]) AND state IN ('erasing', 'incomplete') LIMIT 1",
        (work.account_id, list(persons)),
    )
    if row is not None:
        raise Conflict("This person is being erased: what is cut can't be held any more.", request_id=row[0])


def _stream_of(hold_id: str) -> str:
    return f"hold/{hold_id}"
