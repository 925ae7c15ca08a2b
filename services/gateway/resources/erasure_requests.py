"""Requests for erasure: asked for, looked at, and the certificate."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.erasure.commands import (
    CertificateDocument,
    Done,
    ErasureList,
    ErasureView,
    ListErasures,
    PreviewedErasure,
    PreviewErasure,
    RequestedErasure,
    RequestErasure,
    ShowErasure,
)
from services.gateway.answers import LOCATION, NEXT_LINK, answered, download, nothing_to_say, page
from services.gateway.openapi import NO_CONTENT, operation
from services.gateway.parameters import After, CallerOf, IdempotencyKey, Limit, id_in_path, json_body

router = APIRouter(tags=["erasure requests"])
CERTIFICATE: Final = "application/octet-stream"
_WHO: Final = {"who": "ann@example.org", "addresses": ["ann@old.example"]}
RequestId = Annotated[str, id_in_path("the request")]


@router.post(
    "/erasure-requests",
    **operation(
        answer=RequestedErasure, status=202, takes=RequestErasure, changes=True, headers=LOCATION,
        example={**_WHO, "reason": "asked for it by mail"},
    ),
)  # fmt: skip
def request_erasure(
    caller: CallerOf, command: Annotated[RequestErasure, json_body(RequestErasure)], key: IdempotencyKey = None
) -> Response:
    """Erases a person everywhere. Answers at once; the request says how far it is. The claim code is shown here only."""
    asked = caller.change("erasure", "request_erasure", command, RequestedErasure, key)
    return answered(asked, 202, {"Location": f"/v1/erasure-requests/{asked.request_id}"})


@router.post("/erasure-requests/preview", **operation(answer=PreviewedErasure, takes=PreviewErasure, example=_WHO))
def preview_erasure(caller: CallerOf, asked: Annotated[PreviewErasure, json_body(PreviewErasure)]) -> Response:
    """What an erasure would remove, and what it would keep and why. Changes nothing."""
    return answered(caller.query("erasure", "preview_erasure", asked, PreviewedErasure))


@router.get("/erasure-requests", **operation(answer=ErasureList, headers=NEXT_LINK))
def list_erasure_requests(request: Request, caller: CallerOf, after: After = None, limit: Limit = 50) -> Response:
    """A page of requests, the newest first."""
    return page(request, caller.query("erasure", "list_erasures", ListErasures(after=after, limit=limit), ErasureList))


@router.get("/erasure-requests/{request_id}", **operation(answer=ErasureView))
def show_erasure_request(caller: CallerOf, request_id: RequestId) -> Response:
    """Where a request stands, participant by participant."""
    return answered(caller.query("erasure", "show_erasure", ShowErasure(request_id=request_id), ErasureView))


@router.post("/erasure-requests/{request_id}/retry", **operation(status=NO_CONTENT, changes=True))
def retry_erasure_request(caller: CallerOf, request_id: RequestId, key: IdempotencyKey = None) -> Response:
    """Tells the participants of an incomplete request once more."""
    caller.change("erasure", "retry_erasure", ShowErasure(request_id=request_id), Done, key)
    return nothing_to_say()


@router.get(
    "/erasure-requests/{request_id}/certificate",
    **operation(answer=bytes, answer_media_type=CERTIFICATE, also=("incomplete", "conflict")),
)
def show_certificate(caller: CallerOf, request_id: RequestId) -> Response:
    """The signed certificate of a completed request, as it was made: `lethe audit certificate` checks it."""
    asked = ShowErasure(request_id=request_id)
    found = caller.query("erasure", "show_certificate", asked, CertificateDocument)
    return download(found.document, CERTIFICATE, f"certificate-{request_id}")
