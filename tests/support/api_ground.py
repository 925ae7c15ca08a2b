"""What the matrix of the HTTP API is asked in: an account with people of every role, with their credentials; another account's
owner; and an account that is suspended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.access_side import SOURCE, a_password
from tests.support.api_table import Row
from tests.support.desk import Callers, Desk
from tests.support.every_call import Side, make_side
from tests.support.fresh import MADE, fresh_user, log_in
from tests.support.portal_side import mailed_link
from tests.support.team_side import add_user

ROLE_OF = {"read": "owner", "write": "owner", "manage": "owner"}
"""API tokens are the owner's."""


@dataclass(frozen=True)
class Ground:
    """`credentials`: of each column of the table, what is shown as Bearer."""

    desk: Desk
    side: Side
    credentials: dict[str, str | None]

    @classmethod
    def open(cls, callers: Callers) -> Ground:
        """All of it, new."""
        desk, side = make_side(callers)
        admin = f"admin@{side.word}.example"
        add_user(desk, "admin", admin)
        logins = {"owner": login_of(desk, desk.owner), "admin": admin, "agent": side.login}
        for role in ("owner", "admin"):
            give_password(desk, logins[role], side.password)
        credentials: dict[str, str | None] = {
            role: session(desk, login, side.password) for role, login in logins.items()
        }
        for scope in ("read", "write", "manage"):
            credentials[scope] = api_token(desk, desk.token, scope)
        stranger = Desk.open(callers)
        credentials |= {
            "customer": customer_session(desk, side.person), "nobody": None,
            "stranger": owner_session(stranger, a_password()),
        }  # fmt: skip
        return cls(desk, side, credentials)

    def fresh(self, row: Row, who: str) -> tuple[Side, str | None]:
        """What an operation uses up, made anew for a column: what to ask for, and the credential to show."""
        if row.made in ("log_out", "sign_out"):
            return self.side, self._another_session(who)
        if not row.made:
            return self.side, self.credentials[who]
        side, token = MADE[row.made](self.desk, self.side, "gateway" if row.is_public else ROLE_OF.get(who, who))
        if token is None or row.is_public:
            return side, self.credentials[who]
        if who == "customer":
            return side, customer_session(self.desk, side.person)
        return side, api_token(self.desk, token, "manage")

    def _another_session(self, who: str) -> str | None:
        if who in ("owner", "admin", "agent", "stranger"):
            _, login, _ = fresh_user(self.desk, who, self.side.password)
            return session(self.desk, login, self.side.password)
        return customer_session(self.desk, self.side.person) if who == "customer" else self.credentials[who]


@dataclass(frozen=True)
class Shut:
    """An account that is suspended, with what its owner and a customer could show before."""

    desk: Desk
    side: Side
    owner: str
    customer: str

    @classmethod
    def open(cls, callers: Callers) -> Shut:
        """Filled, then suspended."""
        desk, side = make_side(callers)
        owner, customer = owner_session(desk, side.password), customer_session(desk, side.person)
        callers.client.call("lifecycle", "suspend_account", {}, account=desk.account, token=callers.operator)
        return cls(desk, side, owner, customer)


def login_of(desk: Desk, user: str) -> str:
    """The login of a user."""
    return str(desk.call("identity", "show_user", {"user": user})["login"])


def give_password(desk: Desk, user: str, password: str) -> None:
    """The first password of a user."""
    asked = {"user": user, "password": password}
    desk.call("identity", "set_first_password", asked, token=desk.callers.operator)


def session(desk: Desk, login: str, password: str) -> str:
    """A session's token."""
    return str(log_in(desk, login, password)["session_token"])


def owner_session(desk: Desk, password: str) -> str:
    """A session of the owner, who gets a password for it."""
    login = login_of(desk, desk.owner)
    give_password(desk, login, password)
    return session(desk, login, password)


def customer_session(desk: Desk, person: str) -> str:
    """A session of a customer in the portal."""
    asked: Any = {"link_token": mailed_link(desk, person), "source": SOURCE}
    signed_in = desk.call("identity", "sign_in_by_link", asked, token=desk.callers.service("gateway"))
    return str(signed_in["session_token"])


def api_token(desk: Desk, token: str, scope: str) -> str:
    """An API token of whose actor token it is."""
    asked = {"name": "matrix", "scope": scope, "days": 1}
    return str(desk.call("identity", "create_api_token", asked, token=token)["token"])
