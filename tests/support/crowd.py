"""Many clients of a stack with several gateways and replicas: each has a connection and an address of its own, and all begin at
the same moment. Also told: how many of their requests were under way at once, and which replica served how many calls.
"""

from __future__ import annotations

import itertools
import json
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx

from deploy.stack import Stack
from tests.support.gateway import Api

PATIENCE_SECONDS = 60.0
HANDSHAKES_AT_ONCE = 8
_numbers = itertools.count(1)


def fresh_address() -> str:
    """An address of this machine from which nobody has come yet: no failures are counted for it."""
    number = next(_numbers)
    return f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"


@dataclass(frozen=True)
class Answered:
    """One request: what came back, and when it was under way."""

    status: int
    body: Any
    begun: float
    ended: float

    @property
    def outcome(self) -> str:
        """The status; the code of the problem where there is one."""
        return str(self.body["code"] if self.status >= 400 else self.status)


Request = Callable[[Api], httpx.Response]


class Doors:
    """The gateways of a stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        found: dict[str, Any] = stack.status()["gateway"]
        self.urls: list[str] = found["urls"]
        self._home = Path(found["certificate"]).parents[1]
        self._context = ssl.create_default_context(cafile=str(found["certificate"]))

    @contextmanager
    def client(self, gateway: int = 0, source: str | None = None) -> Iterator[Api]:
        """A client of one gateway at an address of its own."""
        with self._client(self.urls[gateway % len(self.urls)], source or fresh_address()) as made:
            yield Api(made, self._home)

    @contextmanager
    def client_of(self, url: str, source: str) -> Iterator[Api]:
        """A client of the gateway at an address."""
        with self._client(url, source) as made:
            yield Api(made, self._home)

    def _client(self, url: str, source: str) -> httpx.Client:
        transport = httpx.HTTPTransport(verify=self._context, local_address=source)
        return httpx.Client(base_url=url, transport=transport, timeout=PATIENCE_SECONDS)

    def race(self, requests: Sequence[Request]) -> list[Answered]:
        """Sends all at the same moment, over connections that stand already, to one gateway after the other."""
        begin = Barrier(len(requests))
        with ExitStack() as open_clients:
            clients = [open_clients.enter_context(self.client(at)) for at in range(len(requests))]

            with ThreadPoolExecutor(HANDSHAKES_AT_ONCE) as pool:  # more would wait for longer than a gateway does
                live = pool.map(lambda client: client.call("GET", "/v1/health/live").status_code, clients)
                assert {200} == set(live)

            def send(at: int) -> Answered:
                clients[at].call("GET", "/v1/health/live")  # a gateway ends a connection that was silent for long
                begin.wait(PATIENCE_SECONDS)
                return answered(lambda: requests[at](clients[at]))

            with ThreadPoolExecutor(len(requests)) as pool:
                return [one.result() for one in [pool.submit(send, at) for at in range(len(requests))]]

    def served(self, service: str, method: str, code: str | None = None) -> Counter[str]:
        """How many calls of a method each replica that runs has answered, by its own log."""
        counts: Counter[str] = Counter()
        for process in self.stack.status()["processes"]:
            if process["kind"] == "service" and process["service"] == service:
                calls = (one for one in _lines(Path(process["log"])) if one.get("method") == f"{service}.{method}")
                counts[process["name"]] = sum(one.get("event") == "call" and code in (None, one.get("code")) for one in calls)
        return counts


def answered(send: Callable[[], httpx.Response]) -> Answered:
    """The answer to a request, with its times."""
    begun = time.monotonic()
    response = send()
    ended = time.monotonic()
    return Answered(response.status_code, response.json() if response.content else None, begun, ended)


def at_once(answers: Sequence[Answered]) -> int:
    """How many of the requests were under way at the same time, at the most."""
    moments = sorted([(one.begun, 1) for one in answers] + [(one.ended, -1) for one in answers])
    return max(itertools.accumulate(step for _, step in moments))


def outcomes(answers: Sequence[Answered]) -> Counter[str]:
    """How often each outcome came."""
    return Counter(one.outcome for one in answers)


def until_taken(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Sends a request again as long as the desk has too much to do, or does not answer in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (response := send()).status_code in (503, 504):
        assert time.monotonic() < deadline, "the desk is busy for ever"
        time.sleep(0.05)
    return response


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text().splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found
