"""Replay: events a second read in log order, verified against the leaves, opened and decoded, against `eventsourcing`."""

from __future__ import annotations

import statistics
import time

from audit.item_keys import load_item_keys
from audit.log_rows import LogRow
from audit.opening import Opener
from audit.reading import auditor_connection, read_log
from deploy.stack import Stack
from services.tickets.events import TYPES
from shared.settings import Settings
from tests.benchmarks.figures import Figure, against
from tests.benchmarks.log import await_relay, log_length

PAGE = 1_000


def measure(stack: Stack, *, rounds: int, most: int, notes: list[str]) -> list[Figure]:
    """Both read what the append benchmark wrote, at most `most` events, in turns. Our keys are loaded before."""
    settings = Settings.load(stack.home)
    await_relay(settings, "tickets")
    ours, ours_cpu, peers = [], [], []
    count = 0
    for _ in range(rounds):
        count, wall, cpu = _ours(settings, most)
        ours.append(count / wall)
        ours_cpu.append(count / cpu)
        peers.append(_peer(settings, most))
    notes.append(
        f"replay: {count:,} of our events, verified, opened and decoded in one process; {statistics.median(ours_cpu):,.0f}"
        " events for each second of its CPU (100,000 are wished for)"
    )
    return [
        against("replay", statistics.median(ours), "events/s", "eventsourcing + AES", statistics.median(peers), 6),
        Figure(figure="replay, for each second of CPU", value=round(statistics.median(ours_cpu)), unit="events/s"),
    ]


def _ours(settings: Settings, most: int) -> tuple[int, float, float]:
    keys = load_item_keys(settings, "tickets")
    opener = Opener(TYPES, keys.get)
    seen = 0

    def handle(rows: list[LogRow]) -> None:
        nonlocal seen
        for _ in opener.open(rows):
            seen += 1

    begun, cpu = time.perf_counter(), time.process_time()
    with auditor_connection(settings, "tickets") as connection:
        read_log(connection, handle, max(0, log_length(settings, "tickets") - most))
    return seen, time.perf_counter() - begun, time.process_time() - cpu


def _peer(settings: Settings, most: int) -> float:
    from tests.benchmarks.eventsourcing_peer import application

    app = application(settings)
    seen, start = 0, 1
    begun = time.perf_counter()
    while seen < most:
        page = app.recorder.select_notifications(start=start, limit=PAGE)
        for notification in page:
            app.mapper.to_domain_event(notification)
        seen += len(page)
        if len(page) < PAGE:
            break
        start = page[-1].id + 1
    return seen / (time.perf_counter() - begun)
