"""The contacts service: who writes to the account. RPC methods and reactions, nothing else; the work is in `handlers.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from services.contacts import handlers, queries
from services.contacts.commands import (
    AddedThing,
    AddMailbox,
    AddOrganisation,
    AddUserPerson,
    FindSubjects,
    ListPersons,
    PersonOfAddress,
    PersonOfAddressAnswer,
    PersonPage,
    PersonView,
    ShowPerson,
    SubjectsFound,
)
from services.contacts.events import TYPES
from services.contacts.holdings import HOLDINGS
from services.contacts.person import Key, KnownIdentifier, Suppressed, parties
from services.contacts.projections import project
from shared.erasing import Holdings
from shared.errors import NotFound, PersonErased
from shared.read_records import Shown
from shared.resolving import (
    CheckSuppressed,
    IdentifierToCheck,
    MailToCheck,
    RenderedSpellings,
    RenderSpellings,
    Suppress,
    SuppressedAnswer,
    TakeIn,
    TakenIn,
    TextSeen,
)
from shared.rpc import Call, rpc_method
from shared.service import (
    CUSTOMERS,
    OPERATORS,
    READERS,
    SERVICES_ONLY,
    USERS,
    RecordingService,
    Runtime,
    account_of,
    actor_of,
)

ADMINS = frozenset({"owner", "admin"}) | OPERATORS


IDENTIFIERS_AT_ONCE: Final = 1_000


class ContactsService(RecordingService):
    """Persons, organisations, and the identifiers by which they are known."""

    name = "contacts"
    runtime = Runtime(TYPES, project)

    @property
    def holdings(self) -> Holdings:
        return HOLDINGS

    def tell_before_cut_again(self, account_id: str, request_id: str, cut_at: dict[str, datetime]) -> None:
        """The persons' identifiers go on the suppression list, which a request for their erasure had put them on."""
        for person, at in cut_at.items():
            try:
                known = handlers.find_subjects(self.store, account_id, FindSubjects(who=person)).addresses
            except (NotFound, PersonErased):
                known = []  # whom this copy never knew, or knows as cut
            for first in range(0, len(known), IDENTIFIERS_AT_ONCE):
                command = Suppress(
                    request_id=request_id, mails=[], identifiers=known[first : first + IDENTIFIERS_AT_ONCE], cut_at=at
                )
                self.runtime.client.call("erasure", "suppress", command, account=account_id, repeatable=True)

    @rpc_method(argument=TakeIn, result=TakenIn, roles=SERVICES_ONLY, scope="write")
    def take_in(self, call: Call) -> TakenIn:
        """Resolve the identifiers of a batch of texts to persons, adding whoever is new."""
        account = account_of(call)

        def check(
            texts: Sequence[TextSeen], keys: Sequence[Key], known: Mapping[Key, KnownIdentifier]
        ) -> Suppressed:
            answer = self.runtime.client.call(
                "erasure",
                "check_suppressed",
                CheckSuppressed(
                    mails=[
                        MailToCheck(
                            message_key=one.message_key,
                            content_digest=one.content_digest,
                            senders=parties(one, known),
                        )
                        for one in texts
                    ],
                    identifiers=[IdentifierToCheck(kind=kind, address=address) for kind, address in keys],
                ),
                account=account,
                repeatable=True,
                result_type=SuppressedAnswer,
            )
            days = {key: day for key, day in zip(keys, answer.identifiers, strict=True) if day is not None}
            return Suppressed(mails=answer.mails, days=days)

        return handlers.take_in(self.store, account, actor_of(call), call.argument, check)

    @rpc_method(argument=RenderSpellings, result=RenderedSpellings, roles=SERVICES_ONLY, scope="read")
    def render_spellings(self, call: Call) -> RenderedSpellings:
        """The texts of references."""
        return queries.render_spellings(self.store, account_of(call), call.argument)

    @rpc_method(argument=FindSubjects, result=SubjectsFound, roles=SERVICES_ONLY, scope="read")
    def find_subjects(self, call: Call) -> SubjectsFound:
        """The persons whom a request for erasure means, with all their identifiers."""
        return handlers.find_subjects(self.store, account_of(call), call.argument)

    @rpc_method(argument=AddUserPerson, result=AddedThing, roles=SERVICES_ONLY, scope="write")
    def add_user_person(self, call: Call) -> AddedThing:
        """The person behind a user of the account."""
        return handlers.add_user_person(self.store, account_of(call), actor_of(call), call.argument)

    @rpc_method(argument=ListPersons, result=PersonPage, roles=READERS, scope="read")
    def list_persons(self, call: Call) -> PersonPage:
        """A page of persons, by name or address if asked."""
        page = queries.list_persons(self.store, account_of(call), call.argument)
        self.note_read(call, "list_persons", Shown([one.person_id for one in page.persons], []))
        return page

    @rpc_method(argument=ShowPerson, result=PersonView, roles=READERS | SERVICES_ONLY, scope="read")
    def show_person(self, call: Call) -> PersonView:
        """One person, by id or address."""
        try:
            found = queries.show_person(self.store, account_of(call), call.argument)
        except NotFound:
            self.note_read(call, "show_person", Shown([], []))  # that an address is nobody's is an answer as well
            raise
        self.note_read(call, "show_person", Shown([found.person_id], []))
        return found

    @rpc_method(argument=PersonOfAddress, result=PersonOfAddressAnswer, roles=SERVICES_ONLY, scope="read")
    def person_of_address(self, call: Call) -> PersonOfAddressAnswer:
        """The one person whose an address is, for the portal's sign-in."""
        return queries.person_of_address(self.store, account_of(call), call.argument)

    @rpc_method(result=PersonView, roles=CUSTOMERS, scope="read")
    def show_own_profile(self, call: Call) -> PersonView:
        """The customer's own profile."""
        return queries.show_person(self.store, account_of(call), ShowPerson(who=call.actor.id))

    @rpc_method(argument=AddMailbox, result=AddedThing, roles=ADMINS, scope="manage")
    def add_mailbox(self, call: Call) -> AddedThing:
        """An address of the account's own."""
        return handlers.add_mailbox(self.store, account_of(call), actor_of(call), call.argument)

    @rpc_method(argument=AddOrganisation, result=AddedThing, roles=USERS, scope="write")
    def add_organisation(self, call: Call) -> AddedThing:
        """An organisation: a contact, but no data subject."""
        return handlers.add_organisation(self.store, account_of(call), actor_of(call), call.argument)
