"""Whether a service consumes and a relay leads: asked of the broker and of the relay's state file, not of the processes; and
what a process that does not come up has said of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import amqp
import msgspec

from deploy.stack import rabbitmq
from shared.relay_state import read_state

_READ_BYTES = 65_536
_MOST_ERRORS = 3
_decoder = msgspec.json.Decoder(dict[str, Any])


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


def errors_since(home: Path, name: str, since: datetime) -> list[str]:
    """Which errors the processes of a service, or the relay of this name, wrote since then: each once, the newest few."""
    records = [record for path in (home / "logs").glob(f"{name}*.log") for record in _errors(path) if record["time"] >= since]
    texts = [
        ": ".join([record["event"], *(str(record[field]) for field in ("reason", "error", "code") if record.get(field))])
        for record in sorted(records, key=lambda record: record["time"])
    ]
    return list(dict.fromkeys(texts))[-_MOST_ERRORS:]


def _errors(path: Path) -> list[dict[str, Any]]:
    """The errors in the end of a log."""
    found = []
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - _READ_BYTES))
        for line in log:
            try:
                record = _decoder.decode(line)
                time = datetime.fromisoformat(record["time"])
            except (msgspec.DecodeError, KeyError, TypeError, ValueError):
                continue  # a warning of Python's, or a line that was cut
            if record.get("level") in ("error", "critical") and isinstance(record.get("event"), str):
                found.append({**record, "time": time})
    return found
