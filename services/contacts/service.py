"""The contacts service: who writes to the account. RPC methods and reactions, nothing else; the work is in `handlers.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.contacts import handlers, queries
from services.contacts.commands import (
    AddedThing,
    AddMailbox,
    AddOrganisation,
    AddUserPerson,
    FindSubjects,
    ListPersons,
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
from shared.resolving import (
    CheckSuppressed,
    IdentifierToCheck,
    MailToCheck,
    RenderedSpellings,
    RenderSpellings,
    SuppressedAnswer,
    TakeIn,
    TakenIn,
    TextSeen,
)
from shared.rpc import Call, rpc_method
from shared.service import OPERATORS, SERVICES_ONLY, USERS, Runtime, Service, account_of, actor_of

ADMINS = frozenset({"owner", "admin"}) | OPERATORS


class ContactsService(Service):
    """Persons, organisations, and the identifiers by which they are known."""

    name = "contacts"
    runtime = Runtime(TYPES, project)

    @property
    def holdings(self) -> Holdings:
        return HOLDINGS

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

    @rpc_method(argument=ListPersons, result=PersonPage, roles=USERS, scope="read")
    def list_persons(self, call: Call) -> PersonPage:
        """A page of persons, by name or address if asked."""
        return queries.list_persons(self.store, account_of(call), call.argument)

    @rpc_method(argument=ShowPerson, result=PersonView, roles=USERS | SERVICES_ONLY, scope="read")
    def show_person(self, call: Call) -> PersonView:
        """One person, by id or address."""
        return queries.show_person(self.store, account_of(call), call.argument)

    @rpc_method(argument=AddMailbox, result=AddedThing, roles=ADMINS, scope="manage")
    def add_mailbox(self, call: Call) -> AddedThing:
        """An address of the account's own."""
        return handlers.add_mailbox(self.store, account_of(call), actor_of(call), call.argument)

    @rpc_method(argument=AddOrganisation, result=AddedThing, roles=USERS, scope="write")
    def add_organisation(self, call: Call) -> AddedThing:
        """An organisation: a contact, but no data subject."""
        return handlers.add_organisation(self.store, account_of(call), actor_of(call), call.argument)
