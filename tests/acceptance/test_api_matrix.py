"""Every operation of the HTTP API, asked by everybody over TLS: who may gets the answer, with its effect, and everybody else is
refused by a problem of the right kind. The expectations are `tests/support/api_table.py`, written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.stack import Stack
from services.gateway.app import _description
from shared.ids import new_id
from tests.support.api_ground import Ground, Shut
from tests.support.api_table import FORM, TABLE, Row
from tests.support.desk import Callers
from tests.support.every_call import Side
from tests.support.gateway import Api, api

COLUMNS = ("owner", "admin", "agent", "read", "write", "manage", "customer", "nobody", "stranger")
PORTAL = "/v1/portal/"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def desk(stack: Stack) -> Iterator[Api]:
    """A caller of the gateway."""
    gateway = stack.status()["gateway"]
    with api(gateway["url"], gateway["certificate"]) as made:
        yield made


@pytest.fixture(scope="module")
def ground(callers: Callers) -> Ground:
    return Ground.open(callers)


@pytest.fixture(scope="module")
def shut(callers: Callers) -> Shut:
    return Shut.open(callers)


def test_every_operation_has_a_row() -> None:
    """An operation that nobody has thought about here fails this test; so does one that is gone, or is elsewhere."""
    described = {
        operation["operationId"]: (method.upper(), path)
        for path, item in _description()["paths"].items()
        for method, operation in item.items()
    }
    assert described.keys() == TABLE.keys()
    for name, row in TABLE.items():
        method, path = described[name]
        asked = row.ask.partition(" ")[2].partition("?")[0]
        assert (method, re.sub(r"{[^}]*}", "{}", path)) == (row.method, re.sub(r"{[^}]*}", "{}", asked)), name


@pytest.mark.parametrize("name", TABLE)
def test_who_may_gets_the_answer_and_nobody_else(ground: Ground, desk: Api, name: str) -> None:
    """Owner, admin, agent, a token of each scope, a customer, no credential, another account's owner: one request each. Who is
    refused goes first, so that what they would have changed is still there for who may."""
    row, wrong = TABLE[name], {}
    allowed = row.allowed.split()
    for who in COLUMNS:
        if who not in allowed and not row.is_public:
            anew = row.made in ("log_out", "sign_out", "import_mails")  # these would be done, if for somebody else
            side, shown = ground.fresh(row, who) if anew else (ground.side, None)
            answer = ask(desk, row, ground.desk.account, side, shown or ground.credentials[who])
            told = code_of(answer)
            if told != expected_refusal(row, who):
                wrong[who] = answer.text
            elif told == "own" and ids_in(answer.text) & ids_of(ground.side):
                wrong[who] = "an id of the other account"
    for who in allowed:
        side, shown = ground.fresh(row, who)
        answer = ask(desk, row, ground.desk.account, side, shown)
        if answer.status_code != row.status or not row.effect(side, answer, lambda path: shown_to_owner(ground, desk, path)):
            wrong[who] = f"{answer.status_code} {answer.text}"
    assert not wrong


@pytest.mark.parametrize("name", TABLE)
def test_a_suspended_account_is_closed(shut: Shut, desk: Api, name: str) -> None:
    """To its owner, to its customer in the portal, and to who would log in."""
    row = TABLE[name]
    shown = None if row.is_public else shut.customer if PORTAL in row.ask else shut.owner
    answer = ask(desk, row, shut.desk.account, shut.side, shown)
    assert code_of(answer) == row.suspended, answer.text


# ----------------------------------------------------------------------------------------------------------------- in part


def ask(desk: Api, row: Row, account: str, side: Side, credential: str | None) -> Any:
    """One request."""
    headers = {name: new_id() if value == "<new>" else value for name, value in row.headers}
    if credential is not None:
        headers["Authorization"] = f"Bearer {credential}"
    body = row.body(side)
    sent: dict[str, Any] = {}
    if isinstance(body, bytes):
        sent = {"content": body}
        headers["Content-Type"] = row.media_type
    elif body is not None:
        sent = {"data": body} if row.media_type == FORM else {"json": body}
    return desk.client.request(row.method, row.path(account, side), headers=headers, **sent)


def code_of(answer: Any) -> str:
    """What a problem says; `own` for an answer."""
    if answer.status_code < 300:
        return "own"
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return str(answer.json()["code"])


def expected_refusal(row: Row, who: str) -> str:
    """What somebody who is not in an operation's row is told."""
    if who == "nobody":
        return "unauthenticated"
    if who == "stranger" and PORTAL not in row.ask:
        return row.stranger
    return "permission_refused"


def shown_to_owner(ground: Ground, desk: Api, path: str) -> Any:
    """What the owner is shown at a path."""
    answer = desk.call("GET", path, token=ground.credentials["owner"])
    assert 200 == answer.status_code, answer.text
    return answer.json()


def ids_in(text: str) -> set[str]:
    """The ids in an answer."""
    return {match[0] for match in _ID.finditer(text)}


def ids_of(side: Side) -> set[str]:
    """The ids of what an account has."""
    return {one for one in vars(side).values() if isinstance(one, str) and _ID.fullmatch(one)}
