"""Whom a trail is about, and which events belong to it: by account, person, erasure request, user, vendor staff (mission A4).

An event belongs to a trail if its envelope names whom it is about, or what follows from them (a person's erasure requests, a
staff member's grants), or if they did it, or if it is cause or effect of their erasure. Of a batch of recorded reads each read
counts by itself. Ids only: whom they stand for, nobody who has no key can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

from audit.sentences import types_of_services
from audit.sources import Placed, Source, check_ids
from shared.account_end import CELL
from shared.errors import InvalidArgument, Refused, Tampered
from shared.events import Envelope, decode_envelope
from shared.ids import StoredId
from shared.read_records import Read, ReadsRecorded

SubjectKind = Literal["account", "person", "request", "user", "staff"]
RECORDING: Final = {
    f"{service}.ReadsRecorded": types
    for service, types in types_of_services().items()
    if ReadsRecorded in types.by_name.values()
}
"""The types that record users' reads, each with the types of its service."""
MOST_FOLLOWING: Final = 1_000
"""So many ids may follow from one subject: requests, saved searches, grants. It is far beyond what one has."""

_FOLLOWING: Final[Mapping[SubjectKind, Mapping[str, str]]] = {
    "person": {
        "erasure.ErasureRequested": "request_id", "erasure.HoldPlaced": "hold_id", "identity.UserAdded": "user_id",
        "identity.UserInvited": "invitation_id", "identity.SavedSearchAdded": "search_id", "identity.AppGranted": "grant_id",
    },
    "staff": {"identity.StaffAccessRequested": "grant_id", "identity.BreakGlassAsked": "grant_id"},
}  # fmt: skip
"""Type → its field that names what belongs to the subject from then on: later events may name that and not the subject."""
_OF_AN_ERASURE: Final = ("erasure.ErasureRequested", "erasure.SubjectErased")
_STREAMS: Final[Mapping[SubjectKind, tuple[str, str]]] = {
    "person": ("contacts", "person"), "user": ("identity", "user"), "request": ("erasure", "erasure")
}  # fmt: skip
"""Which service has a stream of the subject's own: it tells the account, and that narrows the search."""


class TrailSelection(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a trail is about (where several are named, all of them at once), and of which time: from `since`, before `until`."""

    account: StoredId | None = None
    person: StoredId | None = None
    request: StoredId | None = None
    user: StoredId | None = None
    staff: StoredId | None = None
    since: datetime | None = None
    until: datetime | None = None

    def subjects(self) -> dict[SubjectKind, str]:
        """What is named. Raises `InvalidArgument` where nothing is, or what is no id."""
        named: dict[SubjectKind, str | None] = {
            "request": self.request, "person": self.person, "staff": self.staff, "user": self.user, "account": self.account
        }  # fmt: skip
        check_ids(named)
        found = {kind: value for kind, value in named.items() if value is not None}
        if not found:
            raise InvalidArgument(
                "Say whose trail: --account, --person, --request, --user or --staff ID", field="whom", rule="is required"
            )
        return found


class Happening(NamedTuple):
    """Something that happened: an event, or one of the reads that an event records. See `causal_order.Ordered`."""

    key: tuple[int, str, int, int]
    envelope: Envelope
    read: Read | None

    @property
    def event(self) -> str:
        return self.envelope.event

    @property
    def cause(self) -> str | None:
        return self.envelope.causation

    @property
    def line(self) -> tuple[str, str, str]:
        return (self.envelope.service, self.envelope.account, self.envelope.stream)

    @property
    def version(self) -> int:
        return self.envelope.version

    @property
    def at(self) -> datetime:
        """When: of a read, when it was shown; of an event, its time."""
        return self.envelope.time if self.read is None else self.read.at

    @property
    def actor(self) -> str:
        """Who did it, by the envelope; of a read, who read."""
        return self.envelope.actor if self.read is None else self.read.actor


@dataclass
class Subject:
    """One of those whom a trail is about: the ids that name them, and the events whose causes and effects belong to them."""

    kind: SubjectKind
    id: str
    named: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)

    def has(self, one: Happening) -> bool:
        """Whether this belongs to them."""
        envelope = one.envelope
        if self.kind == "account":
            is_about_it = envelope.account == CELL and envelope.data.get("account_id") == self.id
            return envelope.account == self.id or is_about_it
        if one.actor == self.id:
            return True
        if one.read is not None:
            return not self.named.isdisjoint([*one.read.persons, *one.read.tickets])
        return (
            envelope.event in self.events
            or envelope.causation in self.events
            or envelope.stream.rpartition("/")[2] in self.named
            or any(text in self.named for text in strings_in(envelope.data))
        )

    def wanted(self) -> tuple[str, ...]:
        """The ids of which one stands in every envelope that belongs to them. Empty: no id tells."""
        return () if self.kind == "account" else (*sorted(self.named), *sorted(self.events))


def find_subject(source: Source, kind: SubjectKind, subject_id: str, account: str | None) -> Subject:
    """A subject with what follows from it. Raises `Refused` where that is beyond all measure."""
    subject = Subject(kind, subject_id, {subject_id})
    following = _FOLLOWING.get(kind, {})
    types = (*following, *(_OF_AN_ERASURE if kind in ("person", "request") else ()))
    for service in sorted({one.partition(".")[0] for one in types} & set(source.services)):
        for placed in source.envelopes(service, account=account, naming=[subject_id], types=types):
            envelope = decode_envelope(placed.envelope)
            if subject_id not in strings_in(envelope.data):
                continue
            if envelope.type in following:
                subject.named.add(str(envelope.data.get(following[envelope.type])))
            if envelope.type in _OF_AN_ERASURE:
                subject.events |= {envelope.event} | ({envelope.causation} if envelope.causation else set())
            if len(subject.named) + len(subject.events) > MOST_FOLLOWING:
                raise Refused("more follows from this id than a trail holds", most=MOST_FOLLOWING)
    return subject


def account_of(source: Source, subjects: Mapping[SubjectKind, str]) -> str | None:
    """The account that all of it is in, where it is named or an index tells."""
    if "account" in subjects:
        return subjects["account"]
    for kind, (service, noun) in _STREAMS.items():
        if kind in subjects and service in source.services:
            account = source.account_with(service, f"{noun}/{subjects[kind]}")
            if account is not None:
                return account
    return None


def happenings_of(placed: Placed) -> Iterator[Happening]:
    """What an event says has happened: itself, or each of the reads that it records."""
    envelope = decode_envelope(placed.envelope)
    if envelope.service != placed.service:
        raise Tampered("an event is that of another service's log", service=placed.service, index=placed.at)
    if envelope.type not in RECORDING:
        yield Happening((_microseconds(envelope.time), placed.service, placed.at, 0), envelope, None)
        return
    event = RECORDING[envelope.type].decode(envelope)
    assert isinstance(event, ReadsRecorded)  # what else the type stands for
    for place, read in enumerate(event.reads):
        yield Happening((_microseconds(read.at), placed.service, placed.at, place), envelope, read)


def strings_in(data: Any) -> Iterator[str]:
    """All texts in plain data, at any depth."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from strings_in(value)
    elif isinstance(data, list):
        for value in data:
            yield from strings_in(value)


def ids_in(data: Any) -> dict[str, list[str]]:
    """The ids that stand in an event's data, by their field's name: `person_id` and `person_ids` are both `person`."""
    found: dict[str, list[str]] = {}
    if isinstance(data, dict):
        for name, value in data.items():
            ids: Sequence[Any] = value if isinstance(value, list) and name.endswith("_ids") else [value]
            if name.endswith(("_id", "_ids")):
                noun = name.removesuffix("s").removesuffix("_id")
                known = found.setdefault(noun, [])
                known += [one for one in ids if isinstance(one, str) and one not in known]
    return {noun: ids for noun, ids in found.items() if ids}


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
