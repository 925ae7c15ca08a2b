"""Picks what the demonstration shows: the busiest correspondent, a word that only they wrote, a ticket that quotes them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cli.person_export import messages_of, tickets_of
from cli.session import Session
from services.contacts.commands import PersonView, ShowPerson
from services.tickets.commands import SearchHits, SearchTickets, ShowTicket, TicketWithMessages
from shared.errors import NotFound

_WORD = re.compile(r"[A-Za-z]{5,14}|[A-Z]{1,3}-?\d{4,8}")
TICKETS_LOOKED_AT = 120
WORDS_TRIED = 12


@dataclass(frozen=True)
class Sample:
    """Whom the demonstration erases, and where they can be seen before."""

    person: PersonView
    address: str
    word: str
    own_ticket: str | None
    """A ticket in which nobody but them and the desk wrote: it goes with them."""
    quoting_ticket: str | None


def choose(session: Session) -> Sample:
    """The person with most tickets who has an address. Raises `NotFound` where nobody wrote."""
    tickets = tickets_of(session, None)
    for requester, _ in Counter(one.requester_id for one in tickets if one.requester_id).most_common():
        try:
            person = session.query("contacts", "show_person", ShowPerson(who=str(requester)), PersonView)
        except NotFound:
            continue
        addresses = [one for one in person.addresses if isinstance(one, str) and "@" in one]
        if not addresses:
            continue
        own = [one.ticket_id for one in tickets if one.requester_id == requester]
        others = [one.ticket_id for one in tickets if one.requester_id != requester]
        return Sample(
            person, addresses[0], _word(session, person), _own(session, own, person.person_id),
            _quoting(session, others, addresses[0]),
        )  # fmt: skip
    raise NotFound("nobody in this archive has an address")


def _word(session: Session, person: PersonView) -> str:
    """A word of theirs that few others use, so that what is found is theirs."""
    best, fewest = "", 1_000_000
    for message in messages_of(session, person.person_id)[:3]:
        for word in sorted(set(_WORD.findall(message.text)), key=len, reverse=True)[:WORDS_TRIED]:
            found = session.query(
                "tickets", "search_tickets", SearchTickets(words=word, limit=50), SearchHits
            ).hits
            if 0 < len(found) < fewest:
                best, fewest = word, len(found)
    return best or "the"


def _own(session: Session, tickets: list[str], person_id: str) -> str | None:
    """A ticket of theirs that will be gone whole."""
    for shown in _shown(session, tickets):
        if all(one.direction == "outgoing" or one.author_id == person_id for one in shown.messages):
            return shown.ticket.ticket_id
    return None


def _quoting(session: Session, tickets: list[str], address: str) -> str | None:
    """Somebody else's short ticket in which the address stands, however its domain is spelled."""
    beginning = address.partition("@")[0] + "@"
    for shown in _shown(session, tickets):
        texts = [part for one in shown.messages for part in (*one.senders, *one.to, *one.cc, one.text)]
        if len(shown.messages) <= 3 and any(beginning in text.casefold() for text in texts):
            return shown.ticket.ticket_id
    return None


def _shown(session: Session, tickets: list[str]) -> Iterator[TicketWithMessages]:
    for ticket in tickets[:TICKETS_LOOKED_AT]:
        try:
            yield session.query("tickets", "show_ticket", ShowTicket(ticket_id=ticket), TicketWithMessages)
        except NotFound:
            continue
