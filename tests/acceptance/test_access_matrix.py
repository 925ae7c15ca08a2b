"""Every RPC method, called by everybody: who may gets the answer, with its effect, and everybody else is refused by a typed
error of the right kind. The expectations are `tests/support/access_table.py`, written by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from shared.errors import LetheError
from shared.ids import new_id
from shared.rpc import describe
from shared.settings import SERVICES
from tests.support.access_table import ALLOWED
from tests.support.cell import service_class
from tests.support.desk import Callers, Desk
from tests.support.every_call import CALLS, How, Side, make_side

METHODS = [(service, method) for service, of_service in ALLOWED.items() for method in of_service]
USED_UP = {
    ("erasure", "request_erasure"), ("erasure", "request_own_erasure"), ("identity", "remove_app"),
    ("identity", "remove_saved_search"), ("identity", "remove_user"), ("lifecycle", "suspend_account"),
}  # fmt: skip
"""Methods after which an account has not what they ask for any more: each call gets an account of its own."""


@dataclass(frozen=True)
class Stage:
    """An account with people of every role, another one, and one that is suspended."""

    desk: Desk
    side: Side
    admin: str
    stranger: str
    suspended: Desk
    suspended_side: Side

    @classmethod
    def open(cls, callers: Callers) -> Stage:
        """All of it, new."""
        desk, side = make_side(callers)
        shut, shut_side = make_side(callers)
        callers.client.call("lifecycle", "suspend_account", {}, account=shut.account, token=callers.operator)
        return cls(desk, side, admin_of(desk, side), callers.user(new_id()), shut, shut_side)

    def staff_token(self) -> str:
        """A new one: it is good for a minute, and ends when another grant of the staff member is closed."""
        opened = self.desk.call(
            "identity", "open_staff_session", {"grant_id": self.side.grant}, token=self.desk.callers.operator
        )
        return str(opened["token"])

    def tokens(self) -> dict[str, str]:
        """The token of each column of the table, but for `suspended`, and of those whom no row names."""
        callers, account = self.desk.callers, self.desk.account
        return {
            "owner": callers.user(account, "owner", self.side.owner),
            "admin": callers.user(account, "admin", self.admin),
            "agent": callers.user(account, "agent", self.side.agent),
            "read": callers.user(account, "owner", self.side.owner, scope="read"),
            "write": callers.user(account, "owner", self.side.owner, scope="write"),
            "operator": callers.operator,
            "service": callers.service("tickets"),
            "staff": self.staff_token(),
            "customer": callers.customer(account, self.side.person),
            "app_read": callers.customer(account, self.side.person, "read"),
            "app_write": callers.customer(account, self.side.person, "write"),
            "nobody": "",
            "stranger": self.stranger,
        }


def admin_of(desk: Desk, side: Side) -> str:
    """The id of a new admin of an account."""
    asked = {"role": "admin", "name": f"Ada {side.word}", "login": f"admin@{side.word}.example"}
    return str(desk.call("identity", "add_user", asked)["user_id"])


@pytest.fixture(scope="module")
def stage(callers: Callers) -> Stage:
    return Stage.open(callers)


def outcome(call: Callable[[], Any]) -> Any:
    """The answer, or the code of the error."""
    try:
        return call()
    except LetheError as error:
        return error.code


def expected_refusal(how: How, who: str) -> str:
    """The code that somebody who is not in a method's row is told."""
    if who == "nobody":
        return "unauthenticated"
    is_user = who in ("owner", "admin", "agent", "read", "write", "stranger", "staff", "customer", "app_read", "app_write")
    if who == "stranger" or (is_user and how.about == "the cell"):
        return "not_found"  # a user may name their own account only, and is told nothing of any other
    return "permission_refused"


def test_every_method_has_a_row() -> None:
    """A method that nobody has thought about here fails this test; so does one that is gone."""
    declared = {(service, one.name) for service in SERVICES for one in describe(service_class(service))}
    assert declared == set(METHODS)


@pytest.mark.parametrize(("service", "method"), METHODS)
def test_who_may_gets_the_answer_and_nobody_else(stage: Stage, callers: Callers, service: str, method: str) -> None:
    """Owner, admin, agent, each scope, operator, service, no token, another account's owner: one call each."""
    how, allowed = CALLS[service][method], set(ALLOWED[service][method].split()) - {"suspended"}
    account = None if how.about == "the cell" else stage.desk.account
    wrong = {}
    for who, token in stage.tokens().items():
        if who in allowed:
            continue
        told = outcome(lambda: stage.desk.call(service, method, how.argument(stage.side), account=account, token=token))  # noqa: B023
        if told != expected_refusal(how, who):
            wrong[who] = told
    for who in sorted(allowed):
        desk, side, token = own_of(stage, callers, (service, method), who)
        told = outcome(lambda: call_as(desk, service, method, how, side, token))  # noqa: B023
        if isinstance(told, str) or not how.is_answered(side, told):
            wrong[who] = told
    assert not wrong


def own_of(stage: Stage, callers: Callers, which: tuple[str, str], who: str) -> tuple[Desk, Side, str]:
    """The account in which somebody makes a call that is to succeed: a new one, or one with what the call adds still to be
    added."""
    if which in USED_UP:
        own = Stage.open(callers)
        return own.desk, own.side, own.tokens()[who]
    side = stage.side
    if which in {("identity", "add_user"), ("lifecycle", "open_account")}:
        # what is added once and not twice gets a name of its own
        word = f"w{new_id()[:8]}{who}"
        side = replace(side, word=word, name=f"{side.name} {word}")
    return stage.desk, side, stage.tokens()[who]


def call_as(desk: Desk, service: str, method: str, how: How, side: Side, token: str) -> Any:
    """One call, in the account or of the cell."""
    account = None if how.about == "the cell" else desk.account
    return desk.call(service, method, how.argument(side), account=account, token=token)


@pytest.mark.parametrize(("service", "method"), METHODS)
def test_a_suspended_account_is_closed_to_its_users(stage: Stage, service: str, method: str) -> None:
    """To its owner, whatever the method, but for those that the table names."""
    how, side, shut = CALLS[service][method], stage.suspended_side, stage.suspended
    account = None if how.about == "the cell" else shut.account
    told = outcome(lambda: shut.call(service, method, how.argument(side), account=account, token=shut.token))
    allowed = ALLOWED[service][method].split()
    if "suspended" in allowed:
        assert how.is_answered(side, told), told
    elif "owner" in allowed:
        assert "account_suspended" == told
    else:
        assert told == expected_refusal(how, "owner")
