"""How the gateway listens: TLS, limits on the head of a request, patience with slow clients, and a stop that drains.

uvicorn does the work; here is what it does not do by itself. It must not know any operation.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from collections.abc import Iterator
from typing import Any, Final

import h11
import msgspec
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.gateway.problems import MEDIA_TYPE, HeadersTooLarge, MalformedRequest, problem_of
from services.gateway.settings import GatewaySettings
from shared.ids import new_id

HEAD_BYTES: Final = 16 * 1024
"""The most that the head of a request may have: its line and its headers."""
KEEP_ALIVE_SECONDS: Final = 20
DRAIN_SECONDS: Final = 20
FAREWELL_SECONDS: Final = 1.0
"""How long a client that asks nothing has to end its side, when the process stops."""
MOST_CONNECTIONS: Final = 2_000
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of TLS 1.3 are all good."""


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which waits for the head of a request for so long and not for ever.

    The time begins with the connection, and again with the end of each answer; a body that is still coming then, and that
    nobody reads, is under it too.
    """

    head_seconds = 10.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._waiting: asyncio.TimerHandle | None = None
        self._begun: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.close()
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._notice_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle is self._begun and not self.transport.is_closing():
            self._await_head()
        self._notice_head()

    def shutdown(self) -> None:
        """Ends a connection on which nothing is asked. The client is told, and not waited for: one that keeps it for later does
        not read, and would hold up the stop of the process. RFC 8446 section 6.1 lets each side end it on its own."""
        is_idle = self.cycle is None or self.cycle.response_complete
        super().shutdown()
        if is_idle:
            self.loop.call_later(FAREWELL_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """The problem that stands for a head that is none, or too large. Called while h11's error is handled."""
        too_large = getattr(sys.exc_info()[1], "error_status_hint", 400) == 431
        problem = problem_of(HeadersTooLarge() if too_large else MalformedRequest(), new_id())
        body = msgspec.json.encode(problem)
        length = str(len(body)).encode()
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", length), (b"connection", b"close")]
        with contextlib.suppress(h11.LocalProtocolError):  # an answer is on its way already
            head = h11.Response(status_code=problem.status, headers=headers, reason=problem.title.encode())
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _await_head(self) -> None:
        self._stop_waiting()
        self._waiting = self.loop.call_later(self.head_seconds, self.transport.close)

    def _notice_head(self) -> None:
        if self.cycle is not self._begun:
            self._begun = self.cycle
            self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class Listener(uvicorn.Server):
    """One port. Who runs it sets `should_exit`: signals belong to the process, which may have several listeners."""

    def __init__(self, config: uvicorn.Config, handshake_seconds: float) -> None:
        super().__init__(config)
        self._handshake_seconds = handshake_seconds

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: Any = None) -> None:
        """As uvicorn's, with a limit on the TLS handshake. Raises `OSError` where the port can't be had."""
        config = self.config
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise RuntimeError("the application did not start")

        def connect() -> asyncio.Protocol:
            kind: Any = config.http_protocol_class
            made: asyncio.Protocol = kind(config=config, server_state=self.server_state, app_state=self.lifespan.state)
            return made

        limit = self._handshake_seconds if config.ssl is not None else None
        server = await asyncio.get_running_loop().create_server(
            connect, config.host, config.port, ssl=config.ssl, backlog=config.backlog, ssl_handshake_timeout=limit
        )
        self.servers = [server]
        self.started = True


def https_listener(app: Any, settings: GatewaySettings) -> Listener:
    """The application over TLS. Raises `OSError` or `ssl.SSLError` for a certificate or key that is none."""
    config = _config(app, settings, settings.https_port, "on")
    config.load()
    config.ssl = tls_context(settings)
    return Listener(config, settings.head_seconds)


def redirecting_listener(settings: GatewaySettings) -> Listener | None:
    """Plain HTTP, which says where HTTPS is and nothing else (mission I2)."""
    if settings.http_port is None:
        return None
    return Listener(_config(Redirect(settings.https_port), settings, settings.http_port, "off"), settings.head_seconds)


def tls_context(settings: GatewaySettings) -> ssl.SSLContext:
    """TLS 1.2 or newer, with forward secrecy and authenticated encryption only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context


def _config(app: Any, settings: GatewaySettings, port: int, lifespan: Any) -> uvicorn.Config:
    protocol = type("Protocol", (PatientProtocol,), {"head_seconds": settings.head_seconds})
    return uvicorn.Config(
        app, host=settings.host, port=port, http=protocol, ws="none", lifespan=lifespan, log_config=None, access_log=False,
        proxy_headers=False, server_header=False, date_header=True, timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS, h11_max_incomplete_event_size=HEAD_BYTES,
    )  # fmt: skip


class Redirect:
    """Answers everything with the same address at HTTPS (308), to the host that was asked for."""

    def __init__(self, https_port: int) -> None:
        self._https_port = https_port

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        target = self.target(scope)
        headers = [(b"location", target)] if target else []
        status = 308 if target else 400
        headers += [(b"connection", b"close"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def target(self, scope: Any) -> bytes | None:
        """Where to go; None for a host that is no name and no address."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        host = _host(hosts[0].decode("latin-1")) if len(hosts) == 1 else None
        if host is None:
            return None
        port = "" if self._https_port == 443 else f":{self._https_port}"
        path: bytes = scope["raw_path"].lstrip(b"/")
        query: bytes = b"?" + scope["query_string"] if scope["query_string"] else b""
        return f"https://{host}{port}/".encode() + path + query


def _host(text: str) -> str | None:
    """The host of a Host header, without its port."""
    bare, bracket, _ = text.partition("]")
    host = bare + bracket if bracket else text.partition(":")[0]
    allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-" + (":[]" if bracket else "")
    return host if 0 < len(host) <= 253 and all(letter in allowed for letter in host) else None
