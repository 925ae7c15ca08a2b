"""Messages: a mail comes in, and what a person has written is handed out."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.gateway.answers import NEXT_LINK, answered, page
from services.gateway.bodies import MAIL
from services.gateway.openapi import operation
from services.gateway.parameters import After, CallerOf, IdempotencyKey, MailBody, id_in_path
from services.tickets.commands import ImportedMail, ImportedMails, ImportMails, MessagePage, MessagesOf

router = APIRouter(tags=["messages"])
IMPORT_SECONDS: Final = 60.0
DryRun = Annotated[bool, Query(description="Say what would become of it, and change nothing.")]
MessageLimit = Annotated[int, Query(ge=1, le=200, description="The most that a page holds.")]


@router.post("/messages", **operation(answer=ImportedMail, takes=bytes, media_type=MAIL, changes=True))
def import_message(caller: CallerOf, mail: MailBody, key: IdempotencyKey = None, dry_run: DryRun = False) -> Response:
    """Takes in a mail as it is (RFC 822). The same mail twice changes nothing, with or without an idempotency key."""
    command = ImportMails(mails=[mail], dry_run=dry_run)
    imported = caller.change("tickets", "import_mails", command, ImportedMails, key, timeout_seconds=IMPORT_SECONDS)
    return answered(imported.mails[0])


@router.get("/contacts/{person_id}/messages", **operation(answer=MessagePage, headers=NEXT_LINK))
def list_messages_of_contact(
    request: Request, caller: CallerOf, person_id: Annotated[str, id_in_path("the person")], after: After = None,
    limit: MessageLimit = 50,
) -> Response:  # fmt: skip
    """All messages that belong to a person, for their export (GDPR Art. 15, 20)."""
    asked = MessagesOf(person_id=person_id, after=after, limit=limit)
    return page(request, caller.query("tickets", "messages_of", asked, MessagePage))
