"""Some writers of one kind, ready to write at the same moment as often as they are told."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

LEAD_SECONDS = 0.1


class Slice(NamedTuple):
    """What a crew did in a slice of time."""

    written: int
    cpu_seconds: float
    """Of the writers themselves, without the server."""


class Crew:
    """Processes of `writers.py`. Made by `crew`."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes
        for process in processes:
            _answer(process)

    def begin(self, seconds: float) -> float:
        """Tells all to write for some seconds, from a moment on that is given back (seconds since 1970)."""
        start = time.time() + LEAD_SECONDS
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{start} {seconds}\n")
            process.stdin.flush()
        return start

    def end(self) -> Slice:
        """Waits for all that `begin` began."""
        answers = [_answer(process).split() for process in self._processes]
        return Slice(sum(int(written) for written, _ in answers), sum(float(cpu) for _, cpu in answers))


@contextmanager
def crew(who: str, size: int) -> Iterator[Crew]:
    """So many writers of a kind, warm, for the length of the block. They find the stack by the environment."""
    processes: list[subprocess.Popen[str]] = []
    try:
        for seed in range(size):
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.writers", who, str(seed)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            processes.append(process)
        yield Crew(processes)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a writer failed; it has said why above")
    return line
