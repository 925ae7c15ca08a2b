"""What counts once counts once, by HTTPS at two gateways with three replicas of identity behind them, however many use it at
the same moment: a code of the app, a recovery code, an idempotency key, an invitation, the removal of a last owner.

Each race shows that it was one: the requests overlapped at the clients, and every replica answered some.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx

from shared.settings import Settings
from tests.support.crowd import Answered, Doors, Request, at_once, outcomes, until_taken
from tests.support.databases import superuser
from tests.support.desk import Callers, await_it
from tests.support.gateway import PASSWORD, Api
from tests.support.mailbox import mailed_token
from tests.support.second_factor import AppUser

TRIES = 100
CHALLENGES = 10
OVERLAP = 10
ROUNDS = 3
WAITING = 10
REMOVALS = {"200", "204", "unauthenticated", "permission_refused", "refused", "not_found"}


@contextmanager
def every_replica_serves(doors: Doors, *methods: str) -> Iterator[None]:
    """Each of the three has answered calls of these methods when the block ends."""
    before = sum((doors.served("identity", one) for one in methods), Counter())
    yield

    def served() -> bool:
        now = sum((doors.served("identity", one) for one in methods), Counter())
        return all(now[f"identity-{at}"] > before[f"identity-{at}"] for at in range(3))

    await_it(served, 5, lambda: f"of {methods} not every replica answered some, before: {before}")


def check_overlap(answers: list[Answered]) -> None:
    """They were a race, and not one after the other."""
    assert at_once(answers) > OVERLAP


def post(path: str, body: Any, token: str | None = None, **headers: str) -> Request:
    return lambda api: api.call("POST", path, body, token=token, **headers)


def completions(challenges: list[str], code: str) -> list[Request]:
    """A hundred uses of a code, with one challenge after the other."""
    return [
        post("/v1/sessions/completion", {"challenge": challenges[at % len(challenges)], "code": code}) for at in range(TRIES)
    ]


def check_one_session(doors: Doors, user: AppUser, answers: list[Answered]) -> None:
    """One is in and has the user's only session; all others are told nothing but that it was not good."""
    assert {"200": 1, "unauthenticated": TRIES - 1} == outcomes(answers)
    (let_in,) = (one.body for one in answers if one.status == 200)
    assert "in" == let_in["status"]
    with doors.client(1) as api:
        listed = api.call("GET", "/v1/sessions", token=let_in["session_token"]).json()["sessions"]
    assert [let_in["session_id"]] == [one["session_id"] for one in listed]
    assert 1 == count_events(doors, "identity.UserLoggedIn", let_in["user_id"]) - 1, "the other is of before the app"


def count_events(doors: Doors, kind: str, user_id: str) -> int:
    """How many events of a type a user's stream has."""
    return number(doors, "SELECT count(*) FROM lethe.event WHERE type = %s AND stream = %s", kind, f"user/{user_id}")


def number(doors: Doors, sql: str, *values: Any) -> int:
    """A number out of identity's database."""
    connection = superuser(Settings.load(doors.stack.home), "identity")
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        found = int(cursor.fetchone()[0])
    connection.close()
    return found


def test_a_code_of_the_app_lets_one_in(doors: Doors) -> None:
    """A hundred uses of one code at once, with ten challenges: one session."""
    with doors.client() as api:
        user = AppUser.open(api)
        challenges = [user.challenge(api) for _ in range(CHALLENGES)]
    with every_replica_serves(doors, "complete_login"):
        answers = doors.race(completions(challenges, user.fresh_code()))
    check_overlap(answers)
    check_one_session(doors, user, answers)


def test_a_recovery_code_lets_one_in(doors: Doors) -> None:
    """A hundred uses of one recovery code at once: one session, and the nine others are there still."""
    with doors.client() as api:
        user = AppUser.open(api)
        challenges = [user.challenge(api) for _ in range(CHALLENGES)]
    with every_replica_serves(doors, "complete_login"):
        answers = doors.race(completions(challenges, user.recovery_codes[0]))
    check_overlap(answers)
    check_one_session(doors, user, answers)
    token = next(one.body["session_token"] for one in answers if one.status == 200)
    with doors.client() as api:
        assert 9 == api.call("GET", "/v1/second-factor", token=token).json()["recovery_codes_left"]


def test_an_idempotency_key_adds_one_user(doors: Doors) -> None:
    """A hundred times the same request under one key at once: all are answered with the one user, who is there once."""
    with doors.client() as api:
        _, token = api.open_account()
        added = {"role": "agent", "name": "Aron Archer", "login": f"aron.{secrets.token_hex(4)}@desk.example"}
        request = post("/v1/users", added, token, Idempotency_Key=secrets.token_hex(8))
        with every_replica_serves(doors, "add_user"):
            answers = doors.race([request] * TRIES)
        check_overlap(answers)
        assert {"201": TRIES} == outcomes(answers)
        assert 1 == len({json.dumps(one.body, sort_keys=True) for one in answers})
        users = api.call("GET", "/v1/users?include_removed=true", token=token).json()["users"]
    assert 1 == sum(one["login"] == added["login"] for one in users)
    assert 1 == count_events(doors, "identity.UserAdded", answers[0].body["user_id"])


def test_an_invitation_makes_one_user(doors: Doors) -> None:
    """A hundred acceptances at once: one user with one session. Whoever met a busy desk asks again, and is refused too."""
    login = f"iris.{secrets.token_hex(4)}@desk.example"
    with doors.client() as api:
        _, token = api.open_account()
        assert 201 == api.call("POST", "/v1/invitations", {"role": "agent", "login": login}, token=token).status_code
    link = mailed_token(doors.stack.home, login)

    def accept(at: int) -> Request:
        body = {"link_token": link, "name": f"Iris {at}", "password": PASSWORD}
        return lambda api: until_taken(lambda: api.call("POST", "/v1/invitations/acceptance", body))

    with every_replica_serves(doors, "accept_invitation"):
        answers = doors.race([accept(at) for at in range(TRIES)])
    check_overlap(answers)
    assert {"200": 1, "unauthenticated": TRIES - 1} == outcomes(answers)
    (let_in,) = (one.body for one in answers if one.status == 200)
    with doors.client() as api:
        users = api.call("GET", "/v1/users?include_removed=true", token=token).json()["users"]
    assert [let_in["user_id"]] == [one["user_id"] for one in users if one["login"] == login]
    assert 1 == count_events(doors, "identity.UserLoggedIn", let_in["user_id"])


def test_two_owners_who_remove_each_other_or_themselves_leave_one(doors: Doors, doors_callers: Callers) -> None:
    """A hundred tries at once, fifty of each of two owners, half of them to delete and half to deactivate, the other or
    themselves: one of them is owner afterwards. They are held back until many stand before the decision, and let go together;
    three times over. Whoever met a busy desk asks again."""
    with doors.client() as api:
        opened, token = api.open_account()
        account, here = opened["account"]["account_id"], (opened["owner"]["user_id"], token)
        for _ in range(ROUNDS):
            there = another_owner(doors_callers, api, account, here[1])
            requests = [remove(at, by, of) for at in range(TRIES // 4) for by in (here, there) for of in (here, there)]
            with every_replica_serves(doors, "delete_user", "deactivate_user"), held_back(doors, here[0], there[0]):
                answers = doors.race(requests)
            check_overlap(answers)
            assert not outcomes(answers).keys() - REMOVALS, outcomes(answers)
            left = [one for one in (here, there) if is_in(api, one[1])]
            assert 1 == len(left), outcomes(answers)
            here = left[0]
            users = api.call("GET", "/v1/users?include_removed=true", token=here[1]).json()["users"]
            assert [here[0]] == [one["user_id"] for one in users if (one["role"], one["state"]) == ("owner", "active")]


@contextmanager
def held_back(doors: Doors, *user_ids: str) -> Iterator[None]:
    """What changes the access of these users waits for the lock that every such change takes, until many wait."""
    connection = superuser(Settings.load(doors.stack.home), "identity")
    cursor = connection.cursor()
    for user_id in user_ids:
        cursor.execute("SELECT pg_advisory_lock(hashtextextended('identity.access ' || %s, 0))", (user_id,))

    def many_wait() -> bool:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(cursor.fetchone()[0] >= WAITING)

    def release() -> None:
        try:
            await_it(many_wait, 5)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        released = pool.submit(release)
        yield
        released.result()


def another_owner(callers: Callers, api: Api, account: str, token: str) -> tuple[str, str]:
    """One more owner of an account: the id, and a session."""
    login = f"otto.{secrets.token_hex(4)}@desk.example"
    added = api.call("POST", "/v1/users", {"role": "owner", "name": "Otto", "login": login}, token=token)
    assert 201 == added.status_code, added.text
    user_id = added.json()["user_id"]
    asked = {"user": user_id, "password": PASSWORD}
    callers.client.call("identity", "set_first_password", asked, account=account, token=callers.operator)
    return user_id, api.log_in(login)


def remove(at: int, by: tuple[str, str], of: tuple[str, str]) -> Request:
    def deletes(api: Api) -> httpx.Response:
        return api.call("DELETE", f"/v1/users/{of[0]}", token=by[1])

    send = deletes if at % 2 else post(f"/v1/users/{of[0]}/deactivation", None, by[1])
    return lambda api: until_taken(lambda: send(api))


def is_in(api: Api, token: str) -> bool:
    """Whether a session is good."""
    return api.call("GET", "/v1/users/me", token=token).status_code == 200
