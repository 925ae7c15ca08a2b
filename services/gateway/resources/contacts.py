"""Contacts: persons, by id in the URL and by name or address in a body; organisations; the account's own mailboxes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.contacts.commands import (
    AddedThing,
    AddMailbox,
    AddOrganisation,
    ListPersons,
    PersonPage,
    PersonView,
    ShowPerson,
)
from services.gateway.answers import NEXT_LINK, answered, page
from services.gateway.openapi import operation
from services.gateway.parameters import After, CallerOf, IdempotencyKey, Limit, id_in_path, json_body

router = APIRouter(tags=["contacts"])
Quoted = Annotated[bool, Query(description="Those as well who are known from a quoted text only.")]


@router.get("/contacts", **operation(answer=PersonPage, headers=NEXT_LINK))
def list_contacts(
    request: Request, caller: CallerOf, include_quoted: Quoted = False, after: After = None, limit: Limit = 50
) -> Response:
    """A page of persons in the order in which they became known."""
    asked = ListPersons(include_quoted=include_quoted, after=after, limit=limit)
    return page(request, caller.query("contacts", "list_persons", asked, PersonPage))


@router.post("/contacts/search", **operation(answer=PersonPage, takes=ListPersons, example={"query": "ann", "limit": 20}))
def search_contacts(caller: CallerOf, asked: Annotated[ListPersons, json_body(ListPersons)]) -> Response:
    """A page of persons by name or address."""
    return answered(caller.query("contacts", "list_persons", asked, PersonPage))


@router.post("/contacts/lookup", **operation(answer=PersonView, takes=ShowPerson, example={"who": "ann@example.org"}))
def look_up_contact(caller: CallerOf, asked: Annotated[ShowPerson, json_body(ShowPerson)]) -> Response:
    """The person to whom an exact address belongs."""
    return answered(caller.query("contacts", "show_person", asked, PersonView))


@router.get("/contacts/{person_id}", **operation(answer=PersonView))
def show_contact(caller: CallerOf, person_id: Annotated[str, id_in_path("the person")]) -> Response:
    """One person."""
    return answered(caller.query("contacts", "show_person", ShowPerson(who=person_id), PersonView))


@router.post(
    "/organisations",
    **operation(answer=AddedThing, status=201, takes=AddOrganisation, example={"name": "Example Ltd"}, changes=True),
)
def add_organisation(
    caller: CallerOf, command: Annotated[AddOrganisation, json_body(AddOrganisation)], key: IdempotencyKey = None
) -> Response:
    """Adds an organisation: a contact, but nobody whose data it is."""
    return answered(caller.change("contacts", "add_organisation", command, AddedThing, key), 201)


@router.post(
    "/mailboxes",
    **operation(answer=AddedThing, status=201, takes=AddMailbox, example={"address": "help@desk.example"}, changes=True),
)
def add_mailbox(
    caller: CallerOf, command: Annotated[AddMailbox, json_body(AddMailbox)], key: IdempotencyKey = None
) -> Response:
    """Adds an address of the account's own: it is nobody's, and what comes from it is an answer."""
    return answered(caller.change("contacts", "add_mailbox", command, AddedThing, key), 201)
