"""Whether a service consumes and a relay leads: asked of the broker and of the relay's state file, not of the processes."""

from __future__ import annotations

from pathlib import Path

import amqp

from deploy.stack import rabbitmq
from shared.relay_state import read_state


def not_ready(home: Path, amqp_url: str, services: list[str], relays: dict[str, int | None]) -> list[str]:
    """What is not up yet: services whose queue has no consumer, relays (with their pids) whose lease is not held."""
    missing = [f"relay-{service}" for service, pid in relays.items() if not leads(home, service, pid)]
    try:
        found = rabbitmq.consumers(amqp_url, [f"rpc-{service}" for service in services])
    except (OSError, amqp.AMQPError):
        return [*services, *missing]
    return [service for service in services if not found[f"rpc-{service}"]] + missing


def leads(home: Path, service: str, pid: int | None) -> bool:
    """Whether this process of the service's relays has the lease."""
    state = read_state(home / "run" / f"relay-{service}.json")
    return state is not None and state.state == "leading" and state.pid == pid
