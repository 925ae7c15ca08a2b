"""An account that is to end, on the services of a `Cell`, and what is left of it in any of them."""

from __future__ import annotations

from threading import Lock
from typing import Any

from audit.replay import replay
from audit.verify import verify
from shared.account_end import CELL
from shared.errors import AccountGone, Unavailable
from shared.ids import new_id
from shared.settings import ACCOUNT_SERVICES, SERVICES
from shared.tokens import Actor
from tests.support.cell import Cell, Delivery
from tests.support.databases import superuser
from tests.support.portal import Portal
from tests.support.stores import closing

OPERATOR = Actor(kind="operator", id=new_id(), role="operator")


class Ending(Portal):
    """An account with everything that a portal's has, of a name, with an owner who can log in, and an agent."""

    def __init__(self, cell: Cell) -> None:
        opened = cell.call(new_id(), "lifecycle", "open_account", {"name": f"Kettles {new_id()}", "plan": "trial"}, OPERATOR)
        super().__init__(cell, opened.account_id)
        self.name = opened.name
        self.owner_login = f"olga@{new_id()}.example"
        added = self.call("identity", "add_user", {"role": "owner", "name": "Olga", "login": self.owner_login}, OPERATOR)
        self.owner = Actor(kind="user", id=added.user_id, account_id=self.account, role="owner")
        self.call("identity", "add_user", {"role": "agent", "name": "Abe", "login": f"abe@{new_id()}.example"})
        self.call("tickets", "show_ticket", {"ticket_id": self.ticket_of_alice})
        self.delivered: set[tuple[str, str]] = set()
        self.signing = Lock()
        self.settle()

    def end(self) -> Any:
        """Suspends the account and ends it; not delivered yet."""
        self.call("lifecycle", "suspend_account", {}, OPERATOR)
        return self.call("lifecycle", "end_account", {"account_id": self.account}, OPERATOR)

    def settle(self) -> None:
        """Delivers what happened, the cell's events too, until all is done, as a broker does: what fails is brought again."""
        while True:
            self.sign()
            due = [
                one for account in (self.account, CELL) for one in self.cell.deliveries(account, SERVICES)
                if (one.envelope.event, one.service) not in self.delivered
            ]  # fmt: skip
            if not due:
                return
            for one in due:
                try:
                    self.cell.deliver(one)
                except AccountGone:
                    pass  # there is nothing to do any more (`bus.py`)
                except Unavailable:
                    continue  # brought again
                self.delivered.add((one.envelope.event, one.service))

    def sign(self) -> None:
        """What the relays do; one thread at a time."""
        with self.signing:
            for service in SERVICES:
                self.cell.sign(service)

    def ended(self) -> list[Delivery]:
        """The event that ends the account, for each service."""
        self.sign()
        deliveries = self.cell.deliveries(self.account, SERVICES)
        return [one for one in deliveries if one.envelope.type == "lifecycle.AccountEnded"]

    def insist(self, one: Delivery, cell: Cell | None = None) -> None:
        """Delivers an event until what it waits for is there."""
        for _ in range(30):
            try:
                (cell or self.cell).deliver(one)
            except Unavailable:
                self.sign()
            else:
                return
        raise AssertionError("it waits for ever")

    def left(self) -> dict[str, int]:
        """Rows that name the account, in all tables of all services but those that say that it is gone."""
        found: dict[str, int] = {}
        for service in ACCOUNT_SERVICES:
            with closing(superuser(self.cell.settings, service)) as connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                    " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id' WHERE c.relkind = 'r'"
                    " AND n.nspname IN ('lethe', 'keys') AND c.relname NOT IN ('account_state', 'ended_account')"
                )
                for (table,) in cursor.fetchall():
                    cursor.execute(f"SELECT count(*) FROM {table} WHERE account_id = %s", (self.account,))
                    if count := cursor.fetchone()[0]:
                        found[f"{service} {table}"] = count
        if (self.cell.settings.path("blobs", "tickets") / self.account).exists():
            found["tickets blobs"] = 1
        return found


def check_logs(ending: Ending, gone: int) -> None:
    """Every log is whole, with so many leaves that nobody can open any more, and replays to its read models."""
    settings = ending.cell.settings
    verdicts = [verify(settings, service, patience_seconds=1) for service in ACCOUNT_SERVICES]
    assert [] == [finding for verdict in verdicts for finding in verdict.findings]
    assert gone <= sum(verdict.gone for verdict in verdicts)
    for service in ACCOUNT_SERVICES:
        result = replay(settings, service, patience_seconds=0.5)
        assert result.equal, [(one.table, one.differences) for one in result.tables if one.differing]
