"""The facts that tickets publishes. Texts travel sealed, with references in place of every exact identifier."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

import msgspec

from shared.account_end import AccountGone, LeavesGone
from shared.erasing import ErasureReceipted, SubjectCut
from shared.events import ERASED, Erased, Event, EventTypes
from shared.ids import StoredId
from shared.legal_holds import KeptItemCut, PersonsHeld, PersonsReleased
from shared.personal import InTransit, Personal
from shared.read_records import ReadsRecorded, reads_1_to_2
from shared.recovery_events import CutRepeated, RowsLost
from shared.staff_lookups import StaffLookedUp

Channel = Literal["e-mail"]
Direction = Literal["incoming", "outgoing"]
"""From a person to the account, or from one of the account's own mailboxes."""

_HELPING = "to answer what a customer wrote"
SealedString = Annotated[str, InTransit(category="content")]
"""A string inside a sealed field: it is never stored outside of it."""


class Text(msgspec.Struct, frozen=True, array_like=True):
    """A text with references: `parts` are strings, and indices into `spellings` (ids; None for one erased before)."""

    parts: list[SealedString | int]
    spellings: list[StoredId | None]


class Headers(msgspec.Struct, frozen=True, kw_only=True):
    """Who wrote to whom: references to whole mailboxes ("Alice Smith <alice@example.org>"), None for an erased one."""

    senders: list[StoredId | None]
    reply_to: list[StoredId | None]
    to: list[StoredId | None]
    cc: list[StoredId | None]


class AttachmentName(msgspec.Struct, frozen=True, kw_only=True):
    """What an attachment is called. Its bytes are a blob sealed under the key of its message."""

    blob_id: StoredId
    name: Text
    media_type: SealedString


class MessageContent(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a message that a person wrote or that tells of persons."""

    headers: Headers
    subject: Text
    text: Text
    attachments: list[AttachmentName]
    mail_key: SealedString
    """Message-ID, for the suppression list when its person is erased; empty where the mail has none."""
    digest: SealedString
    """Digest of the content in hexadecimal, for the same."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """The public part of an attachment."""

    blob_id: StoredId
    size: int
    is_text: bool
    """False for a format in which identifiers are not searched; the certificate says so."""


class TicketOpened(Event, frozen=True, kw_only=True):
    """A conversation began. It belongs to the person who began it."""

    ticket_id: StoredId
    requester_id: StoredId | None
    channel: Channel
    subject: Annotated[
        Text | Erased, Personal(category="content", purpose=_HELPING, item="ticket_id", person="requester_id")
    ] = ERASED


class MessageAdded(Event, frozen=True, kw_only=True):
    """A message joined a ticket. `item_id` is the ticket's id, or the message's own where its author is another person
    than the ticket's: then it goes with that author, and stays when the ticket's person goes."""

    ticket_id: StoredId
    message_id: StoredId
    author_id: StoredId | None
    item_id: StoredId
    owner_id: StoredId | None
    direction: Direction
    sent_at: datetime | None
    attachments: list[Attachment]
    content: Annotated[
        MessageContent | Erased, Personal(category="content", purpose=_HELPING, item="item_id", person="owner_id")
    ] = ERASED


class Names:
    """The full names of the types, for reactions and queries."""

    TICKET_OPENED: ClassVar = "tickets.TicketOpened"
    MESSAGE_ADDED: ClassVar = "tickets.MessageAdded"


TYPES = EventTypes(
    "tickets",
    {
        "TicketOpened": TicketOpened,
        "MessageAdded": MessageAdded,
        "ReadsRecorded": ReadsRecorded,
        "LeavesGone": LeavesGone,
        "AccountGone": AccountGone,
        "RowsLost": RowsLost,
        "CutRepeated": CutRepeated,
        "PersonsHeld": PersonsHeld,
        "PersonsReleased": PersonsReleased,
        "KeptItemCut": KeptItemCut,
        "SubjectCut": SubjectCut,
        "ErasureReceipted": ErasureReceipted,
        "StaffLookedUp": StaffLookedUp,
    },
    {("tickets.ReadsRecorded", 1): reads_1_to_2},
)
