"""How gateways listen: TLS only, a way there from plain HTTP, patience with an end, a stop that drains; two side by side."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from deploy.stack import Stack
from services.gateway.serving import DRAIN_SECONDS
from tests.support.desk import await_it
from tests.support.gateway import Api, api

HEAD_SECONDS = 10.0
"""What a gateway has that is told nothing else."""


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def connected(gateway: dict[str, Any], version: ssl.TLSVersion | None = None) -> ssl.SSLSocket:
    """A connection over TLS."""
    context = ssl.create_default_context(cafile=gateway["certificate"])
    if version is not None:
        context.minimum_version = context.maximum_version = version
    plain = socket.create_connection(("127.0.0.1", port_of(gateway["url"])), timeout=20)
    return context.wrap_socket(plain, server_hostname="localhost")


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side ends it."""
    parts = b""
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        while part := connection.recv(65536):
            parts += part
    return parts


def test_the_certificate_is_checked_by_the_clients(gateway: dict[str, Any]) -> None:
    """Who trusts this stack's certificate gets in, by name and by address; who does not, does not."""
    for host in ("localhost", "127.0.0.1"):
        with api(f"https://{host}:{port_of(gateway['url'])}", gateway["certificate"]) as made:
            assert {"live": True} == made.call("GET", "/v1/health/live").json()
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{gateway['url']}/v1/health/live")


def test_key_and_certificate_are_closed_to_others(gateway: dict[str, Any], desk_stack: Stack) -> None:
    """Both are readable by their owner alone."""
    for name in ("tls.crt", "tls.key"):
        assert 0o600 == (desk_stack.home / "gateway" / name).stat().st_mode & 0o777


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_good_versions_of_tls_are_spoken(gateway: dict[str, Any], version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3, with forward secrecy and authenticated encryption."""
    with connected(gateway, version) as connection:
        cipher = connection.cipher()
        assert cipher is not None and ("GCM" in cipher[0] or "CHACHA20" in cipher[0])
        assert "ECDHE" in cipher[0] or version == ssl.TLSVersion.TLSv1_3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_of_tls_are_not_spoken(gateway: dict[str, Any]) -> None:
    """TLS 1.1 is refused, and so is what is no TLS at all."""
    context = ssl.create_default_context(cafile=gateway["certificate"])
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port_of(gateway["url"])), timeout=20) as plain:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(plain, server_hostname="localhost")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(gateway["url"].replace("https:", "http:") + "/v1/health/live")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_http_only_leads_to_https(gateway: dict[str, Any], desk_stack: Stack, method: str) -> None:
    """Whatever is sent there is answered with the same address at HTTPS (308), and with nothing else."""
    ports = json.loads((desk_stack.home / "ports.json").read_text())
    answer = httpx.request(method, f"http://127.0.0.1:{ports['gateway-0-plain']}/v1/tickets?limit=1", auth=("a", "b"))
    expected = f"https://127.0.0.1:{port_of(gateway['url'])}/v1/tickets?limit=1"
    assert (308, expected, b"") == (answer.status_code, answer.headers["location"], answer.content)


def test_who_sends_no_head_is_let_go(gateway: dict[str, Any]) -> None:
    """A connection that says nothing, one that sends a head letter by letter, one that never begins TLS: each ends in time."""
    begun = time.monotonic()
    silent = connected(gateway)
    slow = connected(gateway)
    bare = socket.create_connection(("127.0.0.1", port_of(gateway["url"])), timeout=20)
    stopped = threading.Event()

    def trickle() -> None:
        with contextlib.suppress(OSError):
            slow.sendall(b"GET /v1/health/live HTTP/1.1\r\nHost: localhost\r\n")
            while not stopped.wait(0.2):
                slow.sendall(b"x: y\r\n")

    sender = threading.Thread(target=trickle)
    sender.start()
    assert b"" == received(silent) == received(slow) == received(bare)
    assert HEAD_SECONDS * 0.8 < time.monotonic() - begun < 15
    stopped.set()
    sender.join()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /v1/health/live\r\n\r\n", 400), (b"no http at all\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"zqsecretqz" * 4000, 431),
    ],
)  # fmt: skip
def test_a_head_that_is_none_is_a_problem(gateway: dict[str, Any], head: bytes, status: int) -> None:
    """What is no HTTP is answered with problem details as well, without repeating it, and the connection ends."""
    with connected(gateway) as connection:
        connection.sendall(head)
        answer = received(connection)
    top, _, body = answer.partition(b"\r\n\r\n")
    assert f" {status} ".encode() in top.splitlines()[0]
    assert b"application/problem+json" in top and b"zqsecretqz" not in answer
    assert status == json.loads(body)["status"]


def test_both_gateways_are_the_same_desk(desk: Api, other_desk: Api) -> None:
    """A session that began at one is good at the other, and ends at both at once."""
    _, token = desk.open_account()
    mine, theirs = desk.call("GET", "/v1/users/me", token=token), other_desk.call("GET", "/v1/users/me", token=token)
    assert mine.json() == theirs.json() and mine.headers["etag"] == theirs.headers["etag"]
    assert 204 == other_desk.call("DELETE", "/v1/sessions/current", token=token).status_code
    assert [401, 401] == [one.call("GET", "/v1/users/me", token=token).status_code for one in (desk, other_desk)]


def test_a_gateway_holds_nothing(desk_stack: Stack) -> None:
    """It has a key of its own, and neither a database nor anything else that it keeps."""
    home = desk_stack.home
    assert {"token.key"} == {path.name for path in (home / "root-keys" / "gateway").iterdir()}
    assert {"tls.crt", "tls.key"} == {path.name for path in (home / "gateway").iterdir()}
    assert "gateway" not in desk_stack.status()["databases"]


def test_its_log_names_operations_and_no_addresses(desk: Api, desk_stack: Stack) -> None:
    """A line a request: what was asked, the status, the request's name. No path, no query, no address, no login."""
    before = {path: path.stat().st_size for path in (desk_stack.home / "logs").glob("gateway-*.log")}
    account, token = desk.open_account()
    answer = desk.call("GET", "/v1/zqsecretqz/x?zqsecretqz=1", token=token, X_Forwarded_For="203.0.113.77")

    def lines() -> str:
        return "".join(path.read_text()[size:] for path, size in before.items())

    await_it(lambda: answer.headers["lethe-request-id"] in lines(), 10)
    assert '"method":"open_account"' in lines()
    for secret in ("zqsecretqz", "203.0.113", "127.0.0.1", account["owner"]["login"], account["account"]["name"], token):
        assert secret not in lines()


def test_health_tells_of_a_service_that_is_away(desk_stack: Stack, desk: Api) -> None:
    """Live is about the gateway alone; ready is about what it needs."""
    assert 200 == desk.call("GET", "/v1/health").status_code
    desk_stack.stop("erasure")
    try:
        refused = await_it(lambda: _unless(200, desk.call("GET", "/v1/health")), 20)
        assert (503, "unavailable", "erasure") == (refused.status_code, refused.json()["code"], refused.json()["reason"])
        assert 200 == desk.call("GET", "/v1/health/live").status_code
    finally:
        desk_stack.start("erasure")
        desk_stack.await_ready()
    await_it(lambda: desk.call("GET", "/v1/health").status_code == 200, 20)


def _unless(status: int, answer: httpx.Response) -> httpx.Response | None:
    return None if answer.status_code == status else answer


def test_a_stop_finishes_what_was_begun(desk_stack: Stack, gateway: dict[str, Any], other_desk: Api) -> None:
    """A request that is at work when the gateway is told to stop gets its answer; a new connection is refused; the other
    gateway goes on. Nobody waits for a client that keeps its connection and asks nothing."""
    body = json.dumps({"login": "nobody@desk.example", "password": "a wrong password of somebody"}).encode()
    with connected(gateway) as connection, connected(gateway):
        head = f"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body[:10])
        stopper = threading.Thread(target=desk_stack.stop, args=("gateway-0",))
        stopper.start()
        try:
            await_it(lambda: _is_refused(gateway), 10)
            connection.sendall(body[10:])
            assert received(connection).startswith(b"HTTP/1.1 401 ")
            assert 200 == other_desk.call("GET", "/v1/health/live").status_code
            connection.close()
            stopper.join(DRAIN_SECONDS / 2)
            assert not stopper.is_alive()
        finally:
            stopper.join()
            desk_stack.start("gateway-0")
            desk_stack.await_ready()


def _is_refused(gateway: dict[str, Any]) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port_of(gateway["url"])), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_it_never_runs_without_tls(desk_stack: Stack, tmp_path: Path) -> None:
    """Without a certificate the process ends; it does not listen plainly."""
    name = "gateway-7"
    desk_stack.start(name, env={"LETHE_GATEWAY_TLS_CERTIFICATE": str(tmp_path / "none.crt")})
    try:
        log = desk_stack.home / "logs" / f"{name}.log"
        await_it(lambda: log.exists() and "gateway died" in log.read_text(), 30)
    finally:
        desk_stack.stop(name)
