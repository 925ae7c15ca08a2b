"""`python -m tests.benchmarks.metered_relay SERVICE`: the relay, with a meter on what it does for the Merkle log alone.

On SIGTERM it ends as the relay does, and prints one line: the process's seconds of CPU, and those of them that went into
hashing leaves, into the tiles and their tree, into the signing record and into the checkpoint, synchronising the disk included.
"""

from __future__ import annotations

import hashlib
import signal
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from shared import sequencer
from shared.log_signer import LogSigner
from shared.relay import Relay
from shared.settings import Settings
from shared.tile_writer import TileWriter

METERED = ((TileWriter, "append"), (TileWriter, "root"), (TileWriter, "discard_superseded"), (LogSigner, "advance"),
           (LogSigner, "publish"))  # fmt: skip


class Meter:
    """Adds up the CPU that calls take in the thread that makes them. What it takes itself is counted too."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def on(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, metered. One that makes another metered call would count twice; none here does."""

        def metered(*arguments: Any, **named: Any) -> Any:
            begun = time.thread_time()
            try:
                return call(*arguments, **named)
            finally:
                self.seconds += time.thread_time() - begun

        return metered


def main() -> None:
    """Runs until SIGTERM."""
    meter = Meter()
    for kind, name in METERED:
        setattr(kind, name, meter.on(getattr(kind, name)))
    sequencer.hashlib = SimpleNamespace(sha256=meter.on(hashlib.sha256))  # type: ignore[assignment]
    relay = Relay(Settings.load(), sys.argv[1])
    signal.signal(signal.SIGTERM, relay.stop)
    begun = time.process_time()
    relay.run()
    print(time.process_time() - begun, meter.seconds, flush=True)


if __name__ == "__main__":
    main()
