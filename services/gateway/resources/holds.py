"""Legal holds: placed, looked at, released."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.erasure.commands import HoldList, HoldView, ListHolds, OfHold, PlacedHold, PlaceHold
from services.gateway.answers import LOCATION, NEXT_LINK, answered, page
from services.gateway.openapi import operation
from services.gateway.parameters import After, CallerOf, IdempotencyKey, Limit, id_in_path, json_body

router = APIRouter(tags=["holds"])
_EXAMPLE: Final = {
    "who": "ann@example.org", "basis": "legal-claims", "reference": "Regional court, 12 C 345/26",
    "expires_at": "2027-12-31T00:00:00Z",
}  # fmt: skip
HoldId = Annotated[str, id_in_path("the hold")]
Ended = Annotated[bool, Query(description="Those as well that have ended.")]


@router.post(
    "/holds",
    **operation(answer=PlacedHold, status=201, takes=PlaceHold, changes=True, headers=LOCATION, example=_EXAMPLE),
)  # fmt: skip
def place_hold(
    caller: CallerOf, command: Annotated[PlaceHold, json_body(PlaceHold)], key: IdempotencyKey = None
) -> Response:
    """Keeps a person from being erased, on a basis of GDPR Art. 17(3), until a time. So long, requests for it wait."""
    placed = caller.change("erasure", "place_hold", command, PlacedHold, key)
    return answered(placed, 201, {"Location": f"/v1/holds/{placed.hold_id}"})


@router.get("/holds", **operation(answer=HoldList, headers=NEXT_LINK))
def list_holds(
    request: Request, caller: CallerOf, include_ended: Ended = False, after: After = None, limit: Limit = 50
) -> Response:
    """A page of holds, the newest first: those in force, or all that ever were."""
    asked = ListHolds(include_ended=include_ended, after=after, limit=limit)
    return page(request, caller.query("erasure", "list_holds", asked, HoldList))


@router.get("/holds/{hold_id}", **operation(answer=HoldView))
def show_hold(caller: CallerOf, hold_id: HoldId) -> Response:
    """One hold, and the requests that wait for it."""
    return answered(caller.query("erasure", "show_hold", OfHold(hold_id=hold_id), HoldView))


@router.post("/holds/{hold_id}/release", **operation(answer=HoldView, changes=True))
def release_hold(caller: CallerOf, hold_id: HoldId, key: IdempotencyKey = None) -> Response:
    """Ends a hold before its time. The requests that waited for it alone go on by themselves."""
    return answered(caller.change("erasure", "release_hold", OfHold(hold_id=hold_id), HoldView, key))
