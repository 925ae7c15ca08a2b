"""A process of its own, `python -m deploy.stack.topology SERVICE…`: asks the services' code what they react to and declares
the exchanges and queues. The broker's URL comes on stdin, so that it is in no list of processes.

It imports nameko and eventlet, which is why the stack never imports it.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import time

from shared import bus
from shared.errors import Unavailable

PATIENCE_SECONDS = 60.0


def reactions_of(service: str) -> list[str]:
    """The event types that a service reacts to; `LookupError` if its module has no service class."""
    module = importlib.import_module(f"services.{service}.service")
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if getattr(kind, "name", None) == service and kind.__module__ == module.__name__:
            return bus.reactions_of(kind)
    raise LookupError(f"services.{service}.service has no class with name = {service!r}")


def main(services: list[str]) -> None:
    """Waits for the broker, which may start at the same time, and declares."""
    reactions = {service: reactions_of(service) for service in services}
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
