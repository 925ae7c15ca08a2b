"""What the vendor's staff saw (mission I7): each look-up is an event in the service's own log, committed before its answer
goes out, and the account's owners and admins can read it.

Unlike the records of users' reads (`read_records.py`) nothing is gathered first: a look-up that can't be recorded is not
answered. The events name pseudonyms only; they stay when a person is erased, as envelopes do, and lead to nobody then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec

from shared.events import Event
from shared.ids import Id, StoredId
from shared.read_records import MethodName
from shared.tokens import Actor, StaffPurpose
from shared.work import Store, Work

STAFF: Final = frozenset({"staff"})
"""The role of a staff member under a grant. Methods that only read admit it; each of them records what it shows."""


class StaffLookedUp(Event, frozen=True, kw_only=True):
    """A staff member was shown this, under a grant and for its purpose. Without ids: they asked, and there was nothing."""

    grant_id: StoredId
    staff_id: StoredId
    purpose: StaffPurpose
    method: MethodName
    person_ids: list[StoredId]
    ticket_ids: list[StoredId]


class ListStaffLookups(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of the look-ups under a grant in one service, in their order, from after the one of that number."""

    grant_id: Id
    after: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class StaffLookup(msgspec.Struct, frozen=True, kw_only=True):
    """One look-up: the `number` counts them under the grant in this service."""

    number: int
    looked_up_at: datetime
    grant_id: Id
    staff_id: Id
    purpose: StaffPurpose
    method: MethodName
    person_ids: list[Id]
    ticket_ids: list[Id]


class StaffLookupPage(msgspec.Struct, frozen=True, kw_only=True):
    lookups: list[StaffLookup]
    next_after: int | None


def stream_of(grant_id: str) -> str:
    """The stream of the look-ups under a grant, in each service."""
    return f"staff-lookups/{grant_id}"


def record_lookup(
    store: Store, account_id: str, actor: Actor, method: str, persons: Sequence[str], tickets: Sequence[str]
) -> None:
    """Writes down what a staff member is about to be shown. When this returns it is committed; if it raises, the answer must
    not go out."""
    assert actor.grant_id is not None and actor.purpose is not None
    looked_up = StaffLookedUp(
        grant_id=actor.grant_id, staff_id=actor.id, purpose=actor.purpose, method=method, person_ids=list(persons),
        ticket_ids=list(tickets),
    )  # fmt: skip

    def append(work: Work) -> None:
        stream = stream_of(looked_up.grant_id)
        work.append(stream, work.versions_of([stream])[stream], [looked_up])

    store.run(account_id, append, actor=actor.id)


def list_lookups(store: Store, account_id: str, query: ListStaffLookups) -> StaffLookupPage:
    """A page of the look-ups under a grant, from the log itself."""
    with store.work(account_id) as work:
        recorded = work.load_part(stream_of(query.grant_id), query.after, query.limit + 1)
    lookups = [
        StaffLookup(
            number=one.envelope.version, looked_up_at=one.envelope.time, grant_id=one.event.grant_id,
            staff_id=one.event.staff_id, purpose=one.event.purpose, method=one.event.method, person_ids=one.event.person_ids,
            ticket_ids=one.event.ticket_ids,
        )
        for one in recorded[: query.limit]
        if isinstance(one.event, StaffLookedUp)
    ]  # fmt: skip
    return StaffLookupPage(lookups=lookups, next_after=lookups[-1].number if len(recorded) > query.limit else None)
