"""The ports of one stack: free ones of 127.0.0.1, kept in `home/ports.json` so that a stack comes back at the same place."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

NAMES = ("postgres", "rabbitmq", "distribution", "epmd", "mailbox")


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of 127.0.0.1 now."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is not "in use"
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def load(home: Path) -> dict[str, int]:
    """The ports of this home; empty where it has none yet."""
    try:
        return {name: int(port) for name, port in json.loads((home / "ports.json").read_text()).items()}
    except (FileNotFoundError, ValueError):
        return {}


def settle(home: Path, running: frozenset[str], also: Sequence[str] = ()) -> dict[str, int]:
    """Gives every server, and what is named beside them, its port: the one it had, unless somebody else has taken it; of what
    is `running` never another."""
    kept, names = load(home), (*NAMES, *also)
    ports = {name: kept[name] for name in names if name in kept and (name in running or is_free(kept[name]))}
    missing = [name for name in names if name not in ports]
    if missing:
        ports |= dict(zip(missing, _free_ports(len(missing), set(kept.values())), strict=True))
        (home / "ports.json").write_text(json.dumps(kept | ports) + "\n")
    return ports


def _free_ports(count: int, taken: set[int]) -> list[int]:
    """Different free ports: all are held until the last is found."""
    probes: list[socket.socket] = []
    found: list[int] = []
    try:
        while len(found) < count:
            probe = socket.socket()
            probes.append(probe)
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            if port not in taken:
                found.append(port)
    finally:
        for probe in probes:
            probe.close()
    return found
