"""`lethe reads`: who saw what, from the records of reads of every service that keeps them."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec
import typer

from cli.options import HELP, Account, As, Json
from cli.output import moment, show, show_json, table
from cli.session import Session, pages
from services.contacts.commands import PersonView, ShowPerson
from services.identity.commands import ShowUser, UserView
from shared.errors import InvalidArgument
from shared.events import ServiceName
from shared.read_listing import ListReads, ReadPage, ReadView

RECORDING: Final = ("contacts", "tickets", "identity")
"""The services that show users something of persons."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ReadOfService(msgspec.Struct, frozen=True, kw_only=True):
    """A read, and the service that recorded it."""

    service: ServiceName
    read: ReadView


class ReadList(msgspec.Struct, frozen=True, kw_only=True):
    """Reads, in the order of their times."""

    reads: list[ReadOfService]


def register(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command("reads", context_settings=HELP)(reads)


def reads(
    subject: Annotated[
        str | None,
        typer.Argument(metavar="WHOM", help="A person, by id or by an address; or a ticket, by id."),
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="USER", help="Only what this user saw (login or id).")
    ] = None,
    account: Account = None,
    as_user: As = None,
    json: Json = False,
) -> None:
    """Show who saw something of a person or a ticket, when and for what. Owners and admins may.

    Example: lethe reads greta.lindqvist@example.org
    """
    if subject is None and by is None:
        raise InvalidArgument("Name a person or a ticket, or a user: --by USER", field="whom", rule="is required")
    with Session(account, as_user) as session:
        asked = ListReads(subject_id=_subject(session, subject), actor_id=_user(session, by))
        found = [ReadOfService(service=service, read=one) for service in RECORDING for one in _reads(session, service, asked)]
    found.sort(key=lambda one: one.read.at)
    if json:
        show_json(ReadList(reads=found))
        return
    rows = [
        (
            moment(one.read.at), one.read.actor_id, f"{one.service}.{one.read.method}", one.read.purpose,
            len(one.read.person_ids), len(one.read.ticket_ids), one.read.index,
        )
        for one in found
    ]  # fmt: skip
    show(table(f"{len(rows)} reads", ("at (UTC)", "user id", "method", "for", "persons", "tickets", "log index"), rows))


def _reads(session: Session, service: str, asked: ListReads) -> list[ReadView]:
    def fetch(after: str | None) -> tuple[list[ReadView], str | None]:
        query = asked if after is None else msgspec.structs.replace(asked, after=int(after))
        page = session.query(service, "list_reads", query, ReadPage)
        return page.reads, None if page.next_after is None else str(page.next_after)

    return pages(fetch)


def _subject(session: Session, named: str | None) -> str | None:
    """An id as it is: its person may be erased, and the records are still there."""
    if named is None or _UUID.fullmatch(named):
        return named
    return session.query("contacts", "show_person", ShowPerson(who=named), PersonView).person_id


def _user(session: Session, named: str | None) -> str | None:
    if named is None or _UUID.fullmatch(named):
        return named
    return session.query("identity", "show_user", ShowUser(user=named), UserView).user_id
