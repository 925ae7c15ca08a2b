"""Whom an answer of tickets shows something of, for the record of the read. Looks at answers only."""

from __future__ import annotations

from services.tickets.commands import MessagePage, TicketPage, TicketWithMessages
from shared.read_records import Shown


def shown_in_page(page: TicketPage) -> Shown:
    """A list shows the tickets and who opened them."""
    return Shown([one.requester_id for one in page.tickets], [one.ticket_id for one in page.tickets])


def shown_in_ticket(found: TicketWithMessages) -> Shown:
    """A ticket shows who opened it and who wrote in it."""
    return Shown([found.ticket.requester_id, *(one.author_id for one in found.messages)], [found.ticket.ticket_id])


def shown_of_person(person_id: str, page: MessagePage) -> Shown:
    """The messages of a person show that person; an empty page nobody."""
    return Shown([person_id, *(one.author_id for one in page.messages)] if page.messages else [], [])
