"""A process of its own, `python -m deploy.stack.topology SERVICE…`: asks the services' code what they react to and declares
the exchanges and queues. The broker's URL comes on stdin, so that it is in no list of processes.

It imports nameko and eventlet, which is why the stack never imports it.
"""

from __future__ import annotations

import sys
import time

from shared import bus
from shared.errors import Unavailable
from shared.service_classes import service_class

PATIENCE_SECONDS = 60.0


def main(services: list[str]) -> None:
    """Waits for the broker, which may start at the same time, and declares."""
    reactions = {service: bus.reactions_of(service_class(service)) for service in services}
    amqp_url = sys.stdin.readline().strip()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            bus.declare_topology(amqp_url, reactions)
            return
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1:])
