"""Everything that an account can see, in one order that depends on nothing but its content. Pure.

Two systems that took in the same mails give the same bytes: there are no random ids and no times of the import in it. People
are ordered by their addresses and names, tickets by their first message, messages by their date and digest; in place of
ids stand ordinals in that order. What an erasure took away is not there in either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from services.contacts.commands import PersonView
from services.erasure.commands import ErasureView
from services.tickets.commands import MessageView, PutAsideView, TicketView
from services.tickets.events import Direction
from shared.personal import InTransit, NotPersonal

Content = Annotated[str, InTransit(category="content")]
Digest = Annotated[str, NotPersonal("a digest")]
Word = Annotated[str, NotPersonal("a word from a fixed list")]
PersonNumber = int | None
"""The person's place in the list of people, from 1; null for nobody, or for somebody who is not to be seen."""


class CanonicalPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A person."""

    number: int
    name: Content | None
    addresses: list[Content]
    origin: Word


class CanonicalAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """An attachment as it would be handed out."""

    name: Content
    media_type: Content
    size: int
    sha256: Digest


class CanonicalMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message; references are rendered."""

    sent_at: Word | None
    direction: Direction
    author: PersonNumber
    senders: list[Content]
    to: list[Content]
    cc: list[Content]
    reply_to: list[Content]
    subject: Content
    text: Content
    attachments: list[CanonicalAttachment]


class CanonicalTicket(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket with its messages."""

    number: int
    requester: PersonNumber
    channel: Word
    subject: Content
    messages: list[CanonicalMessage]


class CanonicalPutAside(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that could not be parsed."""

    reason: Word
    size: int


class CanonicalErasure(msgspec.Struct, frozen=True, kw_only=True):
    """A request for erasure."""

    state: Word
    persons: int
    participants: dict[Word, dict[Word, int | str]]


class CanonicalExport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole account."""

    format: Literal["lethe-canonical-export/1"] = "lethe-canonical-export/1"
    people: list[CanonicalPerson]
    tickets: list[CanonicalTicket]
    put_aside: list[CanonicalPutAside]
    erasures: list[CanonicalErasure]


@dataclass(frozen=True)
class SeenTicket:
    """A ticket as the services show it, with the SHA-256 and size of each attachment by blob id."""

    ticket: TicketView
    messages: Sequence[MessageView]
    blobs: Mapping[str, tuple[str, int]]


def canonical_export(
    people: Sequence[PersonView], tickets: Sequence[SeenTicket], put_aside: Sequence[PutAsideView],
    erasures: Sequence[ErasureView],
) -> CanonicalExport:  # fmt: skip
    """The export of what was seen, whatever the order and the ids it came in."""
    digests = {message.message_id: _digest(message, one.blobs) for one in tickets for message in one.messages}
    numbers = _person_numbers(people, tickets, digests)
    by_number = sorted(people, key=lambda person: numbers[person.person_id])
    ordered = sorted(tickets, key=lambda one: _ticket_key(one, digests))
    return CanonicalExport(
        people=[
            CanonicalPerson(
                number=numbers[one.person_id], name=None if one.name is None else str(one.name),
                addresses=sorted(map(str, one.addresses)), origin=one.origin,
            )
            for one in by_number
        ],
        tickets=[
            CanonicalTicket(
                number=place, requester=numbers.get(one.ticket.requester_id or ""), channel=one.ticket.channel,
                subject=one.ticket.subject,
                messages=[
                    _message(message, numbers, one.blobs)
                    for message in sorted(one.messages, key=lambda message: _message_key(message, digests))
                ],
            )
            for place, one in enumerate(ordered, 1)
        ],
        put_aside=[
            CanonicalPutAside(reason=reason, size=size) for reason, size in sorted((one.reason, one.size) for one in put_aside)
        ],
        erasures=sorted(map(_erasure, erasures), key=msgspec.json.encode),
    )  # fmt: skip


def encode(export: CanonicalExport) -> bytes:
    """The one form of an export in bytes."""
    return msgspec.json.format(msgspec.json.encode(export, order="deterministic"), indent=1) + b"\n"


def _person_numbers(
    people: Sequence[PersonView], tickets: Sequence[SeenTicket], digests: Mapping[str, str]
) -> dict[str, int]:
    """Each person's ordinal. Those alike in all that is shown of them are told apart by what they wrote."""
    written: dict[str, list[str]] = {}
    for one in tickets:
        for message in one.messages:
            written.setdefault(message.author_id or "", []).append(digests[message.message_id])
        written.setdefault(one.ticket.requester_id or "", []).append(one.ticket.subject)

    def key(person: PersonView) -> tuple[list[str], str, str, list[str]]:
        return (
            sorted(map(str, person.addresses)),
            str(person.name or ""),
            person.origin,
            sorted(written.get(person.person_id, ())),
        )

    return {person.person_id: number for number, person in enumerate(sorted(people, key=key), 1)}


def _ticket_key(one: SeenTicket, digests: Mapping[str, str]) -> tuple[str, str, list[str]]:
    dates = [_date(message.sent_at) for message in one.messages if message.sent_at is not None]
    return (
        min(dates, default=""),
        one.ticket.subject,
        sorted(digests[message.message_id] for message in one.messages),
    )


def _message_key(message: MessageView, digests: Mapping[str, str]) -> tuple[str, str]:
    return _date(message.sent_at), digests[message.message_id]


def _date(value: datetime | None) -> str:
    return "" if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _digest(message: MessageView, blobs: Mapping[str, tuple[str, int]]) -> str:
    return hashlib.sha256(
        msgspec.json.encode(_message(message, {}, blobs), order="deterministic")
    ).hexdigest()


def _message(
    message: MessageView, numbers: Mapping[str, int], blobs: Mapping[str, tuple[str, int]]
) -> CanonicalMessage:
    return CanonicalMessage(
        sent_at=_date(message.sent_at) or None, direction=message.direction, author=numbers.get(message.author_id or ""),
        senders=message.senders, to=message.to, cc=message.cc, reply_to=message.reply_to, subject=message.subject,
        text=message.text,
        attachments=[
            CanonicalAttachment(
                name=one.name, media_type=one.media_type, sha256=blobs[one.blob_id][0], size=blobs[one.blob_id][1]
            )
            for one in message.attachments
        ],
    )  # fmt: skip


def _erasure(one: ErasureView) -> CanonicalErasure:
    return CanonicalErasure(
        state=one.state,
        persons=len(one.person_ids),
        participants={
            each.service: {
                "outcome": each.outcome,
                **{f"count of {kind}": count for kind, count in each.counts.items()},
            }
            for each in one.participants
        },
    )
