"""Tickets, and what was put aside because it can't be read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.gateway.answers import NEXT_LINK, answered, page
from services.gateway.openapi import operation
from services.gateway.parameters import UUID, After, CallerOf, Limit, id_in_path
from services.tickets.commands import (
    ListPutAside,
    ListTickets,
    PutAsideList,
    PutAsideView,
    ShowPutAside,
    ShowTicket,
    TicketPage,
    TicketWithMessages,
)

router = APIRouter(tags=["tickets"])
Requester = Annotated[str | None, Query(pattern=UUID, description="Of this person only.")]
MessageLimit = Annotated[int, Query(ge=1, le=200, description="The most messages that a page holds.")]


@router.get("/tickets", **operation(answer=TicketPage, headers=NEXT_LINK))
def list_tickets(
    request: Request, caller: CallerOf, requester_id: Requester = None, after: After = None, limit: Limit = 50
) -> Response:
    """A page of tickets in the order in which they were opened."""
    asked = ListTickets(requester_id=requester_id, after=after, limit=limit)
    return page(request, caller.query("tickets", "list_tickets", asked, TicketPage))


@router.get("/tickets/{ticket_id}", **operation(answer=TicketWithMessages, headers=NEXT_LINK))
def show_ticket(
    request: Request, caller: CallerOf, ticket_id: Annotated[str, id_in_path("the ticket")], after: After = None,
    limit: MessageLimit = 100,
) -> Response:  # fmt: skip
    """A ticket with a page of its messages, in their order. Large messages make a page end earlier."""
    asked = ShowTicket(ticket_id=ticket_id, after=after, limit=limit)
    return page(request, caller.query("tickets", "show_ticket", asked, TicketWithMessages))


@router.get("/put-aside", **operation(answer=PutAsideList, headers=NEXT_LINK))
def list_put_aside(request: Request, caller: CallerOf, after: After = None, limit: Limit = 50) -> Response:
    """A page of the mails that could not be read at all: why, and how large they are."""
    asked = ListPutAside(after=after, limit=limit)
    return page(request, caller.query("tickets", "list_put_aside", asked, PutAsideList))


@router.get("/put-aside/{put_aside_id}", **operation(answer=PutAsideView))
def show_put_aside(caller: CallerOf, put_aside_id: Annotated[str, id_in_path("what was put aside")]) -> Response:
    """One mail that could not be read at all."""
    return answered(caller.query("tickets", "show_put_aside", ShowPutAside(put_aside_id=put_aside_id), PutAsideView))
