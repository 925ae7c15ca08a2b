"""Rebuilding: events a second from the log into read models, and one ticket as of a time out of a long log.

The memory is that of a process of its own on the long log: `python -m tests.benchmarks.rebuilding HOME` plays the log of
tickets once and prints the most that it had.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from audit.replay import replay
from audit.ticket_state import ticket_state
from deploy.stack import Stack
from shared.settings import Settings
from tests.benchmarks.figures import Figure, below, percentile, reaches
from tests.benchmarks.long_log import MESSAGES, LongLog, make_log
from tests.benchmarks.processes import cpu_by_process, peak_mb
from tests.support.databases import fresh_home

WORDS = 165
"""As long as the median message of a real mail corpus: sealed, 1.5 kB."""
FEW_WORDS = 12
"""Of the long log's messages: what they say does not matter there, and a million has to be written."""
QUERIES = 300
MEMORY_MB = 300


class Cost(NamedTuple):
    """Events for each second of the clock, of the CPU of this process, and of its CPU and the server's together."""

    wall: float
    own_cpu: float
    all_cpu: float


def measure(stack: Stack, *, rounds: int, size: int, long_size: int, notes: list[str]) -> list[Figure]:
    """On logs of their own, beside the stack's databases on the same server."""
    with tempfile.TemporaryDirectory() as folder:
        with fresh_home(Path(folder) / "rebuild", stack.status()["admin_url"], ("tickets",)) as settings:
            make_log(settings, size, WORDS)
            costs = [_rebuild(stack, settings) for _ in range(rounds)]
        with fresh_home(Path(folder) / "as-of", stack.status()["admin_url"], ("tickets",)) as settings:
            times = _queries(settings, make_log(settings, long_size, FEW_WORDS))
            memory = _memory_alone(settings.home)
    all_cpu = statistics.median(cost.all_cpu for cost in costs)
    notes.append(
        f"rebuild: {size:,} events, one opening and {MESSAGES} messages a ticket, verified and played into tables without the"
        f" search index; {statistics.median(cost.own_cpu for cost in costs):,.0f} events for each second of our CPU,"
        f" {all_cpu:,.0f} for each of ours and the server's together"
    )
    notes.append(
        f"as of: one ticket at a random time in a log of {long_size:,} events, {QUERIES} times, connecting included; median"
        f" {statistics.median(times):.1f} ms"
    )
    return [
        reaches("rebuild, for each second of all CPU", all_cpu, "events/s", 20_000),
        Figure(figure="rebuild", value=round(statistics.median(cost.wall for cost in costs)), unit="events/s"),
        below(f"rebuild of {long_size:,} events, peak memory", memory, "MB", MEMORY_MB),
        below("ticket as of a time, p99", percentile(times, 0.99), "ms", 50),
    ]


def _rebuild(stack: Stack, settings: Settings) -> Cost:
    before, wall, own = _server_cpu(stack), time.perf_counter(), time.process_time()
    result = replay(settings, "tickets", compare=False)
    wall, own = time.perf_counter() - wall, time.process_time() - own
    return Cost(result.size / wall, result.size / own, result.size / (own + _server_cpu(stack) - before))


def _server_cpu(stack: Stack) -> float:
    """Seconds of CPU of PostgreSQL, with its backends, also those that have ended."""
    return cpu_by_process(stack)["postgres"]


def _queries(settings: Settings, log: LongLog) -> list[float]:
    """Milliseconds of each query, for the answer of which the number of messages is known."""
    chosen = random.Random(1)
    times = []
    for _ in range(QUERIES):
        number = chosen.randrange(len(log.tickets) - 1)
        messages = chosen.randint(0, MESSAGES)
        moment = log.time_of(number * (MESSAGES + 1) + messages)
        began = time.perf_counter()
        state = ticket_state(settings, log.tickets[number], moment)
        times.append(1_000 * (time.perf_counter() - began))
        if len(state.events) != messages + 1 or len(state.rows) != messages + 1:
            raise AssertionError(f"ticket {state.ticket_id} has {len(state.events)} events as of {moment}")
    return times


def _memory_alone(home: Path) -> float:
    """Megabytes that a replay takes in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.rebuilding", str(home)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=1_800).stdout)


def main() -> None:
    """Plays a log and prints the most memory it took, in megabytes."""
    replay(Settings.load(Path(sys.argv[1])), "tickets", compare=False)
    print(peak_mb())


if __name__ == "__main__":
    main()
