"""All services in this process, on real databases and without a broker: calls are handed over, events delivered by the test.

So a test decides in which order what arrives, and when a transaction commits. The code of the services is the product's, from
the RPC method and the reaction inwards; the relay's first four steps as well (`sign`). Only nameko's entrypoints are left out.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from concurrent.futures import Future
from datetime import timedelta
from threading import Lock
from typing import Any, NamedTuple

import msgspec
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR

from shared import clock, door, rpc
from shared.bus import Reaction
from shared.events import Envelope, decode_envelope
from shared.ids import new_id
from shared.log_signer import LogSigner
from shared.relay import publish_verifier
from shared.relay_database import RelayDatabase
from shared.rpc import Call, RpcMethod
from shared.rpc_wire import WireCall, error_in, request_body
from shared.sequencer import Sequencer
from shared.service import Resources
from shared.service_classes import service_class
from shared.settings import Settings
from shared.tokens import Actor, service_actor
from shared.work import Store
from tests.support.databases import superuser


class Delivery(NamedTuple):
    """An event on its way to a reaction of a service."""

    service: str
    method: str
    envelope: Envelope


_TO_SIGN = """
SELECT EXISTS (SELECT FROM lethe.event e WHERE NOT EXISTS (SELECT FROM lethe.log l WHERE l.sequence = e.sequence))
    OR (SELECT published FROM lethe.relay_cursor) <= (SELECT max(index) FROM lethe.log)
"""


class Cell:
    """The services of a home, each as one replica. `Cell` twice on one home is two replicas of each.

    Its own connections stay open: making them anew for each look was half of the time of a test.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._services: dict[str, Any] = {}
        self._looking: dict[str, Any] = {}
        self._relays: dict[str, RelayDatabase] = {}
        self._signing = Lock()

    def close(self) -> None:
        """Closes the connections. Nothing can be asked afterwards."""
        for service in self._services.values():
            service.store.database.close()
        for opened in (*self._looking.values(), *self._relays.values()):
            opened.close()

    # -- services

    def service(self, name: str) -> Any:
        """The service object: its methods take a `Call`, its reactions an envelope."""
        if name not in self._services:
            kind = service_class(name)
            declared = vars(kind)["runtime"]
            resources: Any = Resources(declared.types, declared.project)
            resources.client.close()
            resources.client = _DirectClient(self, name)
            made = kind()
            made.runtime = declared.build(resources) if declared.build else resources
            self._services[name] = made
        return self._services[name]

    def store(self, name: str) -> Store:
        """A service's store."""
        store: Store = self.service(name).store
        return store

    def call(
        self, account: str, service: str, method: str, argument: Any = None, actor: Actor | None = None, key: str | None = None
    ) -> Any:
        """Calls a method as the account's owner (or another actor); gives its result as it is."""
        bound = getattr(self.service(service), method)
        declared: RpcMethod = bound.__rpc__
        who = actor or Actor(kind="user", id=new_id(), account_id=account, role="owner")
        checked = None if declared.argument is None else _over_the_wire(argument, declared.argument)
        with door.came_by(who.door):
            return bound(
                Call(
                    actor=who, token="", account_id=account, idempotency_key=key,
                    deadline=clock.now() + timedelta(seconds=60), argument=checked,
                )
            )  # fmt: skip

    def ask(
        self, token: str, account: str | None, service: str, method: str, argument: Any = None, key: str | None = None
    ) -> Any:
        """Calls a method with a token, through all that a service checks of a call; gives its result as plain data, or raises
        its error. The keys of tokens are those of this home, whichever home was there before."""
        rpc.verifier.cache_clear()
        name = f"{service}.{method}"
        call = WireCall(
            token=token, account=account, idempotency_key=key, deadline=clock.now() + timedelta(seconds=60), argument=argument,
            method=name,
        )  # fmt: skip
        incoming = rpc.IncomingCall(name, None, _over_the_wire(request_body(call), dict[str, Any]))
        answer = _over_the_wire(getattr(self.service(service), method)(incoming), dict[str, Any])
        error = error_in(answer)
        if error is not None:
            raise error
        return answer["result"]

    # -- events

    def reactions(self, services: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
        """Event type → (service, name of the method) of every reaction to it."""
        found: dict[str, list[tuple[str, str]]] = {}
        for service in services:
            for method, member in inspect.getmembers(type(self.service(service)), callable):
                for entry in getattr(member, ENTRYPOINT_EXTENSIONS_ATTR, ()):
                    if isinstance(entry, Reaction):
                        found.setdefault(entry.event_type, []).append((service, method))
        return found

    def deliveries(self, account: str, services: Iterable[str]) -> list[Delivery]:
        """All events of an account that are in the logs so far, for each reaction to them, in the order of the logs."""
        services = list(services)
        reactions = self.reactions(services)
        return [
            Delivery(service, method, envelope)
            for publisher in services
            for envelope in self.logged(account, publisher)
            for service, method in reactions.get(envelope.type, ())
        ]

    def logged(self, account: str, service: str) -> list[Envelope]:
        """The events of an account that are in a service's log."""
        found = self._look(
            service,
            "SELECT e.envelope FROM lethe.event e JOIN lethe.log l USING (sequence) WHERE e.account_id = %s ORDER BY l.index",
            (account,),
        )
        return [decode_envelope(bytes(envelope)) for (envelope,) in found]

    def deliver(self, delivery: Delivery) -> None:
        """Runs a reaction, once."""
        getattr(self.service(delivery.service), delivery.method)(delivery.envelope)

    def sign(self, service: str) -> None:
        """What a relay does short of publishing: committed events into the log, tiles, record and checkpoint. They count as
        published."""
        with self._signing:
            if service not in self._relays or self._look(service, _TO_SIGN)[0][0]:
                self._sign(service)

    def _sign(self, service: str) -> None:
        tiles = self.settings.path("tiles", service)
        signer = LogSigner(
            self.settings.path("root-keys", service), tiles, f"{self.settings.cell}/{service}"
        )
        publish_verifier(self.settings, service, signer)
        tiles.mkdir(parents=True, exist_ok=True)
        if service not in self._relays:
            self._relays[service] = RelayDatabase(self.settings.database_url(service, "relay"), "test")
        database = self._relays[service]
        term = database.take_lease(signer.term())
        assert term is not None, "somebody else holds the lease of the relay"
        sequencer = Sequencer(database, tiles, signer, term)
        while sequencer.step():
            pass
        database.move_cursor(database.log_size())
        database.release_lease(term)

    def _look(self, service: str, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if service not in self._looking:
            self._looking[service] = superuser(self.settings, service)
        with self._looking[service].cursor() as cursor:
            cursor.execute(statement, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


class _DirectClient:
    """What a service has in place of its RPC client: the call goes to the other service's object. Arguments and results take
    the wire's form in between, so that what could not travel fails here as well."""

    def __init__(self, cell: Cell, caller: str) -> None:
        self._cell = cell
        self._actor = service_actor(caller)

    def call(
        self, service: str, method: str, argument: Any = None, *, account: str, result_type: Any = None, **_: Any
    ) -> Any:
        result = self._cell.call(account, service, method, argument, self._actor)
        return _over_the_wire(result, result_type) if result_type is not None else result

    def call_async(self, service: str, method: str, argument: Any = None, **options: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        try:
            answer.set_result(self.call(service, method, argument, **options))
        except Exception as error:
            answer.set_exception(error)
        return answer


def _over_the_wire(value: Any, kind: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode({} if value is None else value), type=kind)
