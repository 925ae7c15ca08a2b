"""An account with one person, whose erasure is asked for, on the services of a `Cell`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.contacts.commands import AddUserPerson
from services.contacts.events import IdentifierAdded
from shared.ids import new_id
from shared.settings import SERVICES
from shared.tokens import Actor, service_actor
from tests.support.cell import Cell, Delivery

WHO = "alice.adams@example.org"


class Asking:
    """The account, the person, and its owner who asks that she be erased."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.account = new_id()
        self.owner = Actor(kind="user", id=new_id(), account_id=self.account, role="owner")
        added = AddUserPerson(address=WHO, name="Alice Adams")
        self.person: str = cell.call(self.account, "contacts", "add_user_person", added, service_actor("identity")).id
        self.delivered: set[str] = set()

    def call(
        self, method: str, argument: Any = None, actor: Actor | None = None, key: str | None = None, cell: Cell | None = None
    ) -> Any:
        """Asks erasure, as the owner."""
        return (cell or self.cell).call(self.account, "erasure", method, argument, actor or self.owner, key)

    def add(self, address: str) -> str:
        """Another person; their id."""
        added = AddUserPerson(address=address, name="Second")
        return str(self.cell.call(self.account, "contacts", "add_user_person", added, service_actor("identity")).id)

    def share(self, address: str) -> None:
        """The person turns out to have another address, as contacts would put it down."""
        with self.cell.store("contacts").work(self.account) as work:
            identifier = new_id()
            added = IdentifierAdded(
                identifier_id=identifier, kind="address", owner="person", person_ids=[self.person], address=address
            )
            work.append(f"identifier/{identifier}", 0, [added])
            token = work.blind_index().token("address", address)
            work.later(
                "INSERT INTO identifier_token (account_id, token, identifier_id) VALUES (%s, %s, %s)",
                (self.account, token, identifier),
            )

    def ask(
        self, key: str | None = None, cell: Cell | None = None, addresses: Sequence[str] = ()
    ) -> tuple[str, bool]:
        """The request's id, and whether a claim code was told."""
        asked = {"who": WHO, "reason": "asked", "addresses": list(addresses)}
        made = (cell or self.cell).call(self.account, "erasure", "request_erasure", asked, self.owner, key)
        return made.request_id, made.claim_code is not None

    def due(self) -> list[Delivery]:
        """What was published and is not delivered yet."""
        for service in SERVICES:
            self.cell.sign(service)
        return [one for one in self.cell.deliveries(self.account, SERVICES) if one.envelope.event not in self.delivered]

    def settle(self) -> None:
        """Delivers what happened, to everybody, until all is done."""
        while due := self.due():
            self.delivered |= {one.envelope.event for one in due}
            for one in due:
                self.cell.deliver(one)
