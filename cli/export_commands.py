"""`lethe export`: everything an account can see, gathered page by page and put into the canonical order."""

from __future__ import annotations

import hashlib
import sys
from typing import Annotated

import msgspec
import typer

from cli.canonical import CanonicalExport, SeenTicket, canonical_export, encode
from cli.options import HELP, Account, As, Json, Out
from cli.output import note, show, table, write_file
from cli.person_export import attachment_content, tickets_of, whole_ticket
from cli.session import Session, pages
from services.contacts.commands import ListPersons, PersonPage, PersonView
from services.erasure.commands import ErasureList, ErasureView, ListErasures
from services.tickets.commands import ListPutAside, PutAsideList, PutAsideView, TicketView
from shared.errors import NotFound
from shared.personal import NotPersonal

PAGE = 500


class ExportSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What an export holds, and the digest to compare it by."""

    people: int
    tickets: int
    messages: int
    attachments: int
    put_aside: int
    erasures: int
    sha256: Annotated[str, NotPersonal("a digest")]


def register(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command("export", context_settings=HELP)(export)


def export(account: Account = None, as_user: As = None, out: Out = None, json: Json = False) -> None:
    """Everything an account can see, in one canonical order: for the account, and to compare two systems.

    Two systems that took in the same mails give the same bytes. Without --json or --out it shows what the export holds, and
    the digest of its bytes.

    Example: lethe export --account "Harbour Kettles" --out harbour.json
    """
    with Session(account, as_user) as session:
        made = gather(session)
    content = encode(made)
    if out is not None:
        write_file(out, content)
        note(f"The export is in {out}")
    if json:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    else:
        summary = summarise(made, content)
        show(table("Export", ("what", "how many"), list(msgspec.structs.asdict(summary).items())[:-1]))
        show(f"SHA-256 {summary.sha256}")


def gather(session: Session) -> CanonicalExport:
    """The export of the session's account."""
    put_aside = pages(lambda after: _put_aside(session, after))
    erasures = pages(lambda after: _erasures(session, after))
    tickets = [seen for one in tickets_of(session, None) if (seen := _ticket(session, one)) is not None]
    return canonical_export(all_people(session), tickets, put_aside, erasures)


def _put_aside(session: Session, after: str | None) -> tuple[list[PutAsideView], str | None]:
    page = session.query("tickets", "list_put_aside", ListPutAside(after=after, limit=PAGE), PutAsideList)
    return page.mails, page.next_after


def _erasures(session: Session, after: str | None) -> tuple[list[ErasureView], str | None]:
    page = session.query("erasure", "list_erasures", ListErasures(after=after, limit=PAGE), ErasureList)
    return page.requests, page.next_after


def all_people(session: Session) -> list[PersonView]:
    """Every person of the account, also those who only stand in a text."""

    def fetch(after: str | None) -> tuple[list[PersonView], str | None]:
        asked = ListPersons(include_quoted=True, after=after, limit=PAGE)
        page = session.query("contacts", "list_persons", asked, PersonPage)
        return page.persons, page.next_after

    return pages(fetch)


def _ticket(session: Session, one: TicketView) -> SeenTicket | None:
    try:
        seen = whole_ticket(session, one.ticket_id)
    except NotFound:
        # its last message went with an erasure between the list and this look
        return None
    blobs = {}
    for message in seen.messages:
        for attached in message.attachments:
            content = attachment_content(session, attached)
            blobs[attached.blob_id] = (hashlib.sha256(content).hexdigest(), len(content))
    return SeenTicket(seen.ticket, seen.messages, blobs)


def summarise(made: CanonicalExport, content: bytes) -> ExportSummary:
    """The numbers of an export."""
    messages = [message for ticket in made.tickets for message in ticket.messages]
    return ExportSummary(
        people=len(made.people), tickets=len(made.tickets), messages=len(messages),
        attachments=sum(len(message.attachments) for message in messages), put_aside=len(made.put_aside),
        erasures=len(made.erasures), sha256=hashlib.sha256(content).hexdigest(),
    )  # fmt: skip
