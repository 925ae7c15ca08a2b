"""The people of one account, on real databases: called as the gateway and users would, and reading the mail that they get."""

from __future__ import annotations

import re
from typing import Any

from services.identity.access_commands import Authenticated, LoginAnswer
from services.identity.commands import InvitationView, UserView
from shared.ids import new_id
from shared.outgoing_mail import OutgoingMail, claim, read_claimed
from shared.tokens import Actor, service_actor
from tests.support.cell import Cell

GATEWAY = service_actor("gateway")
OPERATOR = Actor(kind="operator", id=new_id(), role="operator")
HERE = "203.0.113.7"
PASSWORD = "crab ladder monsoon nine"
_LINK = re.compile(r"https://\S+/(?:invitation|password-reset|login|ip-ranges)#(\S+)")


class Team:
    """A new account. `owner` is its first owner, with a password."""

    def __init__(self, cell: Cell, owner: str = "olga@kettles.example") -> None:
        self.cell = cell
        self.account = new_id()
        self.store = cell.store("identity")
        added = {"name": "Olga Owl", "login": owner, "password": PASSWORD}
        self.owner: UserView = self.call("add_first_owner", added, actor=OPERATOR)

    def call(self, method: str, argument: Any = None, *, actor: Actor | None = None, key: str | None = None) -> Any:
        """A method of identity, as the owner or somebody else."""
        return self.cell.call(self.account, "identity", method, argument, actor or self.acts(self.owner), key)

    def acts(self, user: UserView) -> Actor:
        """Somebody with the token that they have now."""
        return Actor(kind="user", id=user.user_id, account_id=self.account, role=user.role)

    def add(self, role: str, login: str, name: str = "Adam Ant") -> UserView:
        added: UserView = self.call("add_user", {"role": role, "name": name, "login": login})
        return added

    def with_password(self, role: str, login: str) -> UserView:
        """A user who can log in."""
        added = self.add(role, login)
        self.call("set_first_password", {"user": added.user_id, "password": PASSWORD}, actor=OPERATOR)
        return added

    def show(self, who: str) -> UserView:
        shown: UserView = self.call("show_user", {"user": who})
        return shown

    def invite(self, role: str, login: str, actor: Actor | None = None, key: str | None = None) -> InvitationView:
        invited: InvitationView = self.call("invite_user", {"role": role, "login": login}, actor=actor, key=key)
        return invited

    def accept(self, token: str, name: str = "Nina Newt", password: str = PASSWORD, source: str = HERE) -> LoginAnswer:
        asked = {"link_token": token, "name": name, "password": password, "source": source}
        answer: LoginAnswer = self.call("accept_invitation", asked, actor=GATEWAY)
        return answer

    def log_in(self, login: str, password: str = PASSWORD, source: str = HERE) -> LoginAnswer:
        asked = {"login": login, "password": password, "source": source, "account_id": self.account}
        answer: LoginAnswer = self.call("log_in", asked, actor=GATEWAY)
        return answer

    def session(self, login: str) -> str:
        """The token of a new session."""
        token = self.log_in(login).session_token
        assert token is not None
        return token

    def authenticate(self, token: str, source: str = HERE) -> Authenticated:
        answer: Authenticated = self.call("authenticate", {"token": token, "source": source}, actor=GATEWAY)
        return answer

    def mails(self) -> list[OutgoingMail]:
        """The mails of this account that nobody has read yet, as their sender would open them."""
        found = []
        while (claimed := claim(self.store)) is not None:
            read = read_claimed(self.store, *claimed)
            if claimed[0] == self.account and read is not None and read.mail is not None:
                found.append(read.mail)
        return found

    def link_in_mail(self) -> str:
        """The token of the link in the one mail that there is."""
        (mail,) = self.mails()
        return link_in(mail)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of this account; `%s` stands for it."""
        with self.store.work(self.account) as work:
            return work.fetch(sql, (self.account,))


def link_in(mail: OutgoingMail) -> str:
    """The token of the link in a mail."""
    found = _LINK.search(mail.text)
    assert found is not None
    return found[1]
