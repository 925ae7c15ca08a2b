"""A participant's side of an erasure, the same in every service (architecture, "Erasure", 2 and 3; mission E3, E8).

`SubjectErased` arrives → (a) tombstone and cut in one transaction, then the cut journal, durable → (b) rows, blobs and
ciphertext removed in batches that can be resumed → (c) the receipt, an event. Each step begins by looking at what is done,
so the reaction can be repeated from the start after a crash anywhere. What is particular to a service is its `Holdings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Protocol

import msgspec

from shared.cut_journal import Cut, note_cuts
from shared.eraser import eraser_cursor
from shared.errors import Conflict
from shared.events import Envelope, Event, HexDigest
from shared.failpoints import failpoint
from shared.ids import StoredId
from shared.personal import NotPersonal
from shared.work import Store, Work

Outcome = Literal["erased", "retained", "nothing held"]
Count = Annotated[int, msgspec.Meta(ge=0)]
CategoryName = Annotated[str, NotPersonal("the name of a kind of row")]
LegalReason = Annotated[str, NotPersonal("a reason from a fixed list, with its article")]

KEYS_IN_ONE_EVENT = 2_000
TELLING_TRIES = 10


class Retained(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is kept, why, and until when (mission E8, GDPR Art. 17(3))."""

    what: CategoryName
    reason: LegalReason
    until: Annotated[str, NotPersonal("when it ends, in words or as a date")]


class SubjectCut(Event, frozen=True, kw_only=True):
    """A participant cut the item keys of one person. It explains every pruned part in this log: by the ids of the keys."""

    request_id: StoredId
    person_id: StoredId
    keys: list[HexDigest]
    shared_items: Count


class ErasureReceipted(Event, frozen=True, kw_only=True):
    """The receipt: what this service erased, kept, or did not hold, of the persons of one request."""

    request_id: StoredId
    person_ids: list[StoredId]
    outcome: Outcome
    counts: dict[CategoryName, Count]
    retained: list[Retained]
    cut_at: datetime
    kept: list[StoredId]
    """The persons of the request whom `retained` is about; all others are cut."""


class NotAllTold(Conflict):
    """Something came in between `before_cut` and the cut: it is told as well before the cut."""

    permanent = False


class Holdings(Protocol):
    """What a service holds of persons, and how it lets go of it."""

    def count(self, work: Work, persons: Sequence[str]) -> dict[str, int]:
        """Rows by kind, for the preview and the receipt."""

    def before_cut(self, store: Store, account_id: str, request_id: str, persons: Sequence[str]) -> int:
        """Tells elsewhere what must be told while the persons' items still open. Repeatable. Returns how many items it was."""

    def to_tell(self, work: Work, persons: Sequence[str]) -> int:
        """How many items that must have been, counted under the persons' locks."""

    def inventory(self, work: Work, persons: Sequence[str]) -> list[str]:
        """Ids of what will be removed, for the probe to look for by another way than by person."""

    def retained(self, work: Work, persons: Sequence[str]) -> list[Retained]:
        """What is kept, with the legal reason."""

    def kept(self, work: Work, persons: Sequence[str]) -> list[str]:
        """The persons whom `retained` is about. They are not cut here."""

    def remove(self, work: Work, persons: Sequence[str]) -> int:
        """Removes one batch of rows (and, before them, the blobs that only they name); returns how many, 0 when done."""

    def traces(
        self, work: Work, persons: Sequence[str], addresses: Sequence[str], inventory: Sequence[str]
    ) -> dict[str, int]:
        """An independent look for what must not be there: ids, keys, blind index. Empty when clean."""


def erase_subject(store: Store, holdings: Holdings, envelope: Envelope) -> None:
    """The reaction to `erasure.SubjectErased`. Raises to be delivered again; every step can be repeated."""
    account, request = envelope.account, str(envelope.data["request_id"])
    persons: list[str] = sorted(envelope.data["person_ids"])
    if store.run(account, lambda work: receipt_exists(work, request)):
        return
    counts, retained, kept, cut_at = _tell_and_cut(store, holdings, envelope, request, persons)
    failpoint(f"{store.service}.erasing-cut")
    # of persons who are retained nothing was cut here: a restore that applies the journal must not do it either
    entries = [
        Cut(account=account, subject=person, kind="person", reason="erasure", request=request, time=cut_at)
        for person in persons
        if person not in kept
    ]
    note_cuts(store.settings, store.service, entries)
    failpoint(f"{store.service}.erasing-journalled")
    _remove_rows(store, holdings, account, persons)
    failpoint(f"{store.service}.erasing-removed")
    prune(store, account)
    failpoint(f"{store.service}.erasing-pruned")
    outcome: Outcome = "retained" if retained else "erased" if any(counts.values()) else "nothing held"
    receipt = ErasureReceipted(
        request_id=request, person_ids=persons, outcome=outcome, counts=counts, retained=retained, cut_at=cut_at, kept=kept
    )

    def give_receipt(work: Work) -> None:
        stream = erasure_stream(request)
        # the version first: a receipt that another replica gives after this look is a conflict then, not a second one
        version = work.versions_of([stream])[stream]
        if not receipt_exists(work, request):
            work.append(stream, version, [receipt])

    store.run(account, give_receipt, causation=envelope.event)


def _tell_and_cut(
    store: Store, holdings: Holdings, envelope: Envelope, request: str, persons: list[str]
) -> tuple[dict[str, int], list[Retained], list[str], datetime]:
    for attempt in range(TELLING_TRIES):
        told = holdings.before_cut(store, envelope.account, request, persons)
        try:
            return store.run(
                envelope.account,
                lambda work: _cut(store, holdings, work, request, persons, told),  # noqa: B023
                causation=envelope.event,
            )
        except NotAllTold:
            if attempt == TELLING_TRIES - 1:
                raise
    raise AssertionError("unreachable")


def erasure_stream(request_id: str) -> str:
    """The stream of a request's events in each participant."""
    return f"erasure/{request_id}"


def receipt_exists(work: Work, request: str) -> bool:
    """Whether the service has given its receipt of a request."""
    return bool(
        work.fetch(
            "SELECT 1 FROM lethe.event WHERE account_id = %s AND stream = %s AND type LIKE '%%.ErasureReceipted'",
            (work.account_id, erasure_stream(request)),
        )
    )


def _cut(
    store: Store, holdings: Holdings, work: Work, request: str, persons: Sequence[str], told: int
) -> tuple[dict[str, int], list[Retained], list[str], datetime]:
    """Tombstone and cut of all persons of a request in one transaction, in the order of their ids. The counts are taken
    under the persons' locks and kept in `SubjectCut`'s transaction, so that a repeated reaction reports the same."""
    done = work.fetch_one(
        "SELECT counts, retained, kept, cut_at FROM lethe.erasing WHERE account_id = %s AND request_id = %s",
        (work.account_id, request),
    )
    if done:
        return done[0], msgspec.convert(done[1], list[Retained]), done[2], done[3]
    work.lock_persons(persons)
    if holdings.to_tell(work, persons) != told:
        raise NotAllTold()
    retained = holdings.retained(work, persons)
    kept = sorted(holdings.kept(work, persons)) if retained else []
    inventory = holdings.inventory(work, persons)
    counts = {kind: count for kind, count in holdings.count(work, persons).items() if count}
    events: list[Event] = []
    for person in sorted(set(persons) - set(kept)):
        rows = work.change(
            "SELECT item_id, key_id, stream, shared FROM keys.cut_person(%s, %s, %s, %s)",
            (work.account_id, person, request, work.now),
        )
        # not those of `rows`: what was cut before in a database that was put back is to be told as well (`recovery.py`)
        cut = work.fetch(
            "SELECT key_id FROM keys.cut_item WHERE account_id = %s AND person_id = %s", (work.account_id, person)
        )
        names = sorted(bytes(name).hex() for (name,) in cut)
        shared_items = sum(1 for row in rows if row[3])
        if shared_items:
            counts["identifiers kept for others"] = counts.get("identifiers kept for others", 0) + shared_items
        for at in range(0, max(len(names), 1), KEYS_IN_ONE_EVENT):
            events.append(
                SubjectCut(
                    request_id=request, person_id=person, keys=names[at : at + KEYS_IN_ONE_EVENT], shared_items=shared_items
                )
            )
        store.keys.forget(work.account_id, [row[0] for row in rows])
    if events:
        stream = erasure_stream(request)
        work.append(stream, work.versions_of([stream])[stream], events)
    work.later(
        "INSERT INTO lethe.erasing (account_id, request_id, counts, retained, kept, inventory, cut_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (
            work.account_id, request, *(msgspec.json.encode(one).decode() for one in (counts, retained, kept, inventory)),
            work.now,
        ),
    )  # fmt: skip
    return counts, retained, kept, work.now


def _remove_rows(store: Store, holdings: Holdings, account: str, persons: Sequence[str]) -> None:
    while store.run(account, lambda work: holdings.remove(work, persons)):
        failpoint(f"{store.service}.erasing-batch")


def prune(store: Store, account: str) -> int:
    """Sets the sealed parts of cut items to NULL, as the eraser; returns how many events lost one. Resumable."""
    pruned = 0
    with eraser_cursor(store.settings, store.service, account) as cursor:
        while True:
            cursor.execute(
                "SELECT item_id, key_id, stream FROM keys.cut_item WHERE account_id = %s AND NOT pruned LIMIT 500", (account,)
            )
            rows = cursor.fetchall()
            if not rows:
                return pruned
            names = [bytes(name) for _, name, _ in rows]
            cursor.execute(
                "SELECT lethe.prune_events(%s, %s, %s::bytea[])", (account, sorted({row[2] for row in rows}), names)
            )
            pruned += cursor.fetchone()[0]
            cursor.execute(
                "UPDATE keys.cut_item SET pruned = true WHERE account_id = %s AND key_id = ANY (%s::bytea[])", (account, names)
            )
            cursor.connection.commit()


def probe(
    holdings: Holdings, work: Work, request_id: str, persons: Sequence[str], addresses: Sequence[str]
) -> dict[str, int]:
    """An independent look for the persons of a request (mission E8): keys, tombstones, rows and index. Empty when clean.

    Whom the receipt said was retained is no trace, even if the reason is over by now: that takes a request of its own."""
    said = work.fetch_one(
        "SELECT kept, inventory FROM lethe.erasing WHERE account_id = %s AND request_id = %s", (work.account_id, request_id)
    )
    if said is None:
        return {"a cut that is still to come": 1}
    persons = sorted(set(persons) - set(said[0]))
    traces = {kind: count for kind, count in holdings.traces(work, persons, addresses, said[1]).items() if count}
    (keys_left,) = work.fetch_one(
        "SELECT count(*) FROM keys.item_person WHERE account_id = %s AND person_id = ANY (%s::uuid[])",
        (work.account_id, list(persons)),
    ) or (0,)
    if keys_left:
        traces["item keys"] = keys_left
    missing = len(set(persons) - work.cut_persons(persons))
    if missing:
        traces["persons without a tombstone"] = missing
    (unpruned,) = work.fetch_one(
        "SELECT count(*) FROM keys.cut_item WHERE account_id = %s AND person_id = ANY (%s::uuid[]) AND NOT pruned",
        (work.account_id, list(persons)),
    ) or (0,)
    if unpruned:
        traces["ciphertext not pruned"] = unpruned
    return traces

