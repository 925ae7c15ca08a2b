"""The erasure service: the request and its protocol. RPC methods, reactions and a timer, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from nameko.timer import timer

from services.erasure import handlers, hold_handlers, hold_queries, queries, suppression
from services.erasure.commands import (
    AccountKept,
    CertificateDocument,
    ClaimedErasure,
    ClaimErasure,
    Done,
    ErasureList,
    ErasureView,
    HoldList,
    HoldView,
    ListErasures,
    ListHolds,
    ListOwnErasures,
    OfHold,
    PlacedHold,
    PlaceHold,
    PreviewedErasure,
    PreviewErasure,
    PreviewOfService,
    RequestedErasure,
    RequestErasure,
    RequestOwnErasure,
    ShowErasure,
)
from services.erasure.events import TYPES, AskedBy
from services.erasure.handlers import ProbeResult
from services.erasure.holdings import HOLDINGS
from services.erasure.participants import participants
from services.erasure.projections import project
from shared.bus import reaction
from shared.erasing import Holdings
from shared.errors import LetheError, NotFound, PermissionRefused
from shared.events import Envelope
from shared.ids import Id, new_id
from shared.item_cuts import finish_cut
from shared.logs import get_logger
from shared.resolving import CheckSuppressed, Suppress, SuppressedAnswer
from shared.rpc import Call, rpc_method
from shared.service import (
    CUSTOMERS,
    MANAGERS,
    SERVICES_ONLY,
    USERS,
    Preview,
    Runtime,
    Service,
    SubjectQuery,
    account_of,
    actor_of,
)
from shared.suppression_files import SuppressionFiles, TakenBack

log = get_logger("lethe.erasure")

PROBE_SECONDS = 10.0
LOOK_EVERY_SECONDS = 2
_BELOW = {"owner": frozenset({"owner", "admin", "agent"}), "admin": frozenset({"agent"})}
"""Whose erasure a role may ask for, among those who work for the account."""
OWN_WISH = "asked for by the person"
"""The reason that stands in a request of a customer who gave none."""


class Subjects(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts' answer to whom a request means."""

    person_ids: list[Id]
    addresses: list[str]


class UserAmong(msgspec.Struct, frozen=True, kw_only=True):
    """A user among the persons of a request."""

    person_id: Id
    role: Literal["owner", "admin", "agent"]


class UsersAmong(msgspec.Struct, frozen=True, kw_only=True):
    """Identity's answer to which persons are users, or were."""

    users: list[UserAmong]


class ErasureService(Service):
    """Requests, receipts, certificates, and the suppression list."""

    name = "erasure"
    runtime = Runtime(TYPES, project)

    def end_hold_again(self, account_id: str, hold_id: str) -> None:
        hold_handlers.end_hold_again(self.store, account_id, hold_id)

    def take_back(self) -> TakenBack:
        return suppression.take_back(self.store)

    def tidy_account(self, account_id: str) -> None:
        """The suppression list outside of the database goes as well."""
        SuppressionFiles(self.store.settings).remove(account_id)

    @property
    def holdings(self) -> Holdings:
        return HOLDINGS

    @rpc_method(argument=RequestErasure, result=RequestedErasure, roles=USERS, scope="write")
    def request_erasure(self, call: Call) -> RequestedErasure:
        """Erase a person everywhere. Returns at once; the progress is in `show_erasure`."""
        return self._request(call, call.argument, "user")

    @rpc_method(argument=RequestOwnErasure, result=RequestedErasure, roles=CUSTOMERS)
    def request_own_erasure(self, call: Call) -> RequestedErasure:
        """Erase the customer who asks, everywhere. The same in effect as if the account had been asked to (mission E2)."""
        return self._request(call, RequestErasure(who=call.actor.id, reason=call.argument.reason or OWN_WISH), "customer")

    @rpc_method(argument=ListOwnErasures, result=ErasureList, roles=CUSTOMERS, scope="read")
    def list_own_erasures(self, call: Call) -> ErasureList:
        """The customer's own requests."""
        return queries.list_own_erasures(self.store, account_of(call), call.actor.id)

    @rpc_method(argument=ClaimErasure, result=ClaimedErasure, roles=SERVICES_ONLY, scope="read")
    def claim_erasure(self, call: Call) -> ClaimedErasure:
        """What became of a request, by its claim code: for the gateway, on behalf of whoever has the code."""
        return queries.claim_erasure(self.store, account_of(call), call.argument)

    @rpc_method(argument=PreviewErasure, result=PreviewedErasure, roles=USERS, scope="read")
    def preview_erasure(self, call: Call) -> PreviewedErasure:
        """What an erasure would remove, and what it would keep and why. Changes nothing."""
        found = self._subjects(account_of(call), call.argument.who, call.argument.addresses)
        query = SubjectQuery(request_id=new_id(), person_ids=found.person_ids, addresses=found.addresses)
        futures = {
            service: self.runtime.client.call_async(
                service, "preview_subject", query, account=account_of(call), repeatable=True, result_type=Preview
            )
            for service in participants()
        }
        answers = {service: future.result() for service, future in futures.items()}
        return PreviewedErasure(
            person_ids=found.person_ids,
            holds=hold_queries.preview_holds(self.store, account_of(call), found.person_ids),
            services=[
                PreviewOfService(service=service, counts=one.counts, retained=one.retained)
                for service, one in answers.items()
            ],
        )

    @rpc_method(argument=ShowErasure, result=ErasureView, roles=USERS, scope="read")
    def show_erasure(self, call: Call) -> ErasureView:
        """Where a request stands, participant by participant."""
        return queries.show_erasure(self.store, account_of(call), call.argument)

    @rpc_method(argument=ListErasures, result=ErasureList, roles=USERS, scope="read")
    def list_erasures(self, call: Call) -> ErasureList:
        """The newest requests."""
        return queries.list_erasures(self.store, account_of(call), call.argument)

    @rpc_method(argument=ShowErasure, result=Done, roles=USERS, scope="write")
    def retry_erasure(self, call: Call) -> Done:
        """Tell the participants of an incomplete request once more."""
        handlers.retry_erasure(self.store, account_of(call), actor_of(call), call.argument.request_id)
        return Done()

    @rpc_method(argument=ShowErasure, result=CertificateDocument, roles=USERS, scope="read")
    def show_certificate(self, call: Call) -> CertificateDocument:
        """The signed certificate of a completed request."""
        return queries.show_certificate(self.store, account_of(call), call.argument)

    @rpc_method(argument=PlaceHold, result=PlacedHold, roles=MANAGERS)
    def place_hold(self, call: Call) -> PlacedHold:
        """Keep a person from being erased, on a basis of Art. 17(3), until a day. Requests for their erasure wait so long."""
        who = (self.store, account_of(call), actor_of(call), call.idempotency_key, call.argument)
        done = hold_handlers.placed_before(*who)
        if done is not None:
            return done
        found = self._subjects(account_of(call), call.argument.who, call.argument.addresses)
        return hold_handlers.place_hold(*who, found.person_ids)

    @rpc_method(argument=OfHold, result=HoldView, roles=MANAGERS)
    def release_hold(self, call: Call) -> HoldView:
        """End a hold before its time. The requests that waited for it go on by themselves."""
        return hold_handlers.release_hold(self.store, account_of(call), actor_of(call), call.argument, self._known_now)

    @rpc_method(argument=OfHold, result=HoldView, roles=MANAGERS, scope="read")
    def show_hold(self, call: Call) -> HoldView:
        """One hold, and the requests that wait for it."""
        return hold_queries.show_hold(self.store, account_of(call), call.argument)

    @rpc_method(argument=ListHolds, result=HoldList, roles=MANAGERS, scope="read")
    def list_holds(self, call: Call) -> HoldList:
        """The holds in force, or all that ever were; the newest first."""
        return hold_queries.list_holds(self.store, account_of(call), call.argument)

    @rpc_method(result=AccountKept, roles=SERVICES_ONLY, scope="read")
    def what_keeps_account(self, call: Call) -> AccountKept:
        """How many holds and open requests there are: for lifecycle, before an account ends."""
        return hold_queries.what_keeps_account(self.store, account_of(call))

    @rpc_method(argument=Suppress, result=Done, roles=SERVICES_ONLY, scope="write")
    def suppress(self, call: Call) -> Done:
        """Put mails of a request's persons on the suppression list."""
        suppression.suppress(self.store, account_of(call), call.argument)
        return Done()

    @rpc_method(argument=CheckSuppressed, result=SuppressedAnswer, roles=SERVICES_ONLY, scope="read")
    def check_suppressed(self, call: Call) -> SuppressedAnswer:
        """Which of these mails and identifiers belonged to somebody who was erased."""
        return suppression.check(self.store, account_of(call), call.argument)

    @reaction("contacts.ErasureReceipted")
    def on_contacts_receipt(self, envelope: Envelope) -> None:
        self._take_receipt(envelope)

    @reaction("erasure.ErasureReceipted")
    def on_erasure_receipt(self, envelope: Envelope) -> None:
        self._take_receipt(envelope)

    @reaction("identity.ErasureReceipted")
    def on_identity_receipt(self, envelope: Envelope) -> None:
        self._take_receipt(envelope)

    @reaction("lifecycle.ErasureReceipted")
    def on_lifecycle_receipt(self, envelope: Envelope) -> None:
        self._take_receipt(envelope)

    @reaction("tickets.ErasureReceipted")
    def on_tickets_receipt(self, envelope: Envelope) -> None:
        self._take_receipt(envelope)

    @reaction("erasure.ErasureCompleted")
    def on_completed(self, envelope: Envelope) -> None:
        """Journals the cut of what the request itself knew of the person, and removes its ciphertext."""
        finish_cut(self.store, envelope, str(envelope.data["request_id"]))

    @reaction("erasure.HoldEnded")
    def on_hold_ended(self, envelope: Envelope) -> None:
        """The hold keeps nobody here any more, and its reference goes."""
        super().on_hold_ended(envelope)
        finish_cut(self.store, envelope, str(envelope.data["hold_id"]))

    @reaction("contacts.PersonsHeld")
    def on_contacts_held(self, envelope: Envelope) -> None:
        hold_handlers.take_note(self.store, envelope)

    @reaction("erasure.PersonsHeld")
    def on_erasure_held(self, envelope: Envelope) -> None:
        hold_handlers.take_note(self.store, envelope)

    @reaction("identity.PersonsHeld")
    def on_identity_held(self, envelope: Envelope) -> None:
        hold_handlers.take_note(self.store, envelope)

    @reaction("lifecycle.PersonsHeld")
    def on_lifecycle_held(self, envelope: Envelope) -> None:
        hold_handlers.take_note(self.store, envelope)

    @reaction("tickets.PersonsHeld")
    def on_tickets_held(self, envelope: Envelope) -> None:
        hold_handlers.take_note(self.store, envelope)

    @timer(interval=LOOK_EVERY_SECONDS)  # type: ignore[untyped-decorator]
    def look_after_requests(self) -> None:
        """Looks at requests that did not complete by themselves: a participant was down, or this process was."""
        for account, request in handlers.due_requests(self.store):
            try:
                self._complete(account, request)
            except LetheError as error:  # one that can't be looked at keeps no other
                log.warning("a request could not be looked at", account=account, stream=f"erasure/{request}", error=error)

    @timer(interval=LOOK_EVERY_SECONDS)  # type: ignore[untyped-decorator]
    def end_expired_holds(self) -> None:
        """Ends holds whose time is over."""
        hold_handlers.end_expired_holds(self.store, self._known_now)

    def _known_now(self, account: str, persons: Sequence[str]) -> list[str]:
        """The identifiers of persons as contacts knows them now; of who is gone there, none."""
        known: set[str] = set()
        for person in persons:
            try:
                known |= set(self._subjects(account, person, ()).addresses)
            except NotFound:
                continue
        return sorted(known)

    def _take_receipt(self, envelope: Envelope) -> None:
        if handlers.take_receipt(self.store, envelope):
            self._complete(envelope.account, str(envelope.data["request_id"]))

    def _complete(self, account: str, request: str) -> None:
        def probe(request_id: str, persons: Sequence[str], addresses: Sequence[str]) -> Mapping[str, ProbeResult | None]:
            query = SubjectQuery(request_id=request_id, person_ids=list(persons), addresses=list(addresses))
            futures = {
                service: self.runtime.client.call_async(
                    service, "probe_subject", query, account=account, timeout_seconds=PROBE_SECONDS, repeatable=True,
                    result_type=ProbeResult,
                )
                for service in participants()
            }  # fmt: skip
            return {service: _answer(future) for service, future in futures.items()}

        handlers.complete(self.store, account, request, probe)

    def _request(self, call: Call, command: RequestErasure, asked_by: AskedBy) -> RequestedErasure:
        who = (self.store, account_of(call), actor_of(call), call.idempotency_key, command)
        done = handlers.requested_before(*who)
        if done is not None:
            return done
        found = self._subjects(account_of(call), command.who, command.addresses)
        self._check_may_erase(call, found)
        return handlers.request_erasure(*who, asked_by, found.person_ids, found.addresses)

    def _check_may_erase(self, call: Call, found: Subjects) -> None:
        """Anybody who works for the account may erase an end user (mission E1), and end users themselves (E2). Somebody who
        works or worked for the account is erased by those above them, an owner by an owner (E5), and with a token that may
        manage users; so nobody ends that through the portal."""
        answer: UsersAmong = self.runtime.client.call(
            "identity", "users_of_persons", {"person_ids": found.person_ids}, account=account_of(call), repeatable=True,
            result_type=UsersAmong,
        )  # fmt: skip
        if not answer.users:
            return
        below = _BELOW.get(call.actor.role, frozenset())
        if not {one.role for one in answer.users} <= below:
            raise PermissionRefused("Somebody who works or worked for the account is erased by those above them only.")
        if call.actor.scope != "manage":
            raise PermissionRefused("Erasing a user needs a token of the scope manage.", scope="manage")

    def _subjects(self, account: str, who: str, addresses: Sequence[str]) -> Subjects:
        found: Subjects = self.runtime.client.call(
            "contacts", "find_subjects", {"who": who, "addresses": list(addresses)}, account=account,
            repeatable=True, result_type=Subjects,
        )  # fmt: skip
        return found


def _answer(future: object) -> ProbeResult | None:
    try:
        answer: ProbeResult = future.result()  # type: ignore[attr-defined]
    except LetheError:
        return None
    return answer
