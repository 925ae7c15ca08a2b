"""Whether every service that serves accounts answers: asked over the broker, once a second at most however often somebody wants
to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from threading import Lock
from time import monotonic
from typing import Any, Final

from shared.errors import LetheError
from shared.rpc_client import RpcClient
from shared.settings import ACCOUNT_SERVICES

ASK_SECONDS: Final = 2.0
GOOD_FOR_SECONDS: Final = 1.0


class Readiness:
    """Asks through one client. Used by any number of threads."""

    def __init__(self, client: RpcClient) -> None:
        self._client = client
        self._lock = Lock()  # held while asking: those who come meanwhile share the answer
        self._held: tuple[float, Mapping[str, bool]] | None = None

    def services(self) -> Mapping[str, bool]:
        """Service → whether it answers, with its database."""
        with self._lock:
            if self._held is None or monotonic() - self._held[0] >= GOOD_FOR_SECONDS:
                found = self._ask_all()
                self._held = (monotonic(), found)
            return self._held[1]

    def _ask_all(self) -> Mapping[str, bool]:
        calls: dict[str, Future[Any]] = {
            service: self._client.call_async(service, "show_health", account=None, timeout_seconds=ASK_SECONDS, repeatable=True)
            for service in ACCOUNT_SERVICES
        }
        return {service: _answers(call) for service, call in calls.items()}


def _answers(call: Future[Any]) -> bool:
    try:
        call.result(timeout=ASK_SECONDS + 1)
    except (LetheError, TimeoutError):
        return False
    return True
