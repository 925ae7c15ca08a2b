"""Records of reads: which user was shown something of whom, when, by which method and for what.

Place in the way of a read: the RPC method notes it once it has its answer (`RecordingService.note_read`), `read_buffer.py`
writes the notes into the service's own log, and here they become rows, which `read_listing.py` answers from. A record names
pseudonyms (persons, tickets, the user), times and names from fixed lists, never what was shown: so it stands in the envelope,
and stays when the person is erased, as every envelope does.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from shared.door import Door
from shared.events import Envelope, Event, Recorded
from shared.ids import StoredId
from shared.personal import NotPersonal
from shared.work import Statement

ReadPurpose = Literal["support", "data access", "administration"]
"""Why: to help the customer, to give persons what is known of them (GDPR Art. 15, 20), to look after the account's users. A
fixed list: what somebody typed could tell of a person."""

MethodName = Annotated[str, NotPersonal("the name of an RPC method")]


class Shown(NamedTuple):
    """Whom and which tickets an answer showed something of. None stands for a person who is not known."""

    persons: list[str | None]
    tickets: list[str]


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One read. `actor` is the user's id, `door` how they came."""

    at: datetime
    actor: StoredId
    door: Door | None
    """Since version 2."""
    method: MethodName
    purpose: ReadPurpose
    persons: list[StoredId]
    tickets: list[StoredId]


class ReadsRecorded(Event, frozen=True, kw_only=True):
    """What users of an account were shown, as one process noted it: many reads, in their order, in a stream of their own."""

    schema_version = 2

    batch_id: StoredId
    reads: list[Read]


def reads_1_to_2(data: dict[str, Any], envelope: Envelope) -> dict[str, Any]:
    """Of older reads nobody knows by which door the user came."""
    return {**data, "reads": [{**read, "door": None} for read in data["reads"]]}


def stream_of(batch_id: str) -> str:
    """The stream of a batch: it has this one event."""
    return f"reads/{batch_id}"


def project_reads(recorded: Recorded, event: ReadsRecorded) -> Iterator[Statement]:
    """The rows of a batch, for each service's projection."""
    account, reads = recorded.envelope.account, event.reads
    places = list(range(len(reads)))
    yield Statement(
        "INSERT INTO read_record (account_id, batch_id, place, read_at, actor_id, method, purpose)"
        " SELECT %s::uuid, %s::uuid, each.* FROM"
        " unnest(%s::integer[], %s::timestamptz[], %s::uuid[], %s::text[], %s::text[]) AS each",
        (
            account, event.batch_id, places, [one.at for one in reads], [one.actor for one in reads],
            [one.method for one in reads], [one.purpose for one in reads],
        ),
    )  # fmt: skip
    subjects = [
        (place, subject, kind)
        for place, one in zip(places, reads, strict=True)
        for kind, named in (("person", one.persons), ("ticket", one.tickets))
        for subject in named
    ]
    yield Statement(
        "INSERT INTO read_subject (account_id, batch_id, place, subject_id, kind)"
        " SELECT %s::uuid, %s::uuid, each.* FROM unnest(%s::integer[], %s::uuid[], %s::text[]) AS each",
        (account, event.batch_id, *([one[column] for one in subjects] for column in range(3))),
    )
