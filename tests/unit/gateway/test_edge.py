"""What every request meets before its operation, and every answer on its way out; no service is needed for that."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from services.gateway.client_address import networks
from services.gateway.edge import SAFE_HEADERS, Edge
from services.gateway.serving import Redirect
from tests.support.gateway import application

MARK = "zqsecretqz"
PEER = "192.0.2.1"


def ask(app: Edge, method: str, path: str, *, peer: str = PEER, times: int = 1, **named: Any) -> httpx.Response:
    """The answer to a request that comes from `peer`; to the last of several."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(peer, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="https://desk.example") as client:
            for _ in range(times):
                answer = await client.request(method, path, **named)
            return answer

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/health/live", 200), ("GET", f"/v1/{MARK}", 404), ("GET", f"/{MARK}", 404), ("PUT", "/v1/tickets", 405),
        ("GET", "/v1/tickets", 401), ("GET", f"/v1/tickets?{MARK}=1", 422), ("GET", f"/v1/health/live?limit={MARK}", 422),
        ("GET", "/v1/docs", 200), ("GET", "/v1/docs/docs.js", 200), ("GET", f"/v1/docs/{MARK}", 404),
        ("GET", "/v1/docs/..%2fapp.py", 404), ("POST", "/v1/sessions", 415), ("GET", "/v1/tickets/", 404),
    ],
)  # fmt: skip
def test_every_answer_has_the_safe_headers_and_repeats_nothing(method: str, path: str, status: int) -> None:
    """Whatever is asked: the headers stand, an error is a problem with the request's name, and nothing sent is said again."""
    answer = ask(application(), method, path, headers={"User-Agent": MARK})
    assert status == answer.status_code
    assert {name.decode() for name in SAFE_HEADERS} <= answer.headers.keys()
    assert "no-store" == answer.headers["cache-control"]
    assert "server" not in answer.headers
    assert MARK not in answer.text and MARK not in str(answer.headers)
    if status >= 400:
        assert "application/problem+json" == answer.headers["content-type"]
        assert f"urn:uuid:{answer.headers['lethe-request-id']}" == answer.json()["instance"]
        assert status == answer.json()["status"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/tokens", "GET, POST"), ("OPTIONS", "/v1/erasure-requests", "GET, POST"), ("POST", "/v1/docs", "GET"),
        ("GET", "/v1/contacts/lookup", "POST"), ("DELETE", "/v1/contacts/x", "GET"), ("PUT", "/v1/sessions/current", "DELETE"),
    ],
)  # fmt: skip
def test_a_method_that_is_not_taken_is_told_which_are(method: str, path: str, allowed: str) -> None:
    """All that the path takes, and not only those of the first operation; a word of the description is never an id."""
    answer = ask(application(), method, path)
    assert (405, allowed) == (answer.status_code, answer.headers["allow"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_request"), (b"\xff", 400, "malformed_request"), (b"[]", 422, "invalid_argument"),
        (b"[" * 100_000, 400, "malformed_request"), (b'{"login": NaN}', 400, "malformed_request"),
        (f'{{"login": "a@b.example", "password": "x", "{MARK}": 1}}'.encode(), 422, "invalid_argument"),
        (f'{{"login": "a@b.example", "password": ["{MARK}"]}}'.encode(), 422, "invalid_argument"),
        (b'{"login": "a@b.example", "password": "' + b"x" * (1 << 20) + b'"}', 413, "too_large"),
    ],
)  # fmt: skip
def test_a_body_that_is_none_is_refused_without_being_repeated(body: bytes, status: int, code: str) -> None:
    """The body is checked before any service hears of it."""
    answer = ask(application(), "POST", "/v1/sessions", content=body, headers={"Content-Type": "application/json"})
    assert (status, code) == (answer.status_code, answer.json()["code"])
    assert MARK not in answer.text


def test_a_body_is_counted_while_it_comes() -> None:
    """A body without a length ahead ends at the limit as well."""

    async def endless() -> Any:
        while True:
            yield b" " * 65536

    answer = ask(application(), "POST", "/v1/sessions", content=endless(), headers={"Content-Type": "application/json"})
    assert (413, "close") == (answer.status_code, answer.headers["connection"])


def test_a_body_beyond_the_room_for_all_is_to_come_again() -> None:
    """With a length ahead or without; the next one that fits is read, so what was taken is given back."""
    app = application(body_bytes=100)

    async def pieces() -> Any:
        for _ in range(3):
            yield b" " * 50

    for content in (b" " * 150, pieces()):
        answer = ask(app, "POST", "/v1/sessions", content=content, headers={"Content-Type": "application/json"})
        assert (503, "busy", "1") == (answer.status_code, answer.json()["code"], answer.headers["retry-after"])
        assert "close" == answer.headers["connection"]
    assert 422 == ask(app, "POST", "/v1/sessions", content=b"{}", headers={"Content-Type": "application/json"}).status_code


def test_a_body_has_its_time() -> None:
    """Whoever sends a body slowly is told that it took too long."""

    async def slow() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    app = application(body_seconds=0.05)
    answer = ask(app, "POST", "/v1/sessions", content=slow(), headers={"Content-Type": "application/json"})
    assert 408 == answer.status_code


@pytest.mark.parametrize("headers", [{f"x-{number}": "y" for number in range(101)}, {"x": "y" * 16385}])
def test_a_head_that_is_too_large_is_refused(headers: dict[str, str]) -> None:
    """Neither many headers nor long ones."""
    assert 431 == ask(application(), "GET", "/v1/health/live", headers=headers).status_code


def test_a_source_has_a_rate() -> None:
    """After its burst a source is told to wait; another source is not."""
    app = application(source_rate=0.1, source_burst=3)
    assert 200 == ask(app, "GET", "/v1/health/live", times=3).status_code
    refused = ask(app, "GET", "/v1/health/live")
    assert (429, "rate_limited") == (refused.status_code, refused.json()["code"])
    assert 1 <= int(refused.headers["retry-after"]) <= 11
    assert 200 == ask(app, "GET", "/v1/health/live", peer="192.0.2.2").status_code


def test_a_credential_has_a_rate_from_wherever_it_is_used() -> None:
    """Many sources with one credential are one."""
    app = application(credential_rate=0.1, credential_burst=2)
    for number in range(2):
        shown = {"Authorization": "Bearer lethe_x"}
        assert 200 == ask(app, "GET", "/v1/health/live", peer=f"192.0.2.{number}", headers=shown).status_code
    assert 429 == ask(app, "GET", "/v1/health/live", peer="192.0.2.9", headers={"Authorization": "Bearer lethe_x"}).status_code
    assert 200 == ask(app, "GET", "/v1/health/live", peer="192.0.2.9", headers={"Authorization": "Bearer lethe_y"}).status_code


@pytest.mark.parametrize("forged", ["198.51.100.1", "::ffff:198.51.100.1", "198.51.100.1, 198.51.100.2", "garbage"])
def test_a_source_is_not_made_up(forged: str) -> None:
    """Without a trusted proxy, X-Forwarded-For gives nobody a fresh rate."""
    app = application(source_rate=0.1, source_burst=1)
    assert 200 == ask(app, "GET", "/v1/health/live").status_code
    assert 429 == ask(app, "GET", "/v1/health/live", headers={"X-Forwarded-For": forged}).status_code
    assert 429 == ask(app, "GET", "/v1/health/live", peer=f"::ffff:{PEER}").status_code


def test_behind_a_proxy_each_client_is_a_source() -> None:
    """The clients of a trusted proxy are told apart, by the last line that it wrote."""
    app = application(source_rate=0.1, source_burst=1, trusted_proxies=networks("192.0.2.0/24"))
    lines = [("X-Forwarded-For", "198.51.100.9"), ("X-Forwarded-For", "198.51.100.1")]
    assert 200 == ask(app, "GET", "/v1/health/live", headers=lines).status_code
    assert 429 == ask(app, "GET", "/v1/health/live", headers={"X-Forwarded-For": "203.0.113.5, 198.51.100.1"}).status_code
    assert 200 == ask(app, "GET", "/v1/health/live", headers={"X-Forwarded-For": "198.51.100.2"}).status_code


def test_signing_up_has_a_rate_of_its_own_and_can_be_closed() -> None:
    """Opening accounts is counted apart, and refused where the operator has not opened it."""
    app = application(sign_ups_per_hour=1)
    assert 415 == ask(app, "POST", "/v1/accounts").status_code
    assert 429 == ask(app, "POST", "/v1/accounts").status_code
    closed = ask(application(sign_up_open=False), "POST", "/v1/accounts")
    assert (403, "permission_refused") == (closed.status_code, closed.json()["code"])


def test_what_asks_for_no_credential_has_a_rate_of_its_own() -> None:
    """Logins, resets and links of one source are counted together and apart from all else; the bodies are not even read."""
    app = application(door_rate=0.01, door_burst=2)
    doors = ("/v1/sessions", "/v1/password/reset-requests", "/v1/sessions/completion")
    assert [415, 415, 429] == [ask(app, "POST", path).status_code for path in doors]
    assert 401 == ask(app, "GET", "/v1/account").status_code


def test_foreign_pages_are_kept_out_unless_they_are_named() -> None:
    """Without an origin in the settings nothing is allowed; with one, that one alone."""
    asked = {"Origin": "https://other.example", "Access-Control-Request-Method": "GET"}
    assert "access-control-allow-origin" not in ask(application(), "OPTIONS", "/v1/tickets", headers=asked).headers
    app = application(cors_origins=("https://desk.example",))
    assert "access-control-allow-origin" not in ask(app, "OPTIONS", "/v1/tickets", headers=asked).headers
    allowed = ask(app, "OPTIONS", "/v1/tickets", headers=asked | {"Origin": "https://desk.example"})
    assert "https://desk.example" == allowed.headers["access-control-allow-origin"]
    assert "access-control-allow-credentials" not in allowed.headers


def test_the_page_fetches_nothing_from_elsewhere() -> None:
    """What the interactive page loads is all here, and its policy allows no more."""
    page = ask(application(), "GET", "/v1/docs")
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"desk.example:80", b"https://desk.example:8443/v1/tickets?a=1"), (b"127.0.0.1", b"https://127.0.0.1:8443/v1/tickets?a=1"),
        (b"[::1]:8080", b"https://[::1]:8443/v1/tickets?a=1"), (b"desk.example/x", None), (b"a@b", None), (b"", None),
    ],
)  # fmt: skip
def test_plain_http_leads_to_the_same_address(host: bytes, expected: bytes | None) -> None:
    """The way to HTTPS is the host that was asked for, and nothing that is no host."""
    scope = {"headers": [(b"host", host)], "raw_path": b"//v1/tickets", "query_string": b"a=1"}
    assert expected == Redirect(8443).target(scope)
