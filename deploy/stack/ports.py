"""The ports of one stack: free ones of 127.0.0.1, kept in `home/ports.json` so that a stack comes back at the same place."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Sequence, Set
from contextlib import closing
from pathlib import Path

from deploy.stack.errors import StackError

NAMES = ("postgres", "rabbitmq", "distribution", "epmd", "mailbox")
_FROM = 10_000
_CLIENTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


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
        ports |= dict(zip(missing, free_ports(len(missing), set(kept.values())), strict=True))
        (home / "ports.json").write_text(json.dumps(kept | ports) + "\n")
    return ports


def free_ports(count: int, taken: Set[int] = frozenset()) -> list[int]:
    """Different free ports. None that the system gives to clients: some connection could have it by the time a server listens,
    which takes a broker seconds, and at each start anew."""
    found: list[int] = []
    for port in random.sample(servers := _ports_of_servers(), len(servers)):
        if port not in taken and is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise StackError(f"of the ports {servers.start} to {servers.stop - 1} of 127.0.0.1 fewer than {count} are free")


def _ports_of_servers() -> range:
    """From 10000 to where the system's own choices begin; everything from there where it has left hardly any below."""
    try:
        clients = int(_CLIENTS.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        clients = 0
    return range(_FROM, clients if clients >= _FROM + 1000 else 65536)
