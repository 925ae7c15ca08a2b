"""Who saw what of one person, in one service: reads by the account's users and look-ups by the vendor's staff, in log order.

For the person's own right of access (GDPR Art. 15), which identity answers: it knows roles and grants, and makes of an actor's
id what the person is told. So this is between services only, and names of each read what the person may know: never whom else,
or which tickets, the same answer showed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from shared.events import decode_envelope
from shared.ids import Id
from shared.personal import NotPersonal
from shared.read_records import MethodName
from shared.staff_lookups import stream_of
from shared.work import Store

MOST_GRANTS = 10_000
PurposeName = Annotated[str, NotPersonal("a word from a fixed list")]

_READS = (
    "SELECT l.index, r.place, r.read_at, r.actor_id::text, r.method, r.purpose, NULL::bytea"
    " FROM read_subject s JOIN read_record r USING (account_id, batch_id, place)"
    " JOIN event e ON e.account_id = s.account_id AND e.stream = 'reads/' || s.batch_id AND e.version = 1"
    " JOIN log l ON l.sequence = e.sequence"
    " WHERE s.account_id = %s AND s.subject_id = %s AND s.kind = 'person'"
)
_LOOKUPS = (
    "SELECT l.index, 0, e.occurred_at, NULL, NULL, NULL, e.envelope FROM event e JOIN log l ON l.sequence = e.sequence"
    " WHERE e.account_id = %s AND e.stream = ANY (%s) AND position(%s::bytea IN e.envelope) > 0"
)


class ReadsOfPerson(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of what was seen of a person, after a place (log index, and place in the event); `grant_ids` are the account's
    grants to staff."""

    person_id: Id
    grant_ids: Annotated[list[Id], msgspec.Meta(max_length=MOST_GRANTS)]
    after_index: Annotated[int, msgspec.Meta(ge=-1, le=2**62)] = -1
    after_place: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class PersonRead(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody was shown something of the person. `actor_id` is a user's id, or a staff member's."""

    index: int
    place: int
    at: datetime
    by: Literal["user", "staff"]
    actor_id: Id
    method: MethodName
    purpose: PurposeName


class PersonReads(msgspec.Struct, frozen=True, kw_only=True):
    reads: list[PersonRead]
    has_more: bool


def reads_of_person(store: Store, account_id: str, query: ReadsOfPerson) -> PersonReads:
    """A page. What was read a moment ago may not be in the log yet."""
    with store.work(account_id) as work:
        rows = work.fetch(
            f"SELECT * FROM ({_READS} UNION ALL {_LOOKUPS}) AS shown (index, place, at, actor, method, purpose, envelope)"
            " WHERE (index, place) > (%s, %s) ORDER BY index, place LIMIT %s",
            (
                account_id, query.person_id, account_id, [stream_of(grant) for grant in query.grant_ids],
                query.person_id.encode(), query.after_index, query.after_place, query.limit + 1,
            ),
        )  # fmt: skip
    return PersonReads(reads=[_read(row) for row in rows[: query.limit]], has_more=len(rows) > query.limit)


def _read(row: tuple[Any, ...]) -> PersonRead:
    index, place, at, actor, method, purpose, envelope = row
    if envelope is None:
        return PersonRead(index=index, place=place, at=at, by="user", actor_id=actor, method=method, purpose=purpose)
    said = decode_envelope(bytes(envelope)).data
    return PersonRead(
        index=index, place=place, at=at, by="staff", actor_id=said["staff_id"], method=said["method"], purpose=said["purpose"]
    )
