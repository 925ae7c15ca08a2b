"""Who saw what: the records of reads of one service, by person or ticket and by user, page by page in the order of the log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from shared.ids import Id
from shared.read_records import MethodName, ReadPurpose
from shared.work import Store

_READS = (
    " FROM read_record r JOIN event e ON e.account_id = r.account_id AND e.stream = 'reads/' || r.batch_id AND e.version = 1"
    " JOIN log l ON l.sequence = e.sequence WHERE r.account_id = %s"
)


class ListReads(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reads that showed something of a person or a ticket, by a user; each left out means all. `limit` counts entries of the
    log, of which each holds up to 500 reads; the page begins after the index `after`."""

    subject_id: Id | None = None
    actor_id: Id | None = None
    after: Annotated[int, msgspec.Meta(ge=-1, le=2**62)] = -1
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


class ReadView(msgspec.Struct, frozen=True, kw_only=True):
    """One read, and the index of its entry in the service's log, where an auditor finds it again."""

    index: int
    at: datetime
    actor_id: Id
    method: MethodName
    purpose: ReadPurpose
    person_ids: list[Id]
    ticket_ids: list[Id]


class ReadPage(msgspec.Struct, frozen=True, kw_only=True):
    reads: list[ReadView]
    next_after: int | None


def list_reads(store: Store, account_id: str, query: ListReads) -> ReadPage:
    """A page of reads. What was read a moment ago may not be in the log yet."""
    clauses, values = _READS, [account_id]
    if query.subject_id is not None:
        clauses += (
            " AND EXISTS (SELECT 1 FROM read_subject s WHERE s.account_id = r.account_id AND s.subject_id = %s"
            " AND s.batch_id = r.batch_id AND s.place = r.place)"
        )
        values.append(query.subject_id)
    if query.actor_id is not None:
        clauses += " AND r.actor_id = %s"
        values.append(query.actor_id)
    with store.work(account_id) as work:
        entries = work.fetch(
            f"SELECT DISTINCT l.index, r.batch_id{clauses} AND l.index > %s ORDER BY l.index LIMIT %s",
            (*values, query.after, query.limit + 1),
        )
        shown = entries[: query.limit]
        rows = work.fetch(
            "SELECT l.index, r.read_at, r.actor_id, r.method, r.purpose,"
            f" {_named('person')}, {_named('ticket')}{clauses} AND r.batch_id = ANY (%s::uuid[]) ORDER BY l.index, r.place",
            (*values, [batch for _, batch in shown]),
        )
    return ReadPage(reads=[_view(row) for row in rows], next_after=shown[-1][0] if len(entries) > query.limit else None)


def _named(kind: str) -> str:
    return (
        "ARRAY(SELECT n.subject_id::text FROM read_subject n WHERE n.account_id = r.account_id AND n.batch_id = r.batch_id"
        f" AND n.place = r.place AND n.kind = '{kind}' ORDER BY 1)"
    )


def _view(row: tuple[Any, ...]) -> ReadView:
    return ReadView(
        index=row[0], at=row[1], actor_id=row[2], method=row[3], purpose=row[4], person_ids=row[5], ticket_ids=row[6]
    )
