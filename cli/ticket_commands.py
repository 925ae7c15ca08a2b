"""`lethe ticket …` and `lethe search`: the tickets as an agent sees them."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.panel import Panel
from rich.text import Text

from cli.options import HELP, Account, After, As, Json, Limit
from cli.output import moment, note, one_line, safe, show, show_json, stdout, table
from cli.person_export import whole_ticket
from cli.session import Session
from services.contacts.commands import PersonView, ShowPerson
from services.tickets.commands import (
    ListTickets,
    MessageView,
    SearchHits,
    SearchTickets,
    TicketPage,
)

READING_WIDTH: Final = 110
"""Columns of a message: longer lines are hard to read."""

tickets = typer.Typer(help="Tickets: list, show.", no_args_is_help=True, context_settings=HELP)


def register(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.add_typer(tickets, name="ticket")
    app.command("search", context_settings=HELP)(search)


@tickets.command("list")
def list_tickets(
    person: Annotated[
        str | None, typer.Option("--person", metavar="WHO", help="Of this person only: id or address.")
    ] = None,
    after: After = None,
    limit: Limit = 50,
    account: Account = None,
    as_user: As = None,
    json: Json = False,
) -> None:
    """List tickets in the order in which they were opened.

    Example: lethe ticket list --person greta.lindqvist@example.org
    """
    with Session(account, as_user) as session:
        requester = None
        if person is not None:
            requester = session.query("contacts", "show_person", ShowPerson(who=person), PersonView).person_id
        page = session.query(
            "tickets",
            "list_tickets",
            ListTickets(requester_id=requester, after=after, limit=limit),
            TicketPage,
        )
    if json:
        show_json(page)
        return
    rows = [
        (one.ticket_id, moment(one.opened_at), one.messages, one_line(one.subject, 100))
        for one in page.tickets
    ]
    show(table("Tickets", ("ticket id", "opened (UTC)", "messages", "subject"), rows))
    if page.next_after:
        note(f"There are more: --after {page.next_after}")


@tickets.command("show")
def show_ticket(
    ticket_id: Annotated[
        str, typer.Argument(metavar="ID", help="The ticket's id, as ticket list prints it.")
    ],
    account: Account = None,
    as_user: As = None,
    json: Json = False,
) -> None:
    """Show a ticket with its messages.

    Example: lethe ticket show 1f0c2b9e-6a44-4c1e-9a55-0f6f3f6f8e11
    """
    with Session(account, as_user) as session:
        found = whole_ticket(session, ticket_id)
    if json:
        show_json(found)
        return
    ticket = found.ticket
    show(Text(one_line(ticket.subject), style="bold"))
    show(
        f"ticket {ticket.ticket_id}   requester {ticket.requester_id or 'nobody'}   {len(found.messages)} messages"
    )
    # by their dates, since an archive may have had the answer before the question; those without a date as they came in
    show(*(_panel(one) for one in sorted(found.messages, key=lambda one: one.sent_at or one.added_at)))


def search(
    words: Annotated[
        list[str], typer.Argument(metavar="WORDS...", help="All of these must be in the message.")
    ],
    limit: Limit = 50,
    after: After = None,
    account: Account = None,
    as_user: As = None,
    json: Json = False,
) -> None:
    """Find messages by their words (stemmed), or by beginnings of words of the subject.

    Example: lethe search leaking kettle
    """
    with Session(account, as_user) as session:
        found = session.query(
            "tickets", "search_tickets", SearchTickets(words=" ".join(words), after=after, limit=limit), SearchHits
        )
    if json:
        show_json(found)
        return
    rows = [(one.ticket_id, one_line(one.subject, 60), one_line(one.excerpt, 100)) for one in found.hits]
    show(table(f"{len(found.hits)} messages", ("ticket id", "subject", "text"), rows))
    if found.next_after:
        note(f"There are more: --after {found.next_after}")


def _panel(one: MessageView) -> Panel:
    headers = [f"{label}: {', '.join(safe(value) for value in values)}" for label, values in (
        ("From", one.senders), ("To", one.to), ("Cc", one.cc), ("Reply-To", one.reply_to)
    ) if values]  # fmt: skip
    attached = [
        f"[{safe(part.name) or 'without a name'}, {safe(part.media_type)}, {part.size:,} bytes]"
        for part in one.attachments
    ]
    body = "\n".join([*map(one_line, headers), "", safe(one.text).strip(), *attached])
    title = Text(f"{moment(one.sent_at) or 'without a date'}   {one.direction}")
    style = "green" if one.direction == "outgoing" else "blue"
    return Panel(Text(body), title=title, title_align="left", border_style=style, width=min(READING_WIDTH, stdout().width))
