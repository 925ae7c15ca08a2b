"""Attachments: their bytes, to be saved and never to be shown."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.answers import download
from services.gateway.openapi import operation
from services.gateway.parameters import CallerOf, id_in_path
from services.tickets.commands import AttachmentContent, ShowAttachment

router = APIRouter(tags=["attachments"])
DOWNLOAD_SECONDS: Final = 30.0
OCTETS: Final = "application/octet-stream"
"""What every attachment is called: its own media type was made up by whoever sent it."""


@router.get("/attachments/{blob_id}", **operation(answer=bytes, answer_media_type=OCTETS))
def show_attachment(caller: CallerOf, blob_id: Annotated[str, id_in_path("the attachment")]) -> Response:
    """The bytes of an attachment. Its name stands in Content-Disposition, its media type in the message."""
    asked = ShowAttachment(blob_id=blob_id)
    found = caller.query("tickets", "show_attachment", asked, AttachmentContent, timeout_seconds=DOWNLOAD_SECONDS)
    return download(found.content, OCTETS, found.name)
