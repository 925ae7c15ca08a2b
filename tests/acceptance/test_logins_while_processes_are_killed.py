"""kill -9 of a gateway and of a replica of identity in the middle of logins: who tries again gets in; nothing is doubled."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from audit.verify import verify
from shared.settings import Settings
from tests.support.crowd import Doors
from tests.support.databases import superuser
from tests.support.desk import await_it
from tests.support.gateway import PASSWORD, Api, Plain
from tests.support.second_factor import AppUser

pytestmark = pytest.mark.kills
CLIENTS = 6
TURNS = 5
KILLS = (6, 14, 22)
"""After so many answers: of the thirty log-ins and the thirty users that are added."""
AGAIN = {502, 503, 504}
PATIENCE_SECONDS = 45.0
TRY_SECONDS = 12.0


@dataclass
class Progress:
    """What was answered, by all clients together, and how often a request had to be sent again."""

    sessions: list[str] = field(default_factory=list)
    users: dict[str, set[str]] = field(default_factory=dict)
    again: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def answers(self) -> int:
        return len(self.sessions) + len(self.users)


def insisting(doors: Doors, at: int, progress: Progress, send: Callable[[Api], httpx.Response]) -> Plain:
    """The answer to a request that is sent to one gateway after the other until it is done."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    for gateway in itertools.count(at):
        try:
            with doors.client(gateway) as api:
                api.client.timeout = httpx.Timeout(TRY_SECONDS)
                answer = send(api)
            if answer.status_code not in AGAIN:
                assert answer.status_code in (200, 201), answer.text
                done: Plain = answer.json()
                return done
        except httpx.TransportError:
            pass  # killed, or not back yet
        with progress.lock:
            progress.again += 1
        assert time.monotonic() < deadline, "somebody who tries again does not get in"
        time.sleep(0.05)
    raise AssertionError


def client(doors: Doors, at: int, login: str, token: str, progress: Progress) -> None:
    """Logs in and adds a user under a key, again and again."""
    asked = {"login": login, "password": PASSWORD}
    for turn in range(TURNS):
        let_in = insisting(doors, at, progress, lambda api: api.call("POST", "/v1/sessions", asked))
        key = f"key-{at}-{turn}-{secrets.token_hex(4)}"
        user = {"role": "agent", "name": f"Aron {at}", "login": f"{key}@desk.example"}

        def add(api: Api, key: str = key, user: Plain = user) -> httpx.Response:
            return api.call("POST", "/v1/users", user, token=token, Idempotency_Key=key)

        added = insisting(doors, at + 1, progress, add)
        again = insisting(doors, at, progress, add)
        with progress.lock:
            progress.sessions.append(let_in["session_id"])
            progress.users[user["login"]] = {added["user_id"], again["user_id"]}


@pytest.mark.parametrize("victim", ["gateway-0", "identity-1"])
def test_who_tries_again_gets_in_and_nothing_is_doubled(doors: Doors, victim: str) -> None:
    """Three kills among thirty log-ins and thirty users that are added under keys: all are done, each user is there once, each
    session that is there was told by one event, and identity's log is whole."""
    doors.stack.await_ready(60)
    with doors.client(1) as api:
        opened, token = api.open_account(is_confirmed=True)
    login, owner = opened["owner"]["login"], opened["owner"]["user_id"]
    progress, killed = Progress(), []
    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(client, doors, at, login, token, progress) for at in range(CLIENTS)]
        for after in KILLS:
            await_it(lambda after=after: progress.answers >= after or any(one.done() for one in running), 90)
            killed.append(doors.stack.pid(victim))
            doors.stack.kill(victim)
            await_it(lambda: doors.stack.pid(victim) not in (None, *killed), 30)
        for one in running:
            one.result()
    doors.stack.await_ready(60)
    assert len(KILLS) == len({*killed} - {None})
    assert progress.again > 0 or victim.startswith("identity")  # whose calls another replica takes over
    assert CLIENTS * TURNS == len(set(progress.sessions))
    assert {1} == {len(ids) for ids in progress.users.values()}
    with doors.client() as api:
        users = api.call("GET", "/v1/users?limit=200&include_removed=true", token=token).json()["users"]
    assert sorted([login, *progress.users]) == sorted(one["login"] for one in users)
    check_sessions(doors, owner, progress.sessions)
    verdict = verify(Settings.load(doors.stack.home), "identity")
    assert verdict.good, verdict.findings


def check_sessions(doors: Doors, owner: str, told: list[str]) -> None:
    """A session for each event and an event for each session; those that were answered are among them."""
    connection = superuser(Settings.load(doors.stack.home), "identity")
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_id::text FROM lethe.session WHERE user_id = %s", (owner,))
        sessions = [one for (one,) in cursor.fetchall()]
        cursor.execute(
            "SELECT count(*) FROM lethe.event WHERE stream = %s AND type = 'identity.UserLoggedIn'", (f"user/{owner}",)
        )
        ((events,),) = cursor.fetchall()
    connection.close()
    assert set(told) <= set(sessions)
    assert events == len(sessions)


def test_a_code_in_use_when_its_replica_is_killed_counts_once(doors: Doors) -> None:
    """Recovery codes, each sent until it is answered while replicas are killed: none gives two sessions. One that was used and
    whose answer was lost is refused, and the next code lets in."""
    doors.stack.await_ready(60)
    with doors.client() as api:
        user = AppUser.open(api)
        challenge = user.challenge(api)
    outcomes: list[Any] = []
    for at, code in enumerate(user.recovery_codes[:6]):
        killer = threading.Timer(0.02 * at, doors.stack.kill, (f"identity-{at % 3}",))
        killer.start()
        outcomes.append(used_until_answered(doors, challenge, code))
        killer.join()
        doors.stack.await_ready(60)
        with doors.client() as api:
            challenge = user.challenge(api)
    assert {200, 401} >= {status for status, _ in outcomes} and any(status == 200 for status, _ in outcomes)
    token = next(token for status, token in outcomes[::-1] if status == 200)
    with doors.client() as api:
        left = api.call("GET", "/v1/second-factor", token=token).json()["recovery_codes_left"]
        let_in = len(api.call("GET", "/v1/sessions", token=token).json()["sessions"])
    assert len(user.recovery_codes) - left == let_in, outcomes


def used_until_answered(doors: Doors, challenge: str, code: str) -> tuple[int, str | None]:
    """The status of the first answer to a code, and the session's token where there is one."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with doors.client() as api:
            answer = api.call("POST", "/v1/sessions/completion", {"challenge": challenge, "code": code})
        if answer.status_code not in AGAIN:
            return answer.status_code, answer.json().get("session_token")
        assert time.monotonic() < deadline
