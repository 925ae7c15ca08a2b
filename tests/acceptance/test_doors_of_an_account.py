"""Doors that close: on a suspended account in every replica at once (mission L3), and on whoever is outside of an account's IP
ranges, whatever they write into the headers that proxies write (I4). By HTTPS at two gateways, and by RPC past them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from audit.sources import DatabaseSource
from audit.trail import TrailEntry, trail
from audit.trail_subjects import TrailSelection
from cli.main import invoke
from deploy.stack import Stack
from shared.errors import AccountSuspended
from shared.settings import EDGES, Settings
from tests.support.crowd import Doors, fresh_address
from tests.support.desk import Callers, await_it
from tests.support.gateway import PASSWORD, Api, Plain, mail

TIMES = 2
REPLICAS = 3
IN_TURN = 4 * REPLICAS
"""The broker gives calls to replicas in turn; so many reach each, though others call as well."""
PATHS = ["/v1/users/me", "/v1/tickets", "/v1/contacts", "/v1/account"]


class Credentials:
    """An account's owner with a session and an API token, and how they are shown."""

    def __init__(self, api: Api) -> None:
        self.opened, self.session = api.open_account(is_confirmed=True)
        self.account: str = self.opened["account"]["account_id"]
        self.login: str = self.opened["owner"]["login"]
        made = api.call("POST", "/v1/tokens", {"name": "job", "scope": "manage", "days": 7}, token=self.session)
        assert 201 == made.status_code, made.text
        self.api_token: str = made.json()["token"]

    def shown(self) -> dict[str, str]:
        """Every kind of Authorization header."""
        return {
            "session": f"Bearer {self.session}", "API token": f"Bearer {self.api_token}",
            "login and token": basic(self.login, self.api_token), "login and password": basic(self.login, PASSWORD),
        }  # fmt: skip


def basic(login: str, secret: str) -> str:
    return f"Basic {base64.b64encode(f'{login}:{secret}'.encode()).decode()}"


# ------------------------------------------------------------------------------------------------------------ on the record


def test_the_log_says_by_which_door_somebody_came(
    doors: Doors, desk_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an owner did and saw by a session, an API token, a password, and what the operator did: each has the door, and the
    id of the session or the token, which the event that began it has too."""
    with doors.client(0) as api:
        mine = Credentials(api)
        made = {}
        for door, shown in mine.shown().items():
            answer = api.call("POST", "/v1/organisations", {"name": f"By {door}"}, Authorization=shown)
            assert 201 == answer.status_code, answer.text
            made[door] = answer.json()["id"]
        written = mail("Ann Archer <ann@archer.example>", "kettle", "My kettle is broken.")
        taken = api.call("POST", "/v1/messages", written, token=mine.session, Content_Type="message/rfc822")
        assert 200 == taken.status_code, taken.text
        assert "Ann Archer" in api.call("GET", "/v1/contacts", token=mine.api_token).text
    monkeypatch.setenv("LETHE_HOME", str(desk_stack.home))
    assert 0 == invoke(["account", "suspend", mine.account, "--yes"])
    source = DatabaseSource(Settings.load(desk_stack.home))

    def told() -> list[TrailEntry] | None:
        entries = trail(source, TrailSelection(account=mine.account), limit=1_000).entries
        there = {one.type for one in entries}
        return entries if there >= {"lifecycle.AccountSuspended", "contacts.ReadsRecorded"} else None

    entries = await_it(told, 30)
    by = {one.stream.partition("/")[2]: (one.by, one.door_id) for one in entries if one.type == "contacts.OrganisationAdded"}
    (began,) = [one.ids["session"] for one in entries if one.type == "identity.UserLoggedIn"]
    (token,) = [one.ids["api_token"] for one in entries if one.type == "identity.ApiTokenCreated"]
    wanted = {
        "session": ("session", *began), "API token": ("api token", *token), "login and token": ("api token", *token),
        "login and password": ("password", None),
    }  # fmt: skip
    assert {made[door]: how for door, how in wanted.items()} == by
    assert [("api token", *token)] == [(one.by, one.door_id) for one in entries if one.read is not None]
    (suspended,) = [one for one in entries if one.type == "lifecycle.AccountSuspended"]
    assert ("operator", None, "service") == (suspended.by, suspended.door_id, suspended.who.kind)


# -------------------------------------------------------------------------------------------------------------- suspension


def test_a_suspended_account_is_closed_in_every_replica_at_once(doors: Doors, doors_callers: Callers) -> None:
    """All that has just been served is refused when suspending is answered: a session, an API token and HTTP Basic at both
    gateways, and an actor token at every replica of identity that has just served it, straight by RPC; twice over."""
    call, gateway, operator = doors_callers.client.call, doors_callers.service(EDGES[0]), doors_callers.operator
    with doors.client(0) as one, doors.client(1) as other:
        mine = Credentials(one)

        def by_https() -> set[tuple[int, str]]:
            answers = [
                api.call("GET", path, Authorization=shown)
                for api in (one, other) for path in PATHS for shown in mine.shown().values()
            ]  # fmt: skip
            return {(each.status_code, each.json().get("code", "")) for each in answers}

        def replicas_that(code: str, actor_token: str) -> set[str]:
            before = doors.served("identity", "list_users", code)
            for _ in range(IN_TURN):
                try:
                    call("identity", "list_users", {}, account=mine.account, token=actor_token)
                    assert "ok" == code, "a suspended account was served"
                except AccountSuspended:
                    assert "account_suspended" == code, "an active account was refused"
            return {name for name, count in doors.served("identity", "list_users", code).items() if count > before[name]}

        for _ in range(TIMES):
            assert {(200, "")} == by_https()
            authenticate = {"token": mine.session, "source": "127.0.0.1"}
            actor_token = call("identity", "authenticate", authenticate, account=None, token=gateway)["actor_token"]
            assert REPLICAS == len(replicas_that("ok", actor_token))
            assert "suspended" == call("lifecycle", "suspend_account", {}, account=mine.account, token=operator)["state"]
            for _ in range(IN_TURN):
                with pytest.raises(AccountSuspended):
                    call("identity", "authenticate", authenticate, account=None, token=gateway)
            assert REPLICAS == len(replicas_that("account_suspended", actor_token))
            assert {(403, "account_suspended")} == by_https()
            log_in = one.call("POST", "/v1/sessions", {"login": mine.login, "password": PASSWORD})
            assert (403, "account_suspended") == (log_in.status_code, log_in.json()["code"])
            call("lifecycle", "resume_account", account=mine.account, token=operator)


# ---------------------------------------------------------------------------------------------------- ranges behind a proxy

PROXY = "127.0.0.1"
OFFICE, OFFICE_RANGE, ELSEWHERE = "203.0.113.7", "203.0.113.0/24", "198.51.100.9"
MAPPED = "::ffff:"

FORGED_AT_THE_PROXY = {
    "nothing forged": [ELSEWHERE],
    "an address before one's own": [f"{OFFICE}, {ELSEWHERE}"],
    "a header line of one's own": [OFFICE, ELSEWHERE],
    "many of them": [OFFICE, OFFICE, OFFICE, f"{OFFICE},{ELSEWHERE}"],
    "IPv4 as IPv6": [f"{MAPPED}{OFFICE}, {MAPPED}{ELSEWHERE}"],
    "IPv4 as IPv6 in hexadecimal": ["::ffff:cb00:7107", "::ffff:c633:6409"],
    "the proxy's own address": [f"{OFFICE}, {ELSEWHERE}, {PROXY}"],
    "the proxy's own address as IPv6": [f"{OFFICE}, {ELSEWHERE}", f"{MAPPED}{PROXY}"],
    "what is no address": [f"{OFFICE}, unknown"],
    "nothing at the end": [f"{OFFICE},"],
    "no header line": [],
}
"""What a proxy hands on of a client that is elsewhere: X-Forwarded-For, line by line."""
HONEST_AT_THE_PROXY = {
    "one hop": [OFFICE], "IPv4 as IPv6": [f"{MAPPED}{OFFICE}"], "forged by the client before": [f"{ELSEWHERE}, {OFFICE}"],
    "two proxies of ours": [f"{OFFICE}, {PROXY}"],
}  # fmt: skip
OTHER_HEADERS = ["Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X_Forwarded_For"]


@pytest.fixture(scope="module")
def behind(doors: Doors) -> Iterator[str]:
    """The URL of one more gateway, which trusts the proxy at 127.0.0.1 and nobody else."""
    name = f"{EDGES[0]}-{len(doors.urls)}"
    doors.stack.start(name, {"LETHE_GATEWAY_TRUSTED_PROXIES": f"{PROXY}/32"})
    doors.stack.await_ready(60)
    urls = doors.stack.status()["gateway"]["urls"]
    yield next(one for one in urls if one not in doors.urls)
    doors.stack.stop(name)


@pytest.fixture(scope="module")
def office(doors: Doors, behind: str) -> Credentials:
    """An account that lets its users in from its office only; whoever set that was in the office, behind the proxy."""
    with doors.client() as api:
        made = Credentials(api)
    with doors.client_of(behind, PROXY) as proxy:
        chosen = send(proxy, f"Bearer {made.session}", [OFFICE], "PUT", "/v1/account/ip-ranges", {"ranges": [OFFICE_RANGE]})
        assert 200 == chosen.status_code, chosen.text
    return made


def send(
    api: Api, authorization: str | None, forwarded: list[str], method: str = "GET", path: str = "/v1/users/me",
    body: Any = None, name: str = "X-Forwarded-For",
) -> Any:  # fmt: skip
    """One request with as many header lines as there are."""
    headers = [(name, one) for one in forwarded] + ([("Authorization", authorization)] if authorization else [])
    return api.client.request(method, path, json=body, headers=headers)


def check_refused(api: Api, mine: Credentials, forwarded: list[str], name: str = "X-Forwarded-For") -> None:
    """With every kind of credential, and at the login."""
    for kind, shown in mine.shown().items():
        answer = send(api, shown, forwarded, name=name)
        expected = (401, "unauthenticated") if kind == "login and password" else (403, "permission_refused")
        assert expected == (answer.status_code, answer.json().get("code")), (kind, name, forwarded)


@pytest.mark.parametrize("forwarded", HONEST_AT_THE_PROXY.values(), ids=HONEST_AT_THE_PROXY)
def test_a_client_behind_the_trusted_proxy_gets_in(
    doors: Doors, behind: str, office: Credentials, forwarded: list[str]
) -> None:
    """By whatever credential, and at the login."""
    with doors.client_of(behind, PROXY) as proxy:
        for shown in office.shown().values():
            assert 200 == send(proxy, shown, forwarded).status_code
        asked: Plain = {"login": office.login, "password": PASSWORD}
        assert 200 == send(proxy, None, forwarded, "POST", "/v1/sessions", asked).status_code


@pytest.mark.parametrize("forwarded", FORGED_AT_THE_PROXY.values(), ids=FORGED_AT_THE_PROXY)
def test_a_client_elsewhere_behind_the_proxy_does_not(
    doors: Doors, behind: str, office: Credentials, forwarded: list[str]
) -> None:
    """Whatever it wrote into the header before the proxy added what it saw."""
    with doors.client_of(behind, PROXY) as proxy:
        check_refused(proxy, office, forwarded)


def test_nobody_is_believed_who_is_no_trusted_proxy(doors: Doors, behind: str, office: Credentials) -> None:
    """Beside the proxy, and at a gateway that trusts none, the header says nothing, in whatever form; nor does any other."""
    for url, source in ((behind, fresh_address()), (doors.urls[0], PROXY)):
        with doors.client_of(url, source) as api:
            for forwarded in ([OFFICE], [f"{MAPPED}{OFFICE}"], [ELSEWHERE, OFFICE], [OFFICE, PROXY], [f"{OFFICE}, {PROXY}"]):
                check_refused(api, office, forwarded)
    with doors.client_of(behind, PROXY) as proxy:
        for name in OTHER_HEADERS:
            check_refused(proxy, office, [f"for={OFFICE}" if name == "Forwarded" else OFFICE], name)


def test_nobody_locks_themselves_out(doors: Doors, behind: str) -> None:
    """Ranges without one's own address are refused, whatever address one claims: directly, with a forged header, behind the
    proxy. With one's own they are set."""
    with doors.client() as api:
        mine = Credentials(api)
    put: tuple[str, str, Plain] = ("PUT", "/v1/account/ip-ranges", {"ranges": [OFFICE_RANGE]})
    source = fresh_address()
    for url, here, forwarded in (
        (doors.urls[0], source, []), (doors.urls[0], source, [OFFICE]), (behind, source, [OFFICE]),
        (behind, PROXY, [ELSEWHERE]), (behind, PROXY, [f"{OFFICE}, {ELSEWHERE}"]), (behind, PROXY, [OFFICE, ELSEWHERE]),
    ):  # fmt: skip
        with doors.client_of(url, here) as api:
            answer = send(api, f"Bearer {mine.session}", forwarded, *put)
            assert (409, "refused", "lock-out") == (answer.status_code, *(answer.json().get(one) for one in ("code", "reason")))
            assert [] == api.call("GET", "/v1/account/ip-ranges", token=mine.session).json()["ranges"]
    with doors.client_of(behind, source) as api:
        own: Plain = {"ranges": [f"{MAPPED}{source}/128", OFFICE_RANGE]}
        assert 200 == send(api, f"Bearer {mine.session}", [ELSEWHERE], "PUT", "/v1/account/ip-ranges", own).status_code
        assert 200 == send(api, f"Bearer {mine.session}", []).status_code
    with doors.client_of(behind, fresh_address()) as api:
        assert 403 == send(api, f"Bearer {mine.session}", []).status_code
