"""What each `service.py` has in common: its store and client as a dependency, admission, and its part in every erasure.

A service class derives from `Service`, names its `Runtime`, and declares its own RPC methods and reactions. Nothing here
decides anything: it hands over to `erasing.py`, `admission.py`, `account_states.py`, `actor_cutoffs.py` and the service's own
handlers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, ClassVar

import msgspec
from nameko.extensions import DependencyProvider

from shared import account_states, actor_cutoffs
from shared.account_states import KeepAccountState, KeptAccountState
from shared.admission import admit_user
from shared.bus import reaction
from shared.erasing import Count, Holdings, Retained, erase_subject, probe
from shared.errors import InvalidArgument, PermissionRefused
from shared.events import Envelope, EventTypes
from shared.ids import Id, new_id
from shared.personal import InTransit, NotPersonal
from shared.receipts import ReceiptProof, receipt_proof
from shared.rpc import Call, rpc_method
from shared.rpc_client import RpcClient
from shared.settings import Settings
from shared.tokens import TokenIssuer, TokenSource, service_actor
from shared.work import SYSTEM_ACTOR, Project, Store

USERS = frozenset({"owner", "admin", "agent"})
SERVICES_ONLY = frozenset({"service"})
OPERATORS = frozenset({"operator"})
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


class Runtime(DependencyProvider):  # type: ignore[misc]
    """The nameko dependency that gives each worker the service's `Resources` (or what `build` makes of them)."""

    def __init__(self, types: EventTypes, project: Project, build: Callable[[Resources], Any] | None = None) -> None:
        self.types = types
        self.project = project
        self.build = build
        self.resources: Any = None

    def setup(self) -> None:
        resources = Resources(self.types, self.project)
        self.resources = self.build(resources) if self.build else resources

    def get_dependency(self, worker_ctx: Any) -> Any:
        return self.resources


class Service:
    """Derive from it: `name`, `runtime`, and `holdings` are the service's own."""

    name: ClassVar[str]
    runtime: Any

    @property
    def store(self) -> Store:
        store: Store = self.runtime.store
        return store

    @property
    def holdings(self) -> Holdings:
        raise NotImplementedError

    def admit(self, call: Call, allow_suspended: bool) -> None:
        """Refuses users of a suspended account (mission L3), and tokens from before their user's rights changed. Operators and
        services go on: erasures must finish."""
        if call.account_id is None:
            return
        if not _UUID.fullmatch(call.account_id):
            raise InvalidArgument(field="account", rule="an account's id")
        if call.actor.kind == "user":
            admit_user(self.store, call.account_id, call.actor, allow_suspended)

    @rpc_method(result=ServiceHealth, roles=SERVICES_ONLY | OPERATORS, scope="read")
    def show_health(self, call: Call) -> ServiceHealth:
        """Whether this service can do its work. Says nothing about any account."""
        with self.store.work(new_id()) as work:
            work.fetch_one("SELECT 1")
        return ServiceHealth(service=self.name)

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


def account_of(call: Call) -> str:
    """The account that a call is about; an error where it names none."""
    if call.account_id is None:
        raise InvalidArgument(field="account", rule="is required")
    return call.account_id


def actor_of(call: Call) -> str:
    """The id that stands in the envelope: a user's; the system's for services and operators, whose names are no ids."""
    return call.actor.id if call.actor.kind == "user" else SYSTEM_ACTOR
