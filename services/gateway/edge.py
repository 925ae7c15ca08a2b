"""What happens to every request before and after its operation: a name, an address, limits, safe headers, a line in the log.

An ASGI application around the application. Whatever escapes from inside becomes a problem here, and nothing of it is told but
its kind. No header's value, no path and no query gets into the log: identifiers may stand there against all rules.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic
from typing import Any, Final

from services.gateway.client_address import client_address, source_of
from services.gateway.limits import BytesInFlight, CredentialNames, TokenBuckets
from services.gateway.problems import HeadersTooLarge, RateLimited, problem_response
from services.gateway.serving import HEAD_BYTES
from services.gateway.settings import GatewaySettings
from shared.errors import Busy, InternalError, LetheError
from shared.ids import new_id
from shared.logs import get_logger

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
log = get_logger("lethe.gateway")

MOST_AT_ONCE: Final = 500
"""Requests in this process at once; a hundred of them are at work."""
MOST_HEADERS: Final = 100

API_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
SAFE_HEADERS: Final[dict[bytes, bytes]] = {
    b"strict-transport-security": b"max-age=31536000",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
    b"content-security-policy": API_POLICY.encode(),
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
}
"""Of every answer. One that an operation sets itself stands."""


class Edge:
    """Wraps the application."""

    def __init__(self, app: Any, settings: GatewaySettings) -> None:
        self._app = app
        self._settings = settings
        self._sources = TokenBuckets(settings.source_rate, settings.source_burst)
        self._credentials = TokenBuckets(settings.credential_rate, settings.credential_burst)
        self._names = CredentialNames()
        self._bodies = BytesInFlight(settings.body_bytes)
        self._at_work = 0

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, request_id = monotonic(), new_id()
        status: list[int] = []
        part = self._bodies.part()
        scope.setdefault("state", {})["part"] = part

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(int(message["status"]))
                message["headers"] = _with_safe_headers(message.get("headers", []), request_id)
            await send(message)

        self._at_work += 1
        try:
            await self._answer(scope, receive, send_safely, request_id, status)
        finally:
            part.give_back()
            self._at_work -= 1
            log.info(
                "request", method=_operation(scope), code=str(status[0]) if status else "none", event_id=request_id,
                duration_ms=round((monotonic() - begun) * 1000, 1),
            )  # fmt: skip

    async def _answer(self, scope: Any, receive: Any, send: Send, request_id: str, status: list[int]) -> None:
        try:
            scope.setdefault("state", {}).update(request_id=request_id, source=self._admitted(scope))
            await self._app(scope, receive, send)
        except LetheError as error:
            await problem_response(error, request_id)(scope, receive, send)
        except Exception as unforeseen:
            log.error("request failed", method=_operation(scope), error=unforeseen, event_id=request_id)
            if not status:
                await problem_response(InternalError(), request_id)(scope, receive, send)

    def _admitted(self, scope: Any) -> str:
        """The address that the request comes from. Raises what refuses it before anything of it is done."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if len(headers) > MOST_HEADERS or sum(len(name) + len(value) for name, value in headers) > HEAD_BYTES:
            raise HeadersTooLarge()
        forwarded = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
        address = client_address(scope["client"][0], forwarded, self._settings.trusted_proxies)
        _refuse_while_empty(self._sources.take(source_of(address)))
        shown = b"\n".join(value for name, value in headers if name == b"authorization")
        if shown:
            _refuse_while_empty(self._credentials.take(self._names.name(shown)))
        if self._at_work > MOST_AT_ONCE:
            raise Busy()
        return str(address)


def _refuse_while_empty(wait_seconds: float) -> None:
    if wait_seconds:
        raise RateLimited(retry_after_seconds=int(wait_seconds) + 1)


def _with_safe_headers(headers: Any, request_id: str) -> list[tuple[bytes, bytes]]:
    own = [(bytes(name).lower(), bytes(value)) for name, value in headers]
    named = {name for name, _ in own}
    return [
        *own,
        *((name, value) for name, value in SAFE_HEADERS.items() if name not in named),
        (b"lethe-request-id", request_id.encode()),
    ]


def _operation(scope: Any) -> str:
    """The name of the operation that took the request; "none" where there was none."""
    return str(getattr(scope.get("route"), "name", "none"))
