"""Searches: the words stand in the body, since they may name somebody."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.answers import answered
from services.gateway.openapi import operation
from services.gateway.parameters import CallerOf, json_body
from services.tickets.commands import SearchHits, SearchTickets

router = APIRouter(tags=["searches"])


@router.post(
    "/searches", **operation(answer=SearchHits, takes=SearchTickets, example={"words": "broken invoice", "limit": 20})
)
def search_tickets(caller: CallerOf, asked: Annotated[SearchTickets, json_body(SearchTickets)]) -> Response:
    """Messages that hold all of the words, or in whose subject words begin so. A page: `after` is the `next_after` of the one
    before."""
    return answered(caller.query("tickets", "search_tickets", asked, SearchHits))
