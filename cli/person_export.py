"""Gathers what is held of one person, for their right of access and to take it elsewhere (GDPR Art. 15 and 20)."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from cli.session import Session, pages
from services.contacts.commands import PersonView, ShowPerson
from services.identity.portal_commands import CustomerView, ShowCustomer, ToldRead, ToldReadPage, ToldReadsOfPerson
from services.tickets.commands import (
    AttachmentContent,
    AttachmentView,
    ListTickets,
    MessagePage,
    MessagesOf,
    MessageView,
    ShowAttachment,
    ShowTicket,
    TicketPage,
    TicketView,
    TicketWithMessages,
)
from services.tickets.events import Direction
from shared import clock
from shared.ids import Id
from shared.personal import InTransit, NotPersonal

Content = Annotated[str, InTransit(category="content")]
PAGE = 100


class ExportedAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """An attachment; `content` is base64, null where it was not asked for."""

    name: Content
    media_type: Content
    size: int
    sha256: Annotated[str, NotPersonal("a digest")]
    content: Annotated[bytes, InTransit(category="content")] | None


class ExportedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the person, with what goes with it."""

    message_id: Id
    direction: Direction
    sent_at: datetime | None
    added_at: datetime
    senders: list[Content]
    to: list[Content]
    cc: list[Content]
    reply_to: list[Content]
    subject: Content
    text: Content
    attachments: list[ExportedAttachment]


class PersonExport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one person."""

    format: Literal["lethe-person-export/1"] = "lethe-person-export/1"
    exported_at: datetime
    profile: PersonView
    tickets: list[TicketView]
    messages: list[ExportedMessage]
    portal: CustomerView
    reads: list[ToldRead]
    """Who was shown something of them, when and for what, as far as it was in the logs when this was made."""


def export_person(session: Session, who: str, with_contents: bool) -> PersonExport:
    """What is held of the person with this id or address. Raises `NotFound`."""
    profile = session.query("contacts", "show_person", ShowPerson(who=who), PersonView)
    return PersonExport(
        exported_at=clock.now(),
        profile=profile,
        tickets=tickets_of(session, profile.person_id),
        messages=[_message(session, one, with_contents) for one in messages_of(session, profile.person_id)],
        portal=session.query("identity", "show_customer", ShowCustomer(person_id=profile.person_id), CustomerView),
        reads=reads_of(session, profile.person_id),
    )


def tickets_of(session: Session, person_id: str | None) -> list[TicketView]:
    """All tickets of a person; all of the account for None."""

    def fetch(after: str | None) -> tuple[list[TicketView], str | None]:
        asked = ListTickets(requester_id=person_id, after=after, limit=PAGE)
        page = session.query("tickets", "list_tickets", asked, TicketPage)
        return page.tickets, page.next_after

    return pages(fetch)


def whole_ticket(session: Session, ticket_id: str) -> TicketWithMessages:
    """A ticket with all of its messages. Raises `NotFound`."""
    ticket: list[TicketView] = []

    def fetch(after: str | None) -> tuple[list[MessageView], str | None]:
        asked = ShowTicket(ticket_id=ticket_id, after=after)
        page = session.query("tickets", "show_ticket", asked, TicketWithMessages)
        ticket.append(page.ticket)
        return page.messages, page.next_after

    messages = pages(fetch)
    return TicketWithMessages(ticket=ticket[0], messages=messages, next_after=None)


def messages_of(session: Session, person_id: str) -> list[MessageView]:
    """All messages that belong to a person."""

    def fetch(after: str | None) -> tuple[list[MessageView], str | None]:
        asked = MessagesOf(person_id=person_id, after=after, limit=PAGE)
        page = session.query("tickets", "messages_of", asked, MessagePage)
        return page.messages, page.next_after

    return pages(fetch)


def reads_of(session: Session, person_id: str) -> list[ToldRead]:
    """Who saw what of a person, as the person is told, in the order of the times."""

    def fetch(after: int | None) -> tuple[list[ToldRead], int | None]:
        page = session.query(
            "identity", "list_told_reads", ToldReadsOfPerson(person_id=person_id, after=after, limit=500), ToldReadPage
        )
        return page.reads, page.next_after

    return sorted(pages(fetch), key=lambda one: one.at)


def attachment_content(session: Session, one: AttachmentView) -> bytes:
    """An attachment's bytes, as they would be handed out."""
    shown = session.query(
        "tickets", "show_attachment", ShowAttachment(blob_id=one.blob_id), AttachmentContent
    )
    return shown.content


def _message(session: Session, one: MessageView, with_contents: bool) -> ExportedMessage:
    return ExportedMessage(
        message_id=one.message_id, direction=one.direction, sent_at=one.sent_at, added_at=one.added_at, senders=one.senders,
        to=one.to, cc=one.cc, reply_to=one.reply_to, subject=one.subject, text=one.text,
        attachments=[_attachment(session, attached, with_contents) for attached in one.attachments],
    )  # fmt: skip


def _attachment(session: Session, one: AttachmentView, with_contents: bool) -> ExportedAttachment:
    content = attachment_content(session, one)
    return ExportedAttachment(
        name=one.name, media_type=one.media_type, size=len(content), sha256=hashlib.sha256(content).hexdigest(),
        content=content if with_contents else None,
    )  # fmt: skip
