"""`python -m tests.benchmarks [--quick]`: all figures in one run, on a private stack that is thrown away afterwards."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.benchmarks import appending, checkpoints, erasing, importing, replaying
from tests.benchmarks.figures import Figure, report
from tests.support.stacks import running_stack


def main() -> None:
    """Measures, prints the table, writes `bench.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fraction of the work: to try it, not to quote it")
    quick = parser.parse_args().quick
    where = Path(os.environ.get("LETHE_HOME", ".lethe")).absolute() / "bench.json"
    figures: list[Figure] = []
    notes: list[str] = []
    with running_stack() as stack:
        os.environ["LETHE_HOME"] = str(stack.home)
        _say("import")
        found, session = importing.measure(stack, mails=100 if quick else 1_000, notes=notes)
        figures += found
        _say("erasure")
        figures += erasing.measure(stack, session, people=5 if quick else 100, times=10, notes=notes)
        _say("append")
        rounds, seconds = (1, 1.0) if quick else (3, 4.0)
        figures += appending.measure(stack, rounds=rounds, seconds=seconds, notes=notes)
        _say("checkpoint")
        figures += checkpoints.measure(stack, seconds=4.0 if quick else 15.0, notes=notes)
        _say("replay")
        figures += replaying.measure(stack, rounds=rounds, most=5_000 if quick else 50_000, notes=notes)
    report(figures, notes, where)


def _say(what: str) -> None:
    print(f"measuring {what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
