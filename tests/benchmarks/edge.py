"""The edge: a ticket page and a search through the gateway against the same calls by RPC, requests and logins a second.

One user, one gateway, over TLS with connections that stay. The gateway's own limits are set out of the way by whoever starts
the stack (`LIMITS`).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from argon2 import PasswordHasher

from cli.api_client import ApiClient
from cli.session import Session
from deploy.stack import Stack
from services.tickets.commands import ListTickets, SearchTickets, ShowTicket, TicketPage
from tests.benchmarks.figures import Figure, percentile

LIMITS: Final = dict.fromkeys(
    ("SOURCE_RATE", "SOURCE_BURST", "CREDENTIAL_RATE", "CREDENTIAL_BURST", "DOOR_RATE", "DOOR_BURST"), "1000000"
)
PASSWORD: Final = "seventeen kettles on a quiet shelf"
LOGIN: Final = "olga@bench.example"
ROUND: Final = 25
CONNECTIONS: Final = 8
LOGINS_AT_ONCE: Final = 4
"""Few enough that none is told to come again later."""
_REQUESTS_A_SECOND = re.compile(r"Requests/sec:\s+([\d.]+)")
_NOT_ANSWERED = re.compile(r"Non-2xx or 3xx responses: (\d+)")


class Owner(ApiClient):
    """The owner, who does not expect to be refused."""

    def get(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON. Raises `RuntimeError` for any status but one of success."""
        answer = self.ask(method, path, body)
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.body}")
        return answer.body

    def log_in(self) -> None:
        """A new session."""
        self.token = None
        self.token = self.get("POST", "/v1/sessions", {"login": LOGIN, "password": PASSWORD})["session_token"]


def measure(stack: Stack, session: Session, *, rounds: int, seconds: float, notes: list[str]) -> list[Figure]:
    """The figures of the edge, on the account of a session whose owner logs in as `LOGIN`."""
    gateway = stack.status()["gateway"]
    session.operate("identity", "set_first_password", {"user": "owner", "password": PASSWORD}, account=session.account_id)
    owner = Owner(gateway["url"], gateway["certificate"])
    owner.log_in()
    ticket = _middling_ticket(session)
    calls: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "ticket page": (
            lambda: session.call("tickets", "show_ticket", ShowTicket(ticket_id=ticket)),
            lambda: owner.get("GET", f"/v1/tickets/{ticket}"),
        ),
        "search": (
            lambda: session.call("tickets", "search_tickets", SearchTickets(words="kettle", limit=20)),
            lambda: owner.get("POST", "/v1/searches", {"words": "kettle", "limit": 20}),
        ),
    }
    figures = [_compared(name, *pair, rounds) for name, pair in calls.items()]
    figures += _by_wrk(gateway["url"], str(owner.token), ticket, seconds, notes)
    figures.append(_logins(gateway, seconds, notes))
    notes.append(f"memory: {_memory(stack)}")
    return figures


def _middling_ticket(session: Session) -> str:
    page = session.call("tickets", "list_tickets", ListTickets(limit=500), result_type=TicketPage)
    in_order = sorted(page.tickets, key=lambda one: one.messages)
    return in_order[len(in_order) * 9 // 10].ticket_id  # one of several messages: most have one


def _compared(name: str, by_rpc: Callable[[], Any], by_https: Callable[[], Any], rounds: int) -> Figure:
    """Both in turns, a few calls each time; the medians of all are compared."""
    taken: dict[Callable[[], Any], list[float]] = {by_rpc: [], by_https: []}
    for _ in range(rounds):
        for call, times in taken.items():
            for _ in range(ROUND):
                begun = time.perf_counter()
                call()
                times.append(1_000 * (time.perf_counter() - begun))
    rpc, https = percentile(taken[by_rpc], 0.5), percentile(taken[by_https], 0.5)
    return Figure(
        figure=f"{name} by HTTPS, p50", value=round(https, 2), unit="ms", peer="the same by RPC", peer_value=round(rpc, 2),
        ratio=round(https / rpc, 3), target="≤ 2 × peer", holds=https <= 2 * rpc,
    )  # fmt: skip


def _by_wrk(url: str, token: str, ticket: str, seconds: float, notes: list[str]) -> list[Figure]:
    """Requests a second on one gateway, by wrk."""
    wrk = shutil.which("wrk")
    if wrk is None:
        notes.append("requests a second were not measured: there is no wrk on this machine (Debian's package `wrk`)")
        return []
    scripts = {
        "ticket page": f'wrk.path = "/v1/tickets/{ticket}"',
        "search": 'wrk.method = "POST"; wrk.path = "/v1/searches"; wrk.body = \'{"words": "kettle", "limit": 20}\'',
    }
    figures = []
    for name, script in scripts.items():
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:  # 0600: the token stands in it, not on the command line
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            said = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in headers.items())
            file.write(f"{script}\n{said}")
            file.flush()
            command = [wrk, "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds:g}s", "-s", file.name, url]
            answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found, failed = _REQUESTS_A_SECOND.search(answer), _NOT_ANSWERED.search(answer)
        assert found is not None and failed is None, answer
        figures.append(Figure(figure=f"{name} by HTTPS, {CONNECTIONS} connections", value=float(found[1]), unit="requests/s"))
    return figures


def _logins(gateway: dict[str, Any], seconds: float, notes: list[str]) -> Figure:
    hasher = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)
    begun = time.perf_counter()
    for _ in range(3):
        hasher.hash(PASSWORD)
    one_hash = (time.perf_counter() - begun) / 3
    until = time.monotonic() + seconds

    def keep_logging_in(_: int) -> int:
        owner, count = Owner(gateway["url"], gateway["certificate"]), 0
        while time.monotonic() < until:
            owner.log_in()
            count += 1
        return count

    with ThreadPoolExecutor(LOGINS_AT_ONCE) as pool:
        count = sum(pool.map(keep_logging_in, range(LOGINS_AT_ONCE)))
    notes.append(
        f"logins: argon2id with 64 MiB, 3 passes, 4 lanes takes {1_000 * one_hash:.0f} ms alone on this machine;"
        f" {LOGINS_AT_ONCE} log in at once, and one process of identity hashes two at a time"
    )
    return Figure(figure="logins", value=round(count / seconds, 2), unit="logins/s")


def _memory(stack: Stack) -> str:
    """Resident memory of each process, in MiB."""
    said = []
    for process in stack.status()["processes"]:
        status = Path(f"/proc/{process['pid']}/status")
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text()) if process["pid"] and status.exists() else None
        if found:
            said.append(f"{process['name']} {int(found[1]) // 1024}")
    return ", ".join(sorted(said)) + " MiB resident"
