"""Verification: events a second of CPU of the process that verifies, and its memory on a long log.

The speed is that on a log whose events are as large as those of real messages, 50 a stream. The memory is that of a process of
its own on a log of a million small events in half a million streams, since it grows with streams and not with bytes.
`python -m tests.benchmarks.verifying HOME` verifies the log of contacts once and prints a line of figures.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import msgspec

from audit.reading import auditor_connection
from audit.verify import verify
from deploy.stack import Stack
from shared.settings import Settings
from tests.benchmarks.figures import Figure, below
from tests.benchmarks.processes import peak_mb
from tests.integration.audit.audit_stage import AuditStage
from tests.support.long_log import fill
from tests.support.stacks import temporary_home

PER_CORE = 80_000
MEMORY_MB = 300
MESSAGE_BYTES = 1_504
"""What the median message of a real mail corpus has, sealed; a multiple of 16."""
LEAF, NODE = bytes(33), bytes(65)
"""As RFC 6962 hashes them: a byte, and one or two hashes."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One verification of a log."""

    events: int
    wall_seconds: float
    cpu_seconds: float
    peak_mb: float
    """The most memory that the process ever had, all of Python included."""
    hashing_seconds: float
    """CPU that hashes alone take, of as many bytes as often: of event, sealed part, leaf and node of the tree."""


def measure(stack: Stack, *, rounds: int, events: int, most: int, notes: list[str]) -> list[Figure]:
    """Both figures; each run must find its log whole."""
    runs = _runs(stack, events, rounds, versions=50, part_bytes=MESSAGE_BYTES)
    (long,) = _runs(stack, most, 1, versions=2, part_bytes=64)
    speed = statistics.median(one.events / one.cpu_seconds for one in runs)
    wall = statistics.median(one.events / one.wall_seconds for one in runs)
    hashing = statistics.median(one.cpu_seconds / one.hashing_seconds for one in runs)
    notes.append(
        f"verify: {events:,} events with sealed parts of {MESSAGE_BYTES:,} bytes, all checks, in one process: {wall:,.0f}"
        f" events/s by the clock; {hashing:.1f} times the CPU of its hashes alone; medians of {rounds}. {most:,} small events:"
        f" {long.events / long.cpu_seconds:,.0f} events/s of CPU,"
        f" {long.events / long.wall_seconds:,.0f} by the clock, {long.peak_mb:.0f} MB at most"
    )
    return [
        Figure(
            figure="verify, for each second of CPU", value=round(speed), unit="events/s", target=f"≥ {PER_CORE:,}",
            holds=speed >= PER_CORE,
        ),
        below(f"verify {most:,} events, peak memory", long.peak_mb, "MB", MEMORY_MB),
    ]  # fmt: skip


def _runs(stack: Stack, events: int, rounds: int, *, versions: int, part_bytes: int) -> list[Run]:
    with temporary_home() as home:
        stage = AuditStage(stack.status()["admin_url"], home)  # by the server's socket, as the stack itself
        try:
            fill(stage, events, versions=versions, part_bytes=part_bytes)
            stage.as_attacker("VACUUM (ANALYZE) lethe.event, lethe.log")
            stage.as_attacker("CHECKPOINT")  # what the server still has to do with what was written is not to be measured
            return [_run_alone(home) for _ in range(rounds)]
        finally:
            stage.close()


def _run_alone(home: Path) -> Run:
    """A verification in a process of its own, so that its memory is its own."""
    command = [sys.executable, "-m", "tests.benchmarks.verifying", str(home)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=1_800)
    return msgspec.json.decode(done.stdout, type=Run)


def main() -> None:
    """Verifies a log and prints what it took. Ends with 1 where the log is not whole."""
    settings = Settings.load(Path(sys.argv[1]))
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    verdict = verify(settings, "contacts")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if not verdict.good:
        sys.exit(f"the log is not whole: {verdict.findings[:3]}")
    run = Run(
        events=verdict.checked, wall_seconds=wall, cpu_seconds=cpu, peak_mb=peak_mb(),
        hashing_seconds=_hashing(settings, verdict.checked),
    )  # fmt: skip
    print(msgspec.json.encode(run).decode())


def _hashing(settings: Settings, events: int) -> float:
    """Seconds of CPU for the hashes of so many events, by the same library: what no verification can do without."""
    with auditor_connection(settings, "contacts") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT avg(length(envelope) + length(salt))::int, avg(length(sealed[1]))::int FROM lethe.event")
        event, part = (bytes(size) for size in cursor.fetchone())
    began = time.process_time()
    for _ in range(events):
        sha256(event).digest(), sha256(part).digest(), sha256(LEAF).digest(), sha256(NODE).digest()
    return time.process_time() - began


if __name__ == "__main__":
    main()
