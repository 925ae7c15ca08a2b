"""A story for the auditor's tests: an account with people who write, who are read about, looked up, and one who is erased."""

from __future__ import annotations

from typing import Any

from services.identity.commands import AddUser
from services.identity.staff_commands import StaffSession
from shared.ids import new_id
from shared.settings import SERVICES
from shared.tokens import Actor
from tests.support.cell import Cell
from tests.support.portal import Portal

OPERATOR = Actor(kind="operator", id=new_id(), role="operator")
RECORDING = ("contacts", "tickets", "identity")


class Story(Portal):
    """Alice and Bob of the portal's account. An owner, who is a user, an agent reads about both, and a staff member too."""

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        olga = AddUser(role="owner", name="Olga", login=f"olga@{new_id()}.example")
        added = self.call("identity", "add_user", olga, OPERATOR)
        self.owner = self._user(added.user_id, "owner")
        added = self.call("identity", "add_user", AddUser(role="agent", name="Abe", login=f"abe@{new_id()}.example"))
        self.agent = self._user(added.user_id, "agent")
        self.staff, self.grant, self.request = new_id(), "", ""

    def _user(self, user: str, role: Any) -> Actor:
        return Actor(kind="user", id=user, account_id=self.account, role=role)

    def read_about(self, ticket: str, actor: Actor | None = None) -> None:
        """Somebody, the agent by default, looks at a ticket."""
        self.call("tickets", "show_ticket", {"ticket_id": ticket}, actor or self.agent)

    def look_up(self, address: str) -> None:
        """A staff member asks for access, the owner approves, and they look somebody up."""
        operator = Actor(kind="operator", id=self.staff, role="operator")
        self.grant = self.call("identity", "request_staff_access", {"purpose": "incident"}, operator).grant_id
        self.call("identity", "approve_staff_access", {"grant_id": self.grant})
        session: StaffSession = self.call("identity", "open_staff_session", {"grant_id": self.grant}, operator)
        assert session.token
        staff = Actor(
            kind="staff", id=self.staff, account_id=self.account, role="staff", scope="read", grant_id=self.grant,
            purpose="incident",
        )  # fmt: skip
        self.call("contacts", "show_person", {"who": address}, staff)

    def erase(self, address: str) -> str:
        """Somebody is erased on the owner's behalf, until the certificate is signed; the request's id."""
        asked = self.call("erasure", "request_erasure", {"who": address, "reason": "they asked for it"})
        self.settle()
        return str(asked.request_id)

    def settle(self) -> None:
        """What is noted is written, what happened is delivered, and all of it is signed."""
        for service in RECORDING:
            self.cell.service(service).runtime.reads.flush()
        super().settle()
        for service in SERVICES:
            self.cell.sign(service)
