"""The customer portal: signing in by a mailed link or a password, and what is the customer's own (mission H5, E2).

Who is not signed in names the account in the path; from then on the session says who and where. No method takes a person.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.contacts.commands import PersonView
from services.erasure.commands import ClaimedErasure, ClaimErasure, ErasureList, ListOwnErasures, RequestOwnErasure
from services.erasure.commands import RequestedErasure as RequestedOwnErasure
from services.gateway.answers import NEXT_LINK, answered, download, nothing_to_say, page
from services.gateway.openapi import NO_CONTENT, operation
from services.gateway.parameters import (
    After,
    CallerOf,
    GatewayOf,
    IdempotencyKey,
    Limit,
    Source,
    id_in_path,
    json_body,
    public_json_body,
)
from services.gateway.requests import LinkSignIn, PasswordSignIn
from services.identity.commands import Done
from services.identity.portal_commands import (
    READ_PLACES,
    AddSavedSearch,
    AskSignInLink,
    EndOwnSession,
    EndOwnSessions,
    PortalSessionList,
    PortalSignIn,
    RemoveSavedSearch,
    SavedSearchList,
    SavedSearchView,
    SetPortalPassword,
    SignInByLink,
    SignInByPassword,
    ToldReadPage,
    ToldReadQuery,
)
from services.tickets.commands import (
    AttachmentContent,
    ListOwnTickets,
    OwnTicketPage,
    OwnTicketWithMessages,
    ShowAttachment,
    ShowTicket,
)
from shared.errors import PermissionRefused

router = APIRouter(tags=["portal"])
DOWNLOAD: Final = "application/octet-stream"
_REFUSED: Final = ("unauthenticated", "account_suspended")
AccountId = Annotated[str, id_in_path("the account whose portal it is")]


@router.post(
    "/accounts/{account_id}/portal/links",
    **operation(
        status=NO_CONTENT, takes=AskSignInLink, public=True, changes=True, also=_REFUSED, example={"address": "ann@example.org"}
    ),
)
def ask_sign_in_link(
    gateway: GatewayOf, account_id: AccountId, command: Annotated[AskSignInLink, public_json_body(AskSignInLink)]
) -> Response:
    """Mails a one-time link to a customer's address. The answer is the same where the address is nobody's."""
    gateway.client.call("identity", "ask_sign_in_link", command, account=account_id, result_type=Done)
    return nothing_to_say()


@router.post(
    "/accounts/{account_id}/portal/sessions/by-link",
    **operation(
        answer=PortalSignIn, takes=LinkSignIn, public=True, changes=True, also=_REFUSED,
        example={"link_token": "what the mailed link ends with"},
    ),
)  # fmt: skip
def sign_in_by_link(
    gateway: GatewayOf, source: Source, account_id: AccountId, asked: Annotated[LinkSignIn, public_json_body(LinkSignIn)]
) -> Response:
    """Signs in with the token of a link, once. The session's token is shown here only."""
    command = SignInByLink(link_token=asked.link_token, source=source)
    return answered(gateway.client.call("identity", "sign_in_by_link", command, account=account_id, result_type=PortalSignIn))


@router.post(
    "/accounts/{account_id}/portal/sessions/by-password",
    **operation(
        answer=PortalSignIn, takes=PasswordSignIn, public=True, changes=True, also=_REFUSED,
        example={"address": "ann@example.org", "password": "a long sentence of your own"},
    ),
)  # fmt: skip
def sign_in_by_password(
    gateway: GatewayOf, source: Source, account_id: AccountId,
    asked: Annotated[PasswordSignIn, public_json_body(PasswordSignIn)],
) -> Response:  # fmt: skip
    """Signs in with an address and the password that its customer has set."""
    command = SignInByPassword(address=asked.address, password=asked.password, source=source)
    called = gateway.client.call("identity", "sign_in_by_password", command, account=account_id, result_type=PortalSignIn)
    return answered(called)


@router.post(
    "/accounts/{account_id}/portal/erasure-claims",
    **operation(
        answer=ClaimedErasure, takes=ClaimErasure, public=True, also=("not_found",),
        example={"request_id": "5f0c7a8e-3a52-4b0e-9a43-5b8f0a3f8a11", "claim_code": "what the request gave"},
    ),
)  # fmt: skip
def claim_erasure(
    gateway: GatewayOf, account_id: AccountId, asked: Annotated[ClaimErasure, public_json_body(ClaimErasure)]
) -> Response:
    """What became of an erasure, for who has its claim code and no session any more. `document` is the certificate (base64)."""
    called = gateway.client.call(
        "erasure", "claim_erasure", asked, account=account_id, repeatable=True, result_type=ClaimedErasure
    )
    return answered(called)


@router.put(
    "/portal/password",
    **operation(
        status=NO_CONTENT, takes=SetPortalPassword, changes=True, example={"new_password": "a long sentence of your own"}
    ),
)
def set_portal_password(
    caller: CallerOf, command: Annotated[SetPortalPassword, json_body(SetPortalPassword)], key: IdempotencyKey = None
) -> Response:
    """A password of one's own. Who has one already shows it, or the token of a fresh link. All sessions end."""
    caller.change("identity", "set_portal_password", command, Done, key)
    return nothing_to_say()


@router.get("/portal/sessions", **operation(answer=PortalSessionList))
def list_own_sessions(caller: CallerOf) -> Response:
    """The customer's sessions that are good, newest first."""
    return answered(caller.query("identity", "list_own_sessions", None, PortalSessionList))


@router.delete("/portal/sessions/current", **operation(status=NO_CONTENT, changes=True))
def sign_out(caller: CallerOf, key: IdempotencyKey = None) -> Response:
    """Ends the session that the request was sent with. A token is none: it is revoked where it was made."""
    if caller.who.session_id is None:
        raise PermissionRefused("This ends a session of the portal, and the request was sent with none.")
    caller.change("identity", "end_own_session", EndOwnSession(session_id=caller.who.session_id), Done, key)
    return nothing_to_say()


@router.delete("/portal/sessions/{session_id}", **operation(status=NO_CONTENT, changes=True))
def end_own_session(
    caller: CallerOf, session_id: Annotated[str, id_in_path("the session")], key: IdempotencyKey = None
) -> Response:
    """Ends one of the customer's sessions."""
    caller.change("identity", "end_own_session", EndOwnSession(session_id=session_id), Done, key)
    return nothing_to_say()


@router.delete("/portal/sessions", **operation(status=NO_CONTENT, changes=True))
def end_own_sessions(caller: CallerOf, key: IdempotencyKey = None) -> Response:
    """Ends all of the customer's sessions but the one that the request was sent with."""
    caller.change("identity", "end_own_sessions", EndOwnSessions(keep=caller.who.session_id), Done, key)
    return nothing_to_say()


@router.get("/portal/profile", **operation(answer=PersonView))
def show_own_profile(caller: CallerOf) -> Response:
    """What is known of the customer: name and addresses."""
    return answered(caller.query("contacts", "show_own_profile", None, PersonView))


@router.get("/portal/tickets", **operation(answer=OwnTicketPage, headers=NEXT_LINK))
def list_own_tickets(request: Request, caller: CallerOf, after: After = None, limit: Limit = 50) -> Response:
    """A page of the customer's tickets: those that they requested, and those in which messages are theirs."""
    return page(request, caller.query("tickets", "list_own_tickets", ListOwnTickets(after=after, limit=limit), OwnTicketPage))


@router.get("/portal/tickets/{ticket_id}", **operation(answer=OwnTicketWithMessages))
def show_own_ticket(caller: CallerOf, ticket_id: Annotated[str, id_in_path("the ticket")], after: After = None) -> Response:
    """A ticket of the customer's, with a page of the messages that they may see."""
    return answered(
        caller.query("tickets", "show_own_ticket", ShowTicket(ticket_id=ticket_id, after=after), OwnTicketWithMessages)
    )


@router.get("/portal/attachments/{blob_id}", **operation(answer=bytes, answer_media_type=DOWNLOAD))
def show_own_attachment(caller: CallerOf, blob_id: Annotated[str, id_in_path("the attachment")]) -> Response:
    """An attachment of a message that the customer may see."""
    found = caller.query("tickets", "show_own_attachment", ShowAttachment(blob_id=blob_id), AttachmentContent)
    return download(found.content, DOWNLOAD, found.name)


@router.get("/portal/reads", **operation(answer=ToldReadPage, headers=NEXT_LINK))
def list_own_reads(
    request: Request, caller: CallerOf,
    after: Annotated[int | None, Query(ge=0, lt=READ_PLACES, description="The `next_after` of the page before.")] = None,
    limit: Limit = 100,
) -> Response:  # fmt: skip
    """A page of who saw what of the customer: when, in which role, and for what. Readers have a pseudonym each, and no name."""
    return page(request, caller.query("identity", "list_own_reads", ToldReadQuery(after=after, limit=limit), ToldReadPage))


@router.get("/portal/saved-searches", **operation(answer=SavedSearchList))
def list_saved_searches(caller: CallerOf) -> Response:
    """The searches that the customer keeps."""
    return answered(caller.query("identity", "list_saved_searches", None, SavedSearchList))


@router.post(
    "/portal/saved-searches",
    **operation(
        answer=SavedSearchView, status=201, takes=AddSavedSearch, changes=True, example={"name": "Leaks", "words": "kettle"}
    ),
)
def add_saved_search(
    caller: CallerOf, command: Annotated[AddSavedSearch, json_body(AddSavedSearch)], key: IdempotencyKey = None
) -> Response:
    """Keeps a search."""
    return answered(caller.change("identity", "add_saved_search", command, SavedSearchView, key), 201)


@router.delete("/portal/saved-searches/{search_id}", **operation(status=NO_CONTENT, changes=True))
def remove_saved_search(
    caller: CallerOf, search_id: Annotated[str, id_in_path("the saved search")], key: IdempotencyKey = None
) -> Response:
    """Forgets a search for good."""
    caller.change("identity", "remove_saved_search", RemoveSavedSearch(search_id=search_id), Done, key)
    return nothing_to_say()


@router.post(
    "/portal/erasure-requests",
    **operation(
        answer=RequestedOwnErasure, status=202, takes=RequestOwnErasure, changes=True, example={"reason": "I want to go."}
    ),
)
def request_own_erasure(
    caller: CallerOf, command: Annotated[RequestOwnErasure, json_body(RequestOwnErasure)], key: IdempotencyKey = None
) -> Response:
    """Erases the customer everywhere. The claim code is shown here only: it fetches the certificate when no session is left."""
    return answered(caller.change("erasure", "request_own_erasure", command, RequestedOwnErasure, key), 202)


@router.get("/portal/erasure-requests", **operation(answer=ErasureList))
def list_own_erasure_requests(caller: CallerOf) -> Response:
    """The customer's own requests, as long as they have a session."""
    return answered(caller.query("erasure", "list_own_erasures", ListOwnErasures(), ErasureList))
