"""`python -m tests.benchmarks [--quick]`: all figures in one run, on a private stack that is thrown away afterwards."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from deploy.stack import Stack
from tests.benchmarks import (
    appending,
    checkpoints,
    edge,
    erasing,
    importing,
    logging_cost,
    proving,
    rebuilding,
    recording,
    replaying,
    verifying,
)
from tests.benchmarks.figures import Figure, report
from tests.support.stacks import running_stack

FIGURES = ("import", "edge", "erasure", "append", "checkpoint", "log", "replay", "verify", "rebuild", "reads", "proof")


def main() -> None:
    """Measures, prints the table, writes `bench.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fraction of the work: to try it, not to quote it")
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=FIGURES, help="some figures; no file is written")
    options = parser.parse_args()
    where = Path(os.environ.get("LETHE_HOME", ".lethe")).absolute() / "bench.json"
    notes = [f"the machine: {os.cpu_count()} cores, load {_load()} at the start"]
    os.environ.update({f"LETHE_GATEWAY_{name}": value for name, value in edge.LIMITS.items()})
    with running_stack() as stack:
        os.environ["LETHE_HOME"] = str(stack.home)
        figures = _measure(stack, set(options.only), options.quick, notes)
    notes[0] += f", {_load()} at the end"
    report(figures, notes, where if set(options.only) == set(FIGURES) else None)


def _measure(stack: Stack, wanted: set[str], quick: bool, notes: list[str]) -> list[Figure]:
    figures: list[Figure] = []
    if wanted & {"import", "edge", "erasure"}:
        _say("import")
        found, session = importing.measure(stack, mails=100 if quick else 1_000, notes=notes)
        figures += found
        if "edge" in wanted:
            _say("edge")
            rounds, seconds = (2, 1.0) if quick else (20, 10.0)
            figures += edge.measure(stack, session, rounds=rounds, seconds=seconds, notes=notes)
        if "erasure" in wanted:
            _say("erasure")
            figures += erasing.measure(stack, session, people=5 if quick else 100, times=10, notes=notes)
    if wanted & {"append", "checkpoint", "log", "replay"}:
        _say("append")
        rounds, seconds = (2, 0.5) if quick else (15, 1.0)
        figures += appending.measure(stack, rounds=rounds, seconds=seconds, notes=notes)
    if "checkpoint" in wanted:
        _say("checkpoint")
        figures += checkpoints.measure(stack, seconds=4.0 if quick else 20.0, notes=notes)
    if "log" in wanted:
        _say("log")
        figures += logging_cost.measure(stack, seconds=3.0 if quick else 20.0, notes=notes)
    if "replay" in wanted:
        _say("replay")
        figures += replaying.measure(stack, rounds=1 if quick else 5, most=5_000 if quick else 50_000, notes=notes)
    if "verify" in wanted:
        _say("verify")
        rounds, events, most = (1, 5_000, 20_000) if quick else (5, 100_000, 1_000_000)
        figures += verifying.measure(stack, rounds=rounds, events=events, most=most, notes=notes)
    if "rebuild" in wanted:
        _say("rebuild")
        size, long_size = (5_000, 20_000) if quick else (100_000, 1_000_000)
        figures += rebuilding.measure(stack, rounds=1 if quick else 5, size=size, long_size=long_size, notes=notes)
    if "reads" in wanted:
        _say("reads")
        figures += recording.measure(stack, rounds=1 if quick else 7, notes=notes)
    if "proof" in wanted:
        _say("proof")
        figures += proving.measure(leaves=1_000_000, proofs=100 if quick else 2_000, notes=notes)
    return figures


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def _say(what: str) -> None:
    print(f"measuring {what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
