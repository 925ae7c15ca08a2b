"""One function per command about legal holds (mission E12): read, decide (`hold.py`), append. Knows nothing of nameko.

A hold and a request for erasure take the same persons' locks, and a hold the locks of their requests besides. So a hold is
either there before the participants are told, and the request waits for it, or comes when they have been told, and is refused:
what may be cut already can't be promised to be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from services.erasure.commands import HoldView, OfHold, PlacedHold, PlaceHold
from services.erasure.events import HoldEnd, HoldEnded, HoldPlaced
from services.erasure.handlers import go_on
from services.erasure.hold import check_term
from services.erasure.hold_queries import held_requests, holds_on, persons_of_held_requests, show_hold
from services.erasure.request import is_under_way
from shared.account_states import check_open
from shared.due_rows import claim_due
from shared.errors import Conflict, LetheError, NotFound, PersonErased
from shared.events import Envelope
from shared.idempotency import done_before, once
from shared.ids import new_id
from shared.item_cuts import cut_item
from shared.logs import get_logger
from shared.references import refuse_identifiers
from shared.work import Store, Work

Know = Callable[[str, Sequence[str]], Sequence[str]]
"""(account, persons) → the identifiers by which contacts knows them at this moment."""

NEXT_LOOK = timedelta(seconds=10)
"""For how long an expired hold is one replica's to end."""

log = get_logger("lethe.erasure")


def place_hold(
    store: Store, account_id: str, actor: str, idempotency_key: str | None, command: PlaceHold, persons: Sequence[str]
) -> PlacedHold:
    """Places a hold. Raises `InvalidArgument`, `PersonErased`, and `Conflict` where the erasing is under way."""
    refuse_identifiers("reference", command.reference)

    def decide(work: Work) -> PlacedHold:
        def do() -> dict[str, Any]:
            check_term(command.expires_at, work.now)
            check_open(work)
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


def placed_before(
    store: Store, account_id: str, actor: str, idempotency_key: str | None, command: PlaceHold
) -> PlacedHold | None:
    """What this command gave when it came before under the same key. Looked at first of all: contacts may not know the person
    any more."""
    done = store.run(account_id, lambda work: done_before(work, actor, idempotency_key, command))
    return None if done is None else PlacedHold(**done)


def take_note(store: Store, envelope: Envelope) -> None:
    """A participant has noted a hold, and cuts nothing of its persons from then on. Repeatable."""
    with store.work(envelope.account) as work:
        work.later(
            "INSERT INTO hold_noted (account_id, hold_id, service) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (work.account_id, envelope.data["hold_id"], envelope.service),
        )


def release_hold(store: Store, account_id: str, actor: str, command: OfHold, know: Know) -> HoldView:
    """Ends a hold; the requests that waited for it alone go on. One that has ended stays as it is."""
    known = _known_now(store, account_id, command.hold_id, know)
    store.run(account_id, lambda work: _end(work, command.hold_id, "released", known), actor=actor)
    return show_hold(store, account_id, command)


def end_hold_again(store: Store, account_id: str, hold_id: str) -> None:
    """Ends a hold that had ended, and which the database has forgotten to: somebody it had kept was cut since. Repeatable. One
    that this copy never knew is none."""
    try:
        store.run(account_id, lambda work: _end(work, hold_id, "released", {}))
    except NotFound:
        pass


def end_expired_holds(store: Store, know: Know, limit: int = 20) -> int:
    """Ends holds whose time is over, each by one replica; how many there were. One that can't be ended keeps no other."""
    ended = 0
    for account_id, hold_id in claim_due(store, "open_hold", "hold_id", NEXT_LOOK, limit):
        try:
            known = _known_now(store, account_id, hold_id, know)
            store.run(account_id, lambda work: _end(work, hold_id, "expired", known))  # noqa: B023
            ended += 1
        except LetheError as error:
            log.warning("an expired hold could not be ended", account=account_id, stream=_stream_of(hold_id), error=error)
    return ended


def _known_now(store: Store, account_id: str, hold_id: str, know: Know) -> dict[str, Sequence[str]]:
    """What contacts knows now of those whose requests wait: years may have gone by since they were asked."""
    with store.work(account_id) as work:
        waiting = persons_of_held_requests(work, hold_id)
    return {request: know(account_id, persons) for request, persons in waiting.items()}


def _end(work: Work, hold_id: str, end: HoldEnd, known: Mapping[str, Sequence[str]]) -> None:
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
            go_on(work, request, whom, known.get(request, ()))


def _check_not_under_way(work: Work, persons: Sequence[str]) -> None:
    """Their requests are held: the end of a hold on somebody else of a request would tell the participants of all."""
    rows = work.fetch(
        "SELECT request_id, state FROM request WHERE account_id = %s AND state <> 'completed' AND request_id IN ("
        "SELECT request_id FROM request_person WHERE account_id = %s AND person_id = ANY (%s::uuid[]))"
        " ORDER BY request_id FOR UPDATE",
        (work.account_id, work.account_id, list(persons)),
    )
    under_way = [request for request, state in rows if is_under_way(state)]
    if under_way:
        raise Conflict("This person is being erased: what is cut can't be held any more.", request_id=under_way[0])


def _stream_of(hold_id: str) -> str:
    return f"hold/{hold_id}"
