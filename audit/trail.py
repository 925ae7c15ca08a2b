"""The trail: what happened to an account, a person, a request, or what a user or staff member did, as a story (mission A4).

Events of all services, in causal order, each with who acted, by which door, what happened in words, and where it stands in
which log. It works on a running stack as the auditor, and on an exported folder; it sees no key and needs none. A page is the
earliest so many events after the page before, found in one pass of which no more than the page is held: so where the clocks of
two machines differ, a cause that stands on a later page than its effect is not moved; within a page it comes first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final

import msgspec

from audit.causal_order import causal_order
from audit.sentences import tell, what_was_shown
from audit.sources import Source
from audit.trail_actors import Actors, By, Who, door_of, how_it_came
from audit.trail_subjects import Happening, Subject, TrailSelection, account_of, find_subject, happenings_of, ids_in
from shared.errors import InvalidArgument
from shared.events import ServiceName, StreamName, TypeName
from shared.ids import StoredId
from shared.personal import NotPersonal

MOST_ENTRIES: Final = 1_000
Key = tuple[int, str, int, int]


class LogPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a service's log."""

    service: ServiceName
    index: int


class TrailEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened."""

    at: datetime
    service: ServiceName
    index: int
    """The event's index in the service's log."""
    read: int | None
    """Which of the reads that the event records, from 0; None for what is no read."""
    event_id: StoredId
    type: TypeName
    account_id: StoredId
    stream: StreamName
    who: Who
    by: By
    door_id: StoredId | None
    """Of the credential that was shown: a session, a token, a grant. An event in identity's log with this id began it."""
    caused_by: LogPlace | None
    """The event that it followed from, where that is on the same page."""
    causation_id: StoredId | None
    what: Annotated[str, NotPersonal("written here, with ids, numbers and words from fixed lists only")]
    ids: dict[Annotated[str, NotPersonal("what it is the id of")], list[StoredId]]
    """The ids that the event names, whole."""


class TrailPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a trail. `matched` counts the whole trail within its times; `known`: there is any of it, in whichever time."""

    about: TrailSelection
    matched: int
    known: bool
    entries: list[TrailEntry]
    next_after: Annotated[str | None, NotPersonal("a place in the trail")]


def trail(source: Source, selection: TrailSelection, *, after: str | None = None, limit: int = 100) -> TrailPage:
    """A page of a trail: the earliest `limit` entries (at most 1,000) from after the place that the page before ended with.

    Raises `InvalidArgument` for a selection or a place that is none, `Tampered` for what can't be an event, `Unavailable`.
    """
    named, begin = selection.subjects(), _key(after)
    limit = max(1, min(limit, MOST_ENTRIES))
    account = account_of(source, named)
    subjects = [find_subject(source, kind, one, account) for kind, one in named.items()]
    counts = [0, 0]
    matching = _matching(source, subjects, account)
    after_page = heapq.nsmallest(limit + 1, _within(matching, selection, begin, counts), key=lambda one: one.key)
    shown = after_page[:limit]
    return TrailPage(
        about=selection, known=counts[0] > 0, matched=counts[1],
        entries=_entries(source, account, causal_order(shown), set(named.values())),
        next_after=_place(shown[-1].key) if len(after_page) > limit else None,
    )  # fmt: skip


def _matching(source: Source, subjects: list[Subject], account: str | None) -> Iterator[Happening]:
    naming = subjects[0].wanted()  # what belongs to all belongs to the first, which is the one with the fewest events
    for service in source.services:
        for placed in source.envelopes(service, account=account, naming=naming):
            for one in happenings_of(placed):
                if all(subject.has(one) for subject in subjects):
                    yield one


def _within(
    matching: Iterator[Happening], selection: TrailSelection, begin: Key | None, counts: list[int]
) -> Iterator[Happening]:
    for one in matching:
        counts[0] += 1
        if (selection.since is None or one.at >= selection.since) and (selection.until is None or one.at < selection.until):
            counts[1] += 1
            if begin is None or one.key > begin:
                yield one


def _entries(source: Source, account: str | None, ordered: list[Happening], about: set[str]) -> list[TrailEntry]:
    actors = Actors(source, account, {one.actor for one in ordered})
    places = {one.event: LogPlace(service=one.key[1], index=one.key[2]) for one in ordered if one.read is None}
    return [_entry(one, actors.who(one), places.get(one.cause or ""), about) for one in ordered]


def _entry(one: Happening, who: Who, cause: LogPlace | None, about: set[str]) -> TrailEntry:
    envelope, read = one.envelope, one.read
    if read is None:
        what, ids, which = tell(envelope), ids_in(envelope.data), None
    else:
        persons = sorted(read.persons, key=lambda person: person not in about)  # who is asked about, first
        what = f"Was shown {what_was_shown(persons, read.tickets)} by {read.method}, for {read.purpose}"
        ids, which = {noun: found for noun, found in (("person", read.persons), ("ticket", read.tickets)) if found}, one.key[3]
    door = door_of(one)
    return TrailEntry(
        at=one.at, service=one.key[1], index=one.key[2], read=which, event_id=envelope.event, type=envelope.type,
        account_id=envelope.account, stream=envelope.stream, who=who, by=how_it_came(one, who),
        door_id=door.id if door else None, caused_by=cause, causation_id=envelope.causation, what=what, ids=ids,
    )  # fmt: skip


def _place(key: Key) -> str:
    """A key as it is printed, to be given back as `after`."""
    return "-".join(map(str, key))


def _key(place: str | None) -> Key | None:
    if place is None:
        return None
    try:
        time, service, index, number = place.rsplit("-", 3)
        return int(time), service, int(index), int(number)
    except ValueError:
        raise InvalidArgument(field="after", rule="must be a place that a page ended with") from None
