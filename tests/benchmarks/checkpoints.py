"""Committed → in a signed checkpoint, while eight writers append and the relay takes up what they write."""

from __future__ import annotations

import time

import psycopg2

from deploy.stack import Stack
from services.tickets.events import TYPES
from services.tickets.projections import project
from shared.checkpoint import parse_checkpoint
from shared.ids import new_id
from shared.settings import Settings
from shared.work import Store
from tests.benchmarks.crew import crew
from tests.benchmarks.figures import Figure, below, percentile
from tests.benchmarks.log import await_relay
from tests.benchmarks.payload import MessagePayload

WRITERS = 8


def measure(stack: Stack, *, seconds: float, notes: list[str]) -> list[Figure]:
    """p50 and p99 in milliseconds, from the return of the commit to a checkpoint on disk that covers the event."""
    settings = Settings.load(stack.home)
    with crew("ours", WRITERS) as writers:
        await_relay(settings, "tickets")
        start = writers.begin(seconds)
        time.sleep(max(0.0, start + 0.5 - time.time()))
        taken = _sample(settings, seconds - 1.0)
        written = writers.end().written
    notes.append(
        f"checkpoint: {len(taken)} samples of an event of its own, while {WRITERS} writers appended"
        f" {written / seconds:,.0f} events/s and the relay indexed, signed and published them"
    )
    return [
        Figure(figure="committed → in a signed checkpoint, p50", value=round(percentile(taken, 0.5), 1), unit="ms"),
        below("committed → in a signed checkpoint, p99", percentile(taken, 0.99), "ms", 200),
    ]


def _sample(settings: Settings, seconds: float) -> list[float]:
    store = Store(TYPES, project, settings, pool_size=1)
    connection = psycopg2.connect(settings.database_url("tickets", "auditor"))
    connection.autocommit = True
    cursor = connection.cursor()
    payload, account = MessagePayload(1), new_id()
    taken = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ticket = new_id()
        opened = payload.opened(ticket, new_id())
        store.run(account, lambda work: work.append(f"ticket/{ticket}", 0, [opened]))  # noqa: B023
        committed = time.monotonic()
        index = None
        while index is None:
            cursor.execute(
                "SELECT l.index FROM lethe.event e JOIN lethe.log l USING (sequence)"
                " WHERE e.account_id = %s AND e.stream = %s AND e.version = 1",
                (account, f"ticket/{ticket}"),
            )
            row = cursor.fetchone()
            if row is None:
                time.sleep(0.002)
            else:
                index = row[0]
        while _size(settings) <= index:
            time.sleep(0.001)
        taken.append((time.monotonic() - committed) * 1000)
        time.sleep(0.02)
    connection.close()
    return taken


def _size(settings: Settings) -> int:
    text = (settings.path("tiles", "tickets") / "checkpoint").read_text()
    return parse_checkpoint(text.split("\n\n")[0] + "\n").size
