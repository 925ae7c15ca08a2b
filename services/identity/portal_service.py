"""The part of the identity service that customers and their apps meet. RPC methods, nothing else; `service.py` is made of it.

Customers are called by who they are: no method takes a person, the actor is the person. What nobody has signed in for yet is
for the gateway, as a service. An app acts with the scope that it was granted; what is about credentials, consent and erasure
needs the customer's own session ("manage").
"""

from __future__ import annotations

import msgspec

from services.identity import app_handlers, customer_queries, saved_search_handlers, sign_in_handlers, told_reads
from services.identity.commands import Done
from services.identity.portal_commands import (
    AddSavedSearch,
    AnswerApp,
    AppAnswered,
    AppConsent,
    AppGrantList,
    AppList,
    AppRequest,
    AppView,
    AskSignInLink,
    CustomerView,
    EndOwnAppGrant,
    EndOwnSession,
    EndOwnSessions,
    IssueAppTokens,
    OAuthAnswer,
    PortalSessionList,
    PortalSignIn,
    RegisterApp,
    RemoveApp,
    RemoveSavedSearch,
    RevokeAppToken,
    SavedSearchList,
    SavedSearchView,
    SetPortalPassword,
    ShowCustomer,
    SignInByLink,
    SignInByPassword,
    ToldReadPage,
    ToldReadQuery,
    ToldReadsOfPerson,
    TypedAddress,
)
from services.identity.sign_in_handlers import FindPerson, PersonOfAddress
from shared.ids import Id
from shared.person_reads import PersonReads, ReadsOfPerson, reads_of_person
from shared.read_records import Shown
from shared.rpc import Call, rpc_method
from shared.service import CUSTOMERS, SERVICES_ONLY, USERS, RecordingService, account_of, actor_of

_MANAGERS = frozenset({"owner", "admin"})


class WhoseAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts' answer to whose an address is."""

    person_id: Id | None
    address: TypedAddress | None


class PortalMethods(RecordingService):
    """Signing in, sessions, saved searches, and apps that act for customers."""

    @rpc_method(argument=AskSignInLink, result=Done, roles=SERVICES_ONLY, scope="write")
    def ask_sign_in_link(self, call: Call) -> Done:
        """Mail a one-time link to whose address it is. The answer is the same where it is nobody's."""
        account = account_of(call)
        return sign_in_handlers.ask_sign_in_link(self.store, account, call.argument, self._find_person(account))

    @rpc_method(argument=SignInByLink, result=PortalSignIn, roles=SERVICES_ONLY, scope="write")
    def sign_in_by_link(self, call: Call) -> PortalSignIn:
        """A customer's session for the token of a link, once."""
        return sign_in_handlers.sign_in_by_link(self.store, account_of(call), call.argument)

    @rpc_method(argument=SignInByPassword, result=PortalSignIn, roles=SERVICES_ONLY, scope="write")
    def sign_in_by_password(self, call: Call) -> PortalSignIn:
        """A customer's session for address and password."""
        account = account_of(call)
        return sign_in_handlers.sign_in_by_password(self.store, account, call.argument, self._find_person(account))

    @rpc_method(argument=SetPortalPassword, result=Done, roles=CUSTOMERS, scope="manage")
    def set_portal_password(self, call: Call) -> Done:
        """A password of one's own. All one's sessions end."""
        return sign_in_handlers.set_portal_password(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(result=PortalSessionList, roles=CUSTOMERS, scope="read")
    def list_own_sessions(self, call: Call) -> PortalSessionList:
        """One's own sessions that are good."""
        return customer_queries.list_own_sessions(self.store, account_of(call), call.actor.id)

    @rpc_method(argument=EndOwnSession, result=Done, roles=CUSTOMERS, scope="manage")
    def end_own_session(self, call: Call) -> Done:
        """Sign out."""
        return sign_in_handlers.end_own_session(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(argument=EndOwnSessions, result=Done, roles=CUSTOMERS, scope="manage")
    def end_own_sessions(self, call: Call) -> Done:
        """Sign out everywhere, or everywhere else."""
        return sign_in_handlers.end_own_sessions(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(argument=AddSavedSearch, result=SavedSearchView, roles=CUSTOMERS, scope="write")
    def add_saved_search(self, call: Call) -> SavedSearchView:
        """Keep a search."""
        return saved_search_handlers.add_saved_search(
            self.store, account_of(call), call.actor.id, call.argument, call.idempotency_key
        )

    @rpc_method(result=SavedSearchList, roles=CUSTOMERS, scope="read")
    def list_saved_searches(self, call: Call) -> SavedSearchList:
        """One's own saved searches."""
        return saved_search_handlers.list_saved_searches(self.store, account_of(call), call.actor.id)

    @rpc_method(argument=RemoveSavedSearch, result=Done, roles=CUSTOMERS, scope="write")
    def remove_saved_search(self, call: Call) -> Done:
        """Forget a saved search for good."""
        return saved_search_handlers.remove_saved_search(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(argument=RegisterApp, result=AppView, roles=_MANAGERS, scope="manage")
    def register_app(self, call: Call) -> AppView:
        """Let a program ask customers to act for them: a public client of OAuth 2."""
        return app_handlers.register_app(self.store, account_of(call), actor_of(call), call.argument, call.idempotency_key)

    @rpc_method(result=AppList, roles=_MANAGERS, scope="read")
    def list_apps(self, call: Call) -> AppList:
        """The account's apps."""
        return app_handlers.list_apps(self.store, account_of(call))

    @rpc_method(argument=RemoveApp, result=Done, roles=_MANAGERS, scope="manage")
    def remove_app(self, call: Call) -> Done:
        """Take an app away, with all that customers granted it."""
        return app_handlers.remove_app(self.store, account_of(call), actor_of(call), call.argument)

    @rpc_method(argument=AppRequest, result=AppConsent, roles=CUSTOMERS, scope="read")
    def show_app_request(self, call: Call) -> AppConsent:
        """What an app asks the customer for. Nothing happens."""
        return app_handlers.show_app_request(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(argument=AnswerApp, result=AppAnswered, roles=CUSTOMERS, scope="manage")
    def answer_app(self, call: Call) -> AppAnswered:
        """Let an app act for the customer, or not: where to send the browser."""
        return app_handlers.answer_app(
            self.store, account_of(call), call.actor.id, call.argument, call.idempotency_key
        )

    @rpc_method(argument=IssueAppTokens, result=OAuthAnswer, roles=SERVICES_ONLY, scope="write")
    def issue_app_tokens(self, call: Call) -> OAuthAnswer:
        """The token endpoint of OAuth 2."""
        return app_handlers.issue_app_tokens(self.store, account_of(call), call.argument)

    @rpc_method(argument=RevokeAppToken, result=OAuthAnswer, roles=SERVICES_ONLY, scope="write")
    def revoke_app_token(self, call: Call) -> OAuthAnswer:
        """The revocation endpoint of OAuth 2."""
        return app_handlers.revoke_app_token(self.store, account_of(call), call.argument)

    @rpc_method(result=AppGrantList, roles=CUSTOMERS, scope="read")
    def list_own_app_grants(self, call: Call) -> AppGrantList:
        """What one lets which app do."""
        return app_handlers.list_own_app_grants(self.store, account_of(call), call.actor.id)

    @rpc_method(argument=EndOwnAppGrant, result=Done, roles=CUSTOMERS, scope="manage")
    def end_own_app_grant(self, call: Call) -> Done:
        """Let an app act for one no longer."""
        return app_handlers.end_own_app_grant(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(argument=ShowCustomer, result=CustomerView, roles=USERS, scope="read")
    def show_customer(self, call: Call) -> CustomerView:
        """What a person has in the portal, for their right of access."""
        found = customer_queries.show_customer(self.store, account_of(call), call.argument)
        has_any = found.since is not None or found.sessions or found.saved_searches or found.app_grants
        self.note_read(call, "show_customer", Shown([call.argument.person_id] if has_any else [], []), "data access")
        return found

    @rpc_method(argument=ToldReadQuery, result=ToldReadPage, roles=CUSTOMERS, scope="read")
    def list_own_reads(self, call: Call) -> ToldReadPage:
        """Who was shown something of the customer, when, in which role and for what (GDPR Art. 15)."""
        account = account_of(call)
        return told_reads.list_told_reads(self.store, account, call.actor.id, call.argument, self._ask_for_reads(account))

    @rpc_method(argument=ToldReadsOfPerson, result=ToldReadPage, roles=USERS, scope="read")
    def list_told_reads(self, call: Call) -> ToldReadPage:
        """What `list_own_reads` tells a customer, of any person, for their right of access. No reader is named in it."""
        asked: ToldReadsOfPerson = call.argument
        account, query = account_of(call), ToldReadQuery(after=asked.after, limit=asked.limit)
        found = told_reads.list_told_reads(self.store, account, asked.person_id, query, self._ask_for_reads(account))
        self.note_read(call, "list_told_reads", Shown([asked.person_id] if found.reads else [], []), "data access")
        return found

    def _ask_for_reads(self, account: str) -> told_reads.Ask:
        def ask(service: str, query: ReadsOfPerson) -> PersonReads:
            if service == self.name:
                return reads_of_person(self.store, account, query)
            answer: PersonReads = self.runtime.client.call(
                service, "reads_of_person", query, account=account, repeatable=True, result_type=PersonReads
            )
            return answer

        return ask

    def _find_person(self, account: str) -> FindPerson:
        def find_person(address: str) -> PersonOfAddress:
            whose: WhoseAddress = self.runtime.client.call(
                "contacts", "person_of_address", {"address": address}, account=account, repeatable=True,
                result_type=WhoseAddress,
            )  # fmt: skip
            return PersonOfAddress(whose.person_id, whose.address)

        return find_person
