"""Every RPC method, called by everybody: who may gets the answer, with its effect, and everybody else is refused by a typed
error of the right kind. The expectations are `tests/support/access_table.py`, written by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from shared.errors import LetheError
from shared.ids import new_id
from shared.rpc import describe
from shared.service_classes import service_class
from shared.settings import SERVICES
from tests.support.access_side import SOURCE, code_of
from tests.support.access_table import ALLOWED
from tests.support.desk import Callers, Desk
from tests.support.every_call import CALLS, How, Side, make_side
from tests.support.fresh import EFFECTS, MADE

METHODS = [(service, method) for service, of_service in ALLOWED.items() for method in of_service]
OF_AN_ACCOUNT = {"owner", "admin", "agent", "read", "write", "stranger", "staff", "customer", "app_read", "app_write"}
"""Who belongs to one account, and may name that one only."""
ANOTHER_WAY: dict[tuple[str, str], How] = {
    ("begin_second_factor", "service"): How(
        lambda side: {"challenge": side.enrolling}, lambda _, answer: answer["qr_png"].startswith(b"\x89PNG"), about="the cell"
    ),
    ("confirm_second_factor", "user"): How(
        lambda side: {"code": code_of(side.first), "source": SOURCE}, lambda _, answer: len(answer["recovery_codes"]) == 10
    ),
    ("disable_second_factor", "user"): How(lambda side: {"code": side.recovery}, lambda _, answer: answer == {}),
}
"""Calls that a service makes for a login that waits, and users for themselves."""


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
            "gateway": callers.service("gateway"),
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
    if who == "stranger" or (who in OF_AN_ACCOUNT and how.about in ("the cell", "a new account")):
        return "not_found"  # a user may name their own account only, and is told nothing of any other
    return "permission_refused"


def account_for(how: How, desk: Desk) -> str | None:
    """The account that a call names."""
    return {"the cell": None, "a new account": new_id()}.get(how.about, desk.account)


def test_every_method_has_a_row() -> None:
    """A method that nobody has thought about here fails this test; so does one that is gone."""
    declared = {(service, one.name) for service in SERVICES for one in describe(service_class(service))}
    assert declared == set(METHODS)


@pytest.mark.parametrize(("service", "method"), METHODS)
def test_who_may_gets_the_answer_and_nobody_else(stage: Stage, service: str, method: str) -> None:
    """Owner, admin, agent, each scope, operator, service, gateway, staff, customer, app, no token, another account's owner: one
    call each. Who is refused goes first, so that what they would have changed is still there for who may."""
    allowed = set(ALLOWED[service][method].split()) - {"suspended"}
    wrong = {}
    for who, token in stage.tokens().items():
        if who not in allowed:
            how = how_of(service, method, who)
            told = outcome(lambda: call(stage.desk, service, method, how, stage.side, token))  # noqa: B023
            if told != expected_refusal(how, who):
                wrong[who] = told
    for who in sorted(allowed):
        how, token = how_of(service, method, who), stage.tokens()[who]
        if method in MADE:
            side, own = MADE[method](stage.desk, stage.side, who)
            token = own or stage.tokens()[who]
        else:
            side = stage.side
        told = outcome(lambda: call(stage.desk, service, method, how, side, token))  # noqa: B023
        if isinstance(told, str) or not how.is_answered(side, told):
            wrong[who] = told
        elif method in EFFECTS and not EFFECTS[method](stage.desk, side, token):
            wrong[who] = "answered, and without effect"
        if method == "suspend_account":
            stage.desk.call("lifecycle", "resume_account", {}, token=stage.desk.callers.operator)
    assert not wrong


def how_of(service: str, method: str, who: str) -> How:
    """How somebody makes a call."""
    kind = "service" if who in ("service", "gateway") else "user"
    return ANOTHER_WAY.get((method, kind), CALLS[service][method])


def call(desk: Desk, service: str, method: str, how: How, side: Side, token: str) -> Any:
    """One call."""
    return desk.call(service, method, how.argument(side), account=account_for(how, desk), token=token)


@pytest.mark.parametrize(("service", "method"), METHODS)
def test_a_suspended_account_is_closed_to_its_users(stage: Stage, service: str, method: str) -> None:
    """To its owner, whatever the method, but for those that the table names."""
    how, side, shut = how_of(service, method, "owner"), stage.suspended_side, stage.suspended
    told = outcome(lambda: call(shut, service, method, how, side, shut.token))
    allowed = ALLOWED[service][method].split()
    if "suspended" in allowed:
        assert how.is_answered(side, told), told
    elif "owner" in allowed:
        assert "account_suspended" == told
    else:
        assert told == expected_refusal(how, "owner")
