"""What the Merkle log costs: its share of the CPU from the append of an event to its being published at the broker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.stack import Stack
from shared.settings import Settings
from tests.benchmarks.crew import crew
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.log import await_relay, log_length
from tests.benchmarks.processes import cpu_by_process

WRITERS = 8
MOST_PERCENT = 10.0


def measure(stack: Stack, *, seconds: float, notes: list[str]) -> list[Figure]:
    """Eight writers append for some seconds, and the relay takes up all that they wrote; the CPU of writers, server, relay and
    broker until the last event is published is set against what the relay spent on hashing, tiles and signatures."""
    settings = Settings.load(stack.home)
    with crew("ours", WRITERS) as writers:
        await_relay(settings, "tickets")
        stack.stop("relay-tickets")
        before, length = _servers(stack), log_length(settings, "tickets")
        with _metered_relay() as relay:
            writers.begin(seconds)
            writing = writers.end().cpu_seconds
            await_relay(settings, "tickets")
        relaying, merkle = map(float, relay[0].split())
        servers = {name: used - before[name] for name, used in _servers(stack).items()}
        published = log_length(settings, "tickets") - length
        stack.start("relay-tickets")
    others = writing + sum(servers.values()) + relaying - merkle
    percent = 100 * merkle / others
    each = 1e6 / published
    notes.append(
        f"Merkle log: {published:,} events of {WRITERS} writers, appended and published; microseconds of CPU an event: writers"
        f" {each * writing:.0f}, PostgreSQL {each * servers['postgres']:.0f}, RabbitMQ {each * servers['rabbitmq']:.0f}, relay"
        f" {each * relaying:.0f}, of which hashing, tiles, record and signatures {each * merkle:.0f} (the rows of index and"
        " leaf are the server's)"
    )
    return [at_most("cost of the Merkle log, append to published, CPU", percent, "%", MOST_PERCENT)]


def _servers(stack: Stack) -> dict[str, float]:
    used = cpu_by_process(stack)
    return {name: used.get(name, 0.0) for name in ("postgres", "rabbitmq")}


@contextmanager
def _metered_relay() -> Iterator[list[str]]:
    """The relay of tickets for the length of the block; afterwards the list has the line that it ended with."""
    said: list[str] = []
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.metered_relay", "tickets"], stdout=subprocess.PIPE, text=True
    )
    try:
        yield said
        process.terminate()
        said.append(process.communicate(timeout=30)[0])
    finally:
        process.kill()
        process.wait()
