"""A participant's side of legal holds, the same in every service (mission E12, GDPR Art. 17(3)).

Erasure places and ends them (`services/erasure/holds.py`). Each participant notes both in its own log, so that an auditor sees
from that log alone that nothing of a held person was cut; and in `keys.hold`, at which the database refuses every cut. Both
happen under the persons' locks, as cuts do: the log's order is the order in which they took effect.
"""

from __future__ import annotations

from shared.events import Envelope, Event
from shared.ids import StoredId
from shared.work import Store, Work


class PersonsHeld(Event, frozen=True, kw_only=True):
    """From here on this service cuts nothing of these persons, until the hold ends."""

    hold_id: StoredId
    person_ids: list[StoredId]


class PersonsReleased(Event, frozen=True, kw_only=True):
    """A hold on these persons has ended. Others may still be on them."""

    hold_id: StoredId
    person_ids: list[StoredId]


def note_hold(store: Store, envelope: Envelope) -> None:
    """The reaction to `erasure.HoldPlaced`. Changes nothing where its end came first, or where everybody is cut already."""
    hold, persons = str(envelope.data["hold_id"]), sorted(envelope.data["person_ids"])

    def decide(work: Work) -> None:
        work.lock_persons(persons)
        version = _version(work, hold)
        alive = sorted(set(persons) - work.cut_persons(persons))
        if version > 0 or not alive:
            return
        work.append(_stream(hold), version, [PersonsHeld(hold_id=hold, person_ids=alive)])
        work.later(
            "INSERT INTO keys.hold (account_id, person_id, hold_id) SELECT %s, unnest(%s::uuid[]), %s",
            (work.account_id, alive, hold),
        )

    store.react(envelope.account, "note_hold", envelope.event, decide)


def note_end_of_hold(store: Store, envelope: Envelope) -> None:
    """The reaction to `erasure.HoldEnded`. Where it comes first, the hold is over before it was heard of."""
    hold, persons = str(envelope.data["hold_id"]), sorted(envelope.data["person_ids"])

    def decide(work: Work) -> None:
        work.lock_persons(persons)
        work.append(_stream(hold), _version(work, hold), [PersonsReleased(hold_id=hold, person_ids=persons)])
        work.later("DELETE FROM keys.hold WHERE account_id = %s AND hold_id = %s", (work.account_id, hold))

    store.react(envelope.account, "note_end_of_hold", envelope.event, decide)


def _stream(hold: str) -> str:
    return f"held/{hold}"


def _version(work: Work, hold: str) -> int:
    stream = _stream(hold)
    return work.versions_of([stream])[stream]
