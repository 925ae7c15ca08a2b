"""What a customer sees of tickets in the portal: what is theirs, and nothing else (mission H5).

A ticket that they requested they see as an agent would show it to them. In a ticket of somebody else they see the messages that
belong to them, under the subject of their own first one: who else wrote there, and what about, is not for them. Which person is
meant comes from the actor, never from an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.tickets.commands import ListOwnTickets, OwnTicketPage, OwnTicketView, OwnTicketWithMessages, ShowTicket
from services.tickets.queries import (
    MESSAGE_COLUMNS,
    TICKET,
    AskSpellings,
    Rendering,
    contents_of,
    message_rows,
    message_views,
    ticket_views,
)
from shared.errors import NotFound
from shared.personal import ERASED
from shared.work import Store, Work

_THEIRS = (
    "t.ticket_id IN (SELECT r.ticket_id FROM ticket r WHERE r.account_id = %s AND r.requester_id = %s"
    " UNION SELECT m.ticket_id FROM message m WHERE m.account_id = %s AND m.owner_id = %s)"
)


def list_own_tickets(
    store: Store, account_id: str, person_id: str, query: ListOwnTickets, ask: AskSpellings
) -> OwnTicketPage:
    """A page of their tickets, in the order in which they were opened."""
    clauses, values = ["t.account_id = %s", _THEIRS], [account_id, account_id, person_id, account_id, person_id]
    if query.after is not None:
        clauses.append(
            "(t.opened_at, t.ticket_id) > (SELECT opened_at, ticket_id FROM ticket WHERE account_id = %s AND ticket_id = %s)"
        )
        values += [account_id, query.after]
    with store.work(account_id) as work:
        rows = work.fetch(
            f"{TICKET} WHERE {' AND '.join(clauses)} ORDER BY t.opened_at, t.ticket_id LIMIT %s", (*values, query.limit + 1)
        )
        views = _views(work, person_id, rows[: query.limit], ask)
    return OwnTicketPage(tickets=views, next_after=views[-1].ticket_id if len(rows) > query.limit else None)


def show_own_ticket(
    store: Store, account_id: str, person_id: str, query: ShowTicket, ask: AskSpellings
) -> OwnTicketWithMessages:
    """One of their tickets with a page of the messages that they may see. Raises `NotFound` for all others."""
    clauses, values = ["m.account_id = %s", "m.ticket_id = %s"], [account_id, query.ticket_id]
    if query.after is not None:
        clauses.append("m.place > (SELECT place FROM message WHERE account_id = %s AND message_id = %s)")
        values += [account_id, query.after]
    with store.work(account_id) as work:
        rows = work.fetch(
            f"{TICKET} WHERE t.account_id = %s AND t.ticket_id = %s AND {_THEIRS}",
            (account_id, query.ticket_id, account_id, person_id, account_id, person_id),
        )
        views = _views(work, person_id, rows, ask)
        if not views:
            raise NotFound()
        if not views[0].is_requester:
            clauses.append("m.owner_id = %s")
            values.append(person_id)
        found, next_after = message_rows(work, clauses, values, ["place"], query.limit)
        messages = message_views(work, found, ask)
    if not messages and query.after is None:
        raise NotFound()
    return OwnTicketWithMessages(ticket=views[0], messages=messages, next_after=next_after)


def _views(work: Work, person_id: str, rows: Sequence[tuple[Any, ...]], ask: AskSpellings) -> list[OwnTicketView]:
    requested = [
        OwnTicketView(
            ticket_id=one.ticket_id, is_requester=True, channel=one.channel, opened_at=one.opened_at, subject=one.subject,
            messages=one.messages,
        )
        for one in ticket_views(work, [row for row in rows if row[1] == person_id], ask)
    ]  # fmt: skip
    joined = _joined(work, person_id, [row for row in rows if row[1] != person_id], ask)
    by_id = {one.ticket_id: one for one in (*requested, *joined)}
    return [by_id[row[0]] for row in rows if row[0] in by_id]


def _joined(work: Work, person_id: str, rows: Sequence[tuple[Any, ...]], ask: AskSpellings) -> list[OwnTicketView]:
    """Tickets of others, by the person's own first message in each."""
    firsts = work.fetch(
        f"SELECT DISTINCT ON (m.ticket_id) {MESSAGE_COLUMNS}, count(*) OVER (PARTITION BY m.ticket_id) FROM message m"
        " WHERE m.account_id = %s AND m.owner_id = %s AND m.ticket_id = ANY (%s::uuid[]) ORDER BY m.ticket_id, m.place",
        (work.account_id, person_id, [row[0] for row in rows]),
    )
    contents = contents_of(work, firsts)
    render = Rendering(ask, [content.subject for content in contents if content is not None])
    tickets = {row[0]: row for row in rows}
    return [
        OwnTicketView(
            ticket_id=first[1], is_requester=False, channel=tickets[first[1]][2], opened_at=tickets[first[1]][3],
            subject=render.text(content.subject) if content is not None else str(ERASED), messages=first[-1],
        )
        for first, content in zip(firsts, contents, strict=True)
    ]  # fmt: skip
