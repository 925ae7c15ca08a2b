"""The ticket: pure decisions about where a mail belongs and whose it is. No I/O, no keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.tickets.events import Direction


@dataclass
class TicketState:
    """As much of a ticket as an arriving message needs."""

    ticket_id: str
    requester_id: str | None
    version: int
    is_new: bool = False
    participants: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Placement:
    """Whose a message is, and under which item it is sealed."""

    author_id: str | None
    owner_id: str | None
    item_id: str
    direction: Direction


def open_for(ticket_id: str, author_id: str | None, is_outgoing: bool, first_recipient: str | None) -> TicketState:
    """A new ticket belongs to who wrote its first message; to whom it was written, if the account wrote it."""
    requester = first_recipient if is_outgoing else author_id
    return TicketState(ticket_id, requester, 0, is_new=True)


def place(ticket: TicketState, message_id: str, author_id: str | None, is_outgoing: bool) -> Placement:
    """A message by the ticket's person, or by the account to them, goes under the ticket's key and with that person. One by
    anybody else has a key of its own that belongs to its author: it stays when the ticket's person goes, and goes with its
    author when the ticket stays (architecture, "References"). One of a ticket without a living person is its own item too."""
    belongs_to_ticket = ticket.requester_id is not None and (is_outgoing or author_id == ticket.requester_id)
    if belongs_to_ticket or (ticket.is_new and ticket.requester_id is None and author_id is None):
        owner, item = ticket.requester_id, ticket.ticket_id
    else:
        owner, item = author_id, message_id
    return Placement(author_id, owner, item, "outgoing" if is_outgoing else "incoming")
