"""A participant's side of legal holds, the same in every service (mission E12, GDPR Art. 17(3)).

Erasure places and ends them (`services/erasure/hold_handlers.py`). Each participant notes both in its own log, so that an
auditor sees from that log alone that nothing of a held person was cut; and in `keys.hold`, at which what cuts looks first. Both
happen under the persons' locks, as cuts do: the log's order is the order in which they took effect.

A person is not cut at all while a hold is on them. A single item (a profile that is deleted, an invitation that is over) leaves
every screen at once, and its key is cut when the hold ends: `keys.due_item` has those that wait.
"""

from __future__ import annotations

from shared.events import Envelope, Event, HexDigest
from shared.ids import StoredId
from shared.item_cuts import cut_item, finish_cut
from shared.work import Store, Work

_DUE = """
DELETE FROM keys.due_item AS due WHERE account_id = %s AND NOT EXISTS (
    SELECT 1 FROM keys.item_person AS owned JOIN keys.hold USING (account_id, person_id)
    WHERE owned.account_id = due.account_id AND owned.item_id = due.item_id)
RETURNING item_id
"""


class PersonsHeld(Event, frozen=True, kw_only=True):
    """From here on this service cuts nothing of these persons, until the hold ends."""

    hold_id: StoredId
    person_ids: list[StoredId]


class PersonsReleased(Event, frozen=True, kw_only=True):
    """A hold on these persons has ended. Others may still be on them."""

    hold_id: StoredId
    person_ids: list[StoredId]


class KeptItemCut(Event, frozen=True, kw_only=True):
    """An item was to be cut while the hold was on its person, and is now."""

    hold_id: StoredId
    item_id: StoredId
    keys: list[HexDigest]


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
    """The reaction to `erasure.HoldEnded`: what waited for it is cut. Where it comes first, the hold is over before it was
    heard of. Journal and pruning follow, at each delivery: an entry twice does no harm."""
    hold, persons = str(envelope.data["hold_id"]), sorted(envelope.data["person_ids"])

    def decide(work: Work) -> None:
        work.lock_persons(persons)
        work.change("DELETE FROM keys.hold WHERE account_id = %s AND hold_id = %s RETURNING 1", (work.account_id, hold))
        due = sorted(item for (item,) in work.change(_DUE, (work.account_id,)))
        cuts = [KeptItemCut(hold_id=hold, item_id=item, keys=keys) for item in due if (keys := cut_item(work, item))]
        work.append(_stream(hold), _version(work, hold), [PersonsReleased(hold_id=hold, person_ids=persons), *cuts])

    store.react(envelope.account, "note_end_of_hold", envelope.event, decide)
    with store.work(envelope.account) as work:
        noted = work.load(_stream(hold))
    for one in noted:
        if isinstance(one.event, KeptItemCut):
            finish_cut(store, one.envelope, one.event.item_id)


def _stream(hold: str) -> str:
    return f"held/{hold}"


def _version(work: Work, hold: str) -> int:
    stream = _stream(hold)
    return work.versions_of([stream])[stream]
