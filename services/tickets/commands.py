"""What tickets can be asked: validated arguments and the answers. Personal data passes here in sealed RPC bodies only."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from services.tickets.events import Channel, Direction
from shared.ids import Id
from shared.personal import InTransit, NotPersonal

MAILS_IN_A_BATCH = 50
MAIL_BYTES = 60 << 20
"""The largest mail that is taken in."""

Content = Annotated[str, InTransit(category="content")]
DigestText = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$"), NotPersonal("a digest, in transit only")]
ReasonText = Annotated[str, NotPersonal("a reason from a fixed list")]
Status = Literal["imported", "known", "refused", "put aside"]


class ImportMails(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A batch of mails as they are (RFC 822), in the order of the archive. Importing the same mail twice changes nothing."""

    mails: Annotated[
        list[Annotated[bytes, msgspec.Meta(max_length=MAIL_BYTES), InTransit(category="content")]],
        msgspec.Meta(max_length=MAILS_IN_A_BATCH),
    ]
    dry_run: bool = False


class ImportedMail(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one mail."""

    status: Status
    reason: ReasonText | None = None
    ticket_id: Id | None = None
    message_id: Id | None = None
    defects: list[ReasonText] = []


class ImportedMails(msgspec.Struct, frozen=True, kw_only=True):
    mails: list[ImportedMail]


class KnownSources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of these mails (by the SHA-256 of their bytes) are in already: lets an interrupted import skip ahead."""

    digests: Annotated[list[DigestText], msgspec.Meta(max_length=5_000)]


class KnownSourcesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    known: list[bool]


class ListTickets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of tickets in the order in which they were opened; of one requester, if given."""

    requester_id: Id | None = None
    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


class SearchTickets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages that hold all of these words (stemmed), or, where none does, in whose subject words begin so. A page, in the
    order of their coming in."""

    words: Annotated[str, msgspec.Meta(min_length=1, max_length=500), InTransit(category="content")]
    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


class ShowTicket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ticket with a page of its messages, in their order. Large messages make a page end earlier."""

    ticket_id: Id
    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 100


class ShowAttachment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    blob_id: Id


class AttachmentView(msgspec.Struct, frozen=True, kw_only=True):
    blob_id: Id
    name: Content
    media_type: Content
    size: int


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message as an agent sees it. Where its person was erased it is not shown at all; where only an identifier in it
    was, "[erased]" stands in its place."""

    message_id: Id
    author_id: Id | None
    direction: Direction
    sent_at: datetime | None
    added_at: datetime
    senders: list[Content]
    to: list[Content]
    cc: list[Content]
    reply_to: list[Content]
    subject: Content
    text: Content
    attachments: list[AttachmentView]


class TicketView(msgspec.Struct, frozen=True, kw_only=True):
    ticket_id: Id
    requester_id: Id | None
    channel: Channel
    opened_at: datetime
    subject: Content
    messages: int


class TicketWithMessages(msgspec.Struct, frozen=True, kw_only=True):
    ticket: TicketView
    messages: list[MessageView]
    next_after: Id | None


class TicketPage(msgspec.Struct, frozen=True, kw_only=True):
    tickets: list[TicketView]
    next_after: Id | None


class ListOwnTickets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of a customer's tickets: those that they requested, and those in which messages are theirs."""

    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


class OwnTicketView(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket as its customer sees it. In one that somebody else requested they see their own messages, and so their number
    and the subject of the first of them."""

    ticket_id: Id
    is_requester: bool
    channel: Channel
    opened_at: datetime
    subject: Content
    messages: int


class OwnTicketWithMessages(msgspec.Struct, frozen=True, kw_only=True):
    ticket: OwnTicketView
    messages: list[MessageView]
    next_after: Id | None


class OwnTicketPage(msgspec.Struct, frozen=True, kw_only=True):
    tickets: list[OwnTicketView]
    next_after: Id | None


class SearchHit(msgspec.Struct, frozen=True, kw_only=True):
    ticket_id: Id
    message_id: Id
    subject: Content
    excerpt: Content


class SearchHits(msgspec.Struct, frozen=True, kw_only=True):
    hits: list[SearchHit]
    next_after: Id | None


class AttachmentContent(msgspec.Struct, frozen=True, kw_only=True):
    name: Content
    media_type: Content
    content: Annotated[bytes, InTransit(category="content")]


class MessagesOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All messages that belong to a person, for their export (GDPR Art. 15, 20), a page at a time."""

    person_id: Id
    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    messages: list[MessageView]
    next_after: Id | None


class ListPutAside(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of what was put aside, in that order."""

    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


class ShowPutAside(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    put_aside_id: Id


class PutAsideView(msgspec.Struct, frozen=True, kw_only=True):
    put_aside_id: Id
    reason: ReasonText
    size: int
    put_aside_at: datetime


class PutAsideList(msgspec.Struct, frozen=True, kw_only=True):
    mails: list[PutAsideView]
    next_after: Id | None
