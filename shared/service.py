"""What each `service.py` has in common: its store and client as a dependency, admission, and its part in every erasure.

A service class derives from `Service` (or from `CellService`, where nothing of accounts is in it), names its `Runtime`, and
declares its own RPC methods and reactions. Nothing here decides anything: it hands over to `erasing.py`, `admission.py`,
`account_states.py`, `actor_cutoffs.py` and the service's own handlers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

import msgspec
from nameko.extensions import DependencyProvider

from shared import account_states, actor_cutoffs, clock
from shared.account_end import end_account
from shared.account_states import KeepAccountState, KeptAccountState
from shared.admission import admit_customer, admit_user
from shared.bus import reaction
from shared.erasing import Count, Holdings, Retained, erase_subject, probe
from shared.errors import InvalidArgument, PermissionRefused
from shared.events import Envelope, EventTypes
from shared.ids import Id, new_id
from shared.legal_holds import note_end_of_hold, note_hold
from shared.person_reads import PersonReads, ReadsOfPerson, reads_of_person
from shared.personal import InTransit, NotPersonal
from shared.read_buffer import ReadBuffer
from shared.read_listing import ListReads, ReadPage, list_reads
from shared.read_records import Read, ReadPurpose, ReadsRecorded, Shown
from shared.receipts import ReceiptProof, receipt_proof
from shared.rpc import Call, rpc_method
from shared.rpc_client import RpcClient
from shared.settings import Settings
from shared.staff_lookups import STAFF, ListStaffLookups, StaffLookupPage, list_lookups, record_lookup
from shared.suppression_files import TakenBack
from shared.tokens import OF_AN_ACCOUNT, TokenIssuer, TokenSource, service_actor
from shared.work import SYSTEM_ACTOR, Project, Store, Work

USERS = frozenset({"owner", "admin", "agent"})
CUSTOMERS = frozenset({"customer"})
SERVICES_ONLY = frozenset({"service"})
OPERATORS = frozenset({"operator"})
MANAGERS = frozenset({"owner", "admin"})
READERS = USERS | STAFF
"""Who may be shown an account's data: its users, and the vendor's staff under a grant."""

TOKEN_LIFE = timedelta(minutes=30)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class SubjectQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The persons of a request, and the addresses that erasure knows them by (sealed in transit)."""

    request_id: Id
    person_ids: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=1_000)]
    addresses: Annotated[list[Annotated[str, InTransit(category="e-mail")]], msgspec.Meta(max_length=5_000)] = []


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure would remove here, and what it would keep and why."""

    counts: dict[Annotated[str, NotPersonal("the name of a kind of row")], Count]
    retained: list[Retained]


class ProbeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of the persons here (empty when clean), and the receipt with its proof (None while it is not there)."""

    traces: dict[Annotated[str, NotPersonal("the name of a kind of row")], Count]
    receipt: ReceiptProof | None


class ServiceHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The service answers, and so does its database."""

    service: Annotated[str, NotPersonal("the name of a service")]


class Resources:
    """What a service's process holds: opened once, shared by its workers."""

    def __init__(self, types: EventTypes, project: Project) -> None:
        self.settings = Settings.load()
        self.store = Store(types, project, self.settings)
        issuer = TokenIssuer(types.service, self.settings.path("root-keys", types.service, "token.key"))
        token_source = TokenSource(issuer, service_actor(types.service), TOKEN_LIFE)
        self.client = RpcClient(self.settings.amqp_url, token_source)
        self.reads = ReadBuffer(self.store)


class Runtime(DependencyProvider):  # type: ignore[misc]
    """The nameko dependency that gives each worker the service's `Resources` (or what `build` makes of them)."""

    def __init__(self, types: EventTypes, project: Project, build: Callable[[Resources], Any] | None = None) -> None:
        self.types = types
        self.project = project
        self.build = build
        self.resources: Any = None

    def setup(self) -> None:
        resources = Resources(self.types, self.project)
        self._reads = resources.reads
        self.resources = self.build(resources) if self.build else resources

    def start(self) -> None:
        if ReadsRecorded in self.types.by_name.values():
            self.container.spawn_managed_thread(self._reads.run)

    def stop(self) -> None:
        """Called when the last worker has ended: what they noted is written before the process goes."""
        self._reads.stop()

    def get_dependency(self, worker_ctx: Any) -> Any:
        return self.resources


class CellService:
    """What every service has. Derive from it a service that holds nothing of accounts: `name` and `runtime` are its own."""

    name: ClassVar[str]
    runtime: Any

    @property
    def store(self) -> Store:
        store: Store = self.runtime.store
        return store

    def admit(self, call: Call, allow_suspended: bool) -> None:
        """Refuses what is no account's id. What is asked for here is the cell's, whichever account is named."""
        if call.account_id is not None and not _UUID.fullmatch(call.account_id):
            raise InvalidArgument(field="account", rule="an account's id")

    @rpc_method(result=ServiceHealth, roles=SERVICES_ONLY | OPERATORS, scope="read")
    def show_health(self, call: Call) -> ServiceHealth:
        """Whether this service can do its work. Says nothing about any account."""
        with self.store.work(new_id()) as work:
            work.fetch_one("SELECT 1")
        return ServiceHealth(service=self.name)


class Service(CellService):
    """A service that holds what belongs to accounts, and so takes part in suspensions and erasures. Derive from it: `holdings`
    is the service's own, too."""

    @property
    def holdings(self) -> Holdings:
        raise NotImplementedError

    def admit(self, call: Call, allow_suspended: bool) -> None:
        """Refuses users, staff and customers of a suspended account (mission L3), tokens from before their actor's rights
        changed, and customers who are erased here. Operators and services go on: erasures must finish."""
        super().admit(call, allow_suspended)
        if call.account_id is None:
            return
        if call.actor.kind in ("user", "staff"):
            admit_user(self.store, call.account_id, call.actor, allow_suspended)
        elif call.actor.kind == "customer":
            admit_customer(self.store, call.account_id, call.actor, allow_suspended)

    @rpc_method(argument=SubjectQuery, result=Preview, roles=SERVICES_ONLY, scope="read")
    def preview_subject(self, call: Call) -> Preview:
        """What an erasure of these persons would remove here (mission E12)."""
        with self.store.work(account_of(call)) as work:
            counts = {kind: count for kind, count in self.holdings.count(work, call.argument.person_ids).items() if count}
            return Preview(counts=counts, retained=self.holdings.retained(work, call.argument.person_ids))

    @rpc_method(argument=SubjectQuery, result=ProbeAnswer, roles=SERVICES_ONLY, scope="read")
    def probe_subject(self, call: Call) -> ProbeAnswer:
        """An independent look for the persons of a request after their erasure (mission E8)."""
        query: SubjectQuery = call.argument
        with self.store.work(account_of(call)) as work:
            traces = probe(self.holdings, work, query.request_id, query.person_ids, query.addresses)
            return ProbeAnswer(traces=traces, receipt=receipt_proof(self.store, work, query.request_id))

    @rpc_method(argument=KeepAccountState, result=KeptAccountState, roles=SERVICES_ONLY, scope="write")
    def keep_account_state(self, call: Call) -> KeptAccountState:
        """Close the account to its users, or open it, from this answer on. Lifecycle alone says so."""
        if call.actor.id != "lifecycle":
            raise PermissionRefused()
        told: KeepAccountState = call.argument
        return account_states.set_state(self.store, account_of(call), told.state, told.version)

    @reaction("erasure.SubjectErased")
    def on_subject_erased(self, envelope: Envelope) -> None:
        """Erases the persons of a request here, and gives the receipt."""
        erase_subject(self.store, self.holdings, envelope)

    @reaction("erasure.HoldPlaced")
    def on_hold_placed(self, envelope: Envelope) -> None:
        """Cuts nothing of these persons from now on."""
        note_hold(self.store, envelope)

    @reaction("erasure.HoldEnded")
    def on_hold_ended(self, envelope: Envelope) -> None:
        """The hold keeps nobody any more."""
        note_end_of_hold(self.store, envelope)

    @reaction("lifecycle.AccountEnded")
    def on_account_ended(self, envelope: Envelope) -> None:
        """Removes all that is stored of the account here, and gives the receipt."""
        end_account(self.store, envelope, self.tidy_account)

    def take_back(self) -> TakenBack:
        """Takes back what it keeps outside of its database, which has forgotten it. Repeatable."""
        return TakenBack()

    def tell_end_again(self, account_id: str) -> None:
        """Says of an account that ended what only this service says, where its database has forgotten it. Repeatable."""

    def end_logins(self, account_id: str) -> None:
        """Ends what may have been ended before, where the database has forgotten which. Repeatable."""

    def end_item_again(self, work: Work, item_id: str) -> None:
        """Ends what an item was the profile of, where the database has forgotten that it had ended. Then its key is cut."""

    def end_hold_again(self, account_id: str, hold_id: str) -> None:
        """Ends a legal hold, where the database has forgotten that it had ended. Repeatable."""

    def tell_before_cut_again(self, account_id: str, request_id: str, cut_at: dict[str, datetime]) -> None:
        """Tells elsewhere what a request had told that is lost, before its persons are cut here again; they were cut at these
        times. Repeatable."""

    def tidy_account(self, account_id: str) -> None:
        """Removes what the service has of an account that is gone outside of its accounts' tables. Repeatable."""

    @reaction("lifecycle.AccountSuspended")
    def on_account_suspended(self, envelope: Envelope) -> None:
        """Closes the account to its users."""
        account_states.set_state(self.store, envelope.account, "suspended", envelope.version)

    @reaction("lifecycle.AccountResumed")
    def on_account_resumed(self, envelope: Envelope) -> None:
        """Opens the account to its users again."""
        account_states.set_state(self.store, envelope.account, "active", envelope.version)

    @reaction("identity.ActorCutOff")
    def on_actor_cut_off(self, envelope: Envelope) -> None:
        """Refuses a user's tokens from before their rights changed."""
        actor_cutoffs.take_cutoff(self.store, envelope)


class RecordingService(Service):
    """A service that shows something of persons to users, and to staff under a grant, and records it. `runtime.reads` is its
    buffer for users' reads, `ReadsRecorded` and `StaffLookedUp` are among its events."""

    def note_read(self, call: Call, method: str, shown: Shown, purpose: ReadPurpose = "support") -> None:
        """Records that somebody was shown something. Called last, with the answer in hand.

        For a user it never waits and never fails. What a staff member is about to be shown is committed when this returns; if
        it raises, there is no answer."""
        persons, tickets = dict.fromkeys(filter(None, shown.persons)), dict.fromkeys(shown.tickets)
        if call.actor.kind == "staff":
            record_lookup(self.store, account_of(call), call.actor, method, list(persons), list(tickets))
        elif call.actor.kind == "user" and call.account_id is not None and (persons or tickets):
            read = Read(
                at=clock.now(), actor=call.actor.id, door=call.actor.door, method=method, purpose=purpose,
                persons=list(persons), tickets=list(tickets),
            )  # fmt: skip
            self.runtime.reads.note(call.account_id, read)

    @rpc_method(argument=ListReads, result=ReadPage, roles=MANAGERS, scope="read")
    def list_reads(self, call: Call) -> ReadPage:
        """Who was shown something of a person or ticket, when and for what, as this service recorded it."""
        return list_reads(self.store, account_of(call), call.argument)

    @rpc_method(argument=ReadsOfPerson, result=PersonReads, roles=SERVICES_ONLY, scope="read")
    def reads_of_person(self, call: Call) -> PersonReads:
        """Who was shown something of a person, as this service recorded it: for identity, which tells them."""
        return reads_of_person(self.store, account_of(call), call.argument)

    @rpc_method(argument=ListStaffLookups, result=StaffLookupPage, roles=MANAGERS, scope="read")
    def list_staff_lookups(self, call: Call) -> StaffLookupPage:
        """What the vendor's staff looked up here under a grant."""
        return list_lookups(self.store, account_of(call), call.argument)


def account_of(call: Call) -> str:
    """The account that a call is about; an error where it names none."""
    if call.account_id is None:
        raise InvalidArgument(field="account", rule="is required")
    return call.account_id


def actor_of(call: Call) -> str:
    """The id that stands in the envelope: a user's, a staff member's, or a customer's person's; the system's for services and
    operators, whose names are no ids."""
    return call.actor.id if call.actor.kind in OF_AN_ACCOUNT else SYSTEM_ACTOR
