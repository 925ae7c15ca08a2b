"""`lethe person …`: the people who write to the account, as an agent sees them, and what is handed to one who asks."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import HELP, Account, After, As, Json, Limit, Out
from cli.output import as_json, moment, note, one_line, show, show_json, table, write_file
from cli.person_export import export_person
from cli.session import Session
from services.contacts.commands import ListPersons, PersonPage, PersonView, ShowPerson
from services.tickets.commands import ListTickets, TicketPage

persons = typer.Typer(
    help="The people who write: list, show, export.", no_args_is_help=True, context_settings=HELP
)
Who = Annotated[str, typer.Argument(metavar="WHO", help="A person: by id or by an address.")]


def register(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.add_typer(persons, name="person")


@persons.command("list")
def list_persons(
    query: Annotated[
        str,
        typer.Option("--query", metavar="TEXT", help="Beginnings of words of the name, or a whole address."),
    ] = "",
    everybody: Annotated[
        bool, typer.Option("--all", help="Also those whose address only stands in a text.")
    ] = False,
    after: After = None,
    limit: Limit = 50,
    account: Account = None,
    as_user: As = None,
    json: Json = False,
) -> None:
    """List people in the order in which they became known.

    Example: lethe person list --query greta
    """
    asked = ListPersons(query=query, include_quoted=everybody, after=after, limit=limit)
    with Session(account, as_user) as session:
        page = session.query("contacts", "list_persons", asked, PersonPage)
    if json:
        show_json(page)
        return
    show(persons_table(page.persons))
    if page.next_after:
        note(f"There are more: --after {page.next_after}")


@persons.command("show")
def show_person(who: Who, account: Account = None, as_user: As = None, json: Json = False) -> None:
    """Show a person, and the tickets that they opened.

    Example: lethe person show greta.lindqvist@example.org
    """
    with Session(account, as_user) as session:
        person = session.query("contacts", "show_person", ShowPerson(who=who), PersonView)
        if json:
            show_json(person)
            return
        opened = session.query(
            "tickets", "list_tickets", ListTickets(requester_id=person.person_id, limit=50), TicketPage
        )
    show(persons_table([person]))
    rows = [
        (one.ticket_id, moment(one.opened_at), one.messages, one_line(one.subject, 80))
        for one in opened.tickets
    ]
    more = " (the first 50)" if opened.next_after else ""
    show(table(f"Tickets of this person{more}", ("ticket id", "opened (UTC)", "messages", "subject"), rows))


@persons.command("export")
def export(
    who: Who,
    out: Out = None,
    contents: Annotated[
        bool,
        typer.Option(
            "--attachments/--no-attachments",
            help="With the attachments' bytes (base64), or their digests only.",
        ),
    ] = True,
    account: Account = None,
    as_user: As = None,
) -> None:
    """Everything of a person as JSON: what they may ask for (GDPR Art. 15 and 20).

    Example: lethe person export greta.lindqvist@example.org --out greta.json
    """
    with Session(account, as_user) as session:
        found = export_person(session, who, contents)
    if out is None:
        show_json(found)
        return
    write_file(out, as_json(found) + b"\n")
    note(f"{len(found.messages)} messages in {len(found.tickets)} tickets are in {out}")


def persons_table(found: list[PersonView]) -> object:
    """People as a table."""
    rows = [
        (
            one.person_id,
            one_line(one.name or ""),
            "\n".join(map(str, one.addresses)),
            one.origin,
            moment(one.added_at),
        )
        for one in found
    ]
    return table("People", ("person id", "name", "addresses", "known as", "since (UTC)"), rows)
