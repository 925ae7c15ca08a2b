"""The tickets service: what people wrote, and the answers. RPC methods and reactions, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.tickets import handlers, own_tickets, queries
from services.tickets.commands import (
    AttachmentContent,
    ImportedMails,
    ImportMails,
    KnownSources,
    KnownSourcesAnswer,
    ListOwnTickets,
    ListPutAside,
    ListTickets,
    MessagePage,
    MessagesOf,
    OwnTicketPage,
    OwnTicketWithMessages,
    PutAsideList,
    PutAsideView,
    SearchHits,
    SearchTickets,
    ShowAttachment,
    ShowPutAside,
    ShowTicket,
    TicketPage,
    TicketWithMessages,
)
from services.tickets.events import TYPES
from services.tickets.holdings import TicketsHoldings
from services.tickets.indexing import MailIndex
from services.tickets.projections import project
from services.tickets.shown import shown_in_page, shown_in_ticket, shown_of_person
from shared.blobs import BlobStore
from shared.erasing import Holdings
from shared.read_records import Shown
from shared.resolving import MailToCheck, RenderedSpellings, RenderSpellings, Suppress, TakeIn, TakenIn
from shared.rpc import Call, rpc_method
from shared.service import CUSTOMERS, READERS, USERS, RecordingService, Resources, Runtime, account_of, actor_of

IMPORT_SECONDS = 60.0


class TicketsResources:
    """The service's resources with its blobs and its holdings."""

    def __init__(self, resources: Resources) -> None:
        self.store = resources.store
        self.client = resources.client
        self.reads = resources.reads
        self.blobs = BlobStore(str(resources.settings.path("blobs", "tickets")))
        self.holdings = TicketsHoldings(self.blobs, self._suppress)

    def _suppress(self, account_id: str, request_id: str, mails: Sequence[MailToCheck]) -> None:
        self.client.call(
            "erasure", "suppress", Suppress(request_id=request_id, mails=list(mails)), account=account_id, repeatable=True
        )


class TicketsService(RecordingService):
    """Tickets, messages, attachments and search."""

    name = "tickets"
    runtime = Runtime(TYPES, project, TicketsResources)

    def tidy_account(self, account_id: str) -> None:
        self.runtime.blobs.remove_account(account_id)

    @property
    def holdings(self) -> Holdings:
        holdings: Holdings = self.runtime.holdings
        return holdings

    @rpc_method(argument=ImportMails, result=ImportedMails, roles=USERS, scope="write")
    def import_mails(self, call: Call) -> ImportedMails:
        """Take in a batch of mails as they are. The same mail twice changes nothing."""
        account = account_of(call)

        def ask(command: TakeIn) -> TakenIn:
            answer: TakenIn = self.runtime.client.call(
                "contacts", "take_in", command, account=account, timeout_seconds=IMPORT_SECONDS, repeatable=True,
                result_type=TakenIn,
            )  # fmt: skip
            return answer

        return handlers.import_mails(self.store, self.runtime.blobs, account, actor_of(call), call.argument, ask)

    @rpc_method(argument=KnownSources, result=KnownSourcesAnswer, roles=USERS, scope="read")
    def known_sources(self, call: Call) -> KnownSourcesAnswer:
        """Which mails are in already, by the digest of their bytes."""
        with self.store.work(account_of(call)) as work:
            return KnownSourcesAnswer(known=MailIndex(work).known_sources(call.argument.digests))

    @rpc_method(argument=ListTickets, result=TicketPage, roles=READERS, scope="read")
    def list_tickets(self, call: Call) -> TicketPage:
        """A page of tickets."""
        page = queries.list_tickets(self.store, account_of(call), call.argument, self._spellings(call))
        self.note_read(call, "list_tickets", shown_in_page(page))
        return page

    @rpc_method(argument=ShowTicket, result=TicketWithMessages, roles=READERS, scope="read")
    def show_ticket(self, call: Call) -> TicketWithMessages:
        """A ticket with its messages."""
        found = queries.show_ticket(self.store, account_of(call), call.argument, self._spellings(call))
        self.note_read(call, "show_ticket", shown_in_ticket(found))
        return found

    @rpc_method(argument=SearchTickets, result=SearchHits, roles=READERS, scope="read")
    def search_tickets(self, call: Call) -> SearchHits:
        """Messages that hold all of the words."""
        hits, shown = queries.search(self.store, account_of(call), call.argument, self._spellings(call))
        self.note_read(call, "search_tickets", shown)
        return hits

    @rpc_method(argument=MessagesOf, result=MessagePage, roles=READERS, scope="read")
    def messages_of(self, call: Call) -> MessagePage:
        """All messages that belong to a person."""
        page = queries.messages_of(self.store, account_of(call), call.argument, self._spellings(call))
        self.note_read(call, "messages_of", shown_of_person(call.argument.person_id, page), "data access")
        return page

    @rpc_method(argument=ShowAttachment, result=AttachmentContent, roles=READERS, scope="read")
    def show_attachment(self, call: Call) -> AttachmentContent:
        """An attachment's name, type and bytes."""
        content, shown = queries.show_attachment(
            self.store, self.runtime.blobs, account_of(call), call.argument, self._spellings(call)
        )
        self.note_read(call, "show_attachment", shown)
        return content

    @rpc_method(argument=ListPutAside, result=PutAsideList, roles=READERS, scope="read")
    def list_put_aside(self, call: Call) -> PutAsideList:
        """The mails that could not be parsed at all, with the reason."""
        page = queries.list_put_aside(self.store, account_of(call), call.argument)
        self.note_read(call, "list_put_aside", Shown([], []))
        return page

    @rpc_method(argument=ShowPutAside, result=PutAsideView, roles=READERS, scope="read")
    def show_put_aside(self, call: Call) -> PutAsideView:
        """One mail that could not be parsed at all."""
        shown = queries.show_put_aside(self.store, account_of(call), call.argument)
        self.note_read(call, "show_put_aside", Shown([], []))
        return shown

    @rpc_method(argument=ListOwnTickets, result=OwnTicketPage, roles=CUSTOMERS, scope="read")
    def list_own_tickets(self, call: Call) -> OwnTicketPage:
        """A page of the customer's own tickets."""
        return own_tickets.list_own_tickets(
            self.store, account_of(call), call.actor.id, call.argument, self._spellings(call)
        )

    @rpc_method(argument=ShowTicket, result=OwnTicketWithMessages, roles=CUSTOMERS, scope="read")
    def show_own_ticket(self, call: Call) -> OwnTicketWithMessages:
        """A ticket of the customer's own, with the messages that they may see."""
        return own_tickets.show_own_ticket(
            self.store, account_of(call), call.actor.id, call.argument, self._spellings(call)
        )

    @rpc_method(argument=ShowAttachment, result=AttachmentContent, roles=CUSTOMERS, scope="read")
    def show_own_attachment(self, call: Call) -> AttachmentContent:
        """An attachment of a message that the customer may see."""
        content, _ = queries.show_attachment(
            self.store, self.runtime.blobs, account_of(call), call.argument, self._spellings(call), call.actor.id
        )
        return content

    def _spellings(self, call: Call) -> Callable[[RenderSpellings], RenderedSpellings]:
        account = account_of(call)

        def ask(query: RenderSpellings) -> RenderedSpellings:
            if not query.spelling_ids:
                return RenderedSpellings(texts=[])
            answer: RenderedSpellings = self.runtime.client.call(
                "contacts", "render_spellings", query, account=account, repeatable=True, result_type=RenderedSpellings
            )
            return answer

        return ask
