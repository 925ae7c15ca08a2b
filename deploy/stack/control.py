"""How a stack talks with its supervisor and its mailbox: one JSON line there, one back, over a unix socket in `home/run`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ANSWER_SECONDS = 10.0
SUPERVISOR = "supervisor.sock"
MAILBOX = "mailbox.sock"


@contextlib.contextmanager
def address(home: Path, name: str = SUPERVISOR) -> Iterator[str]:
    """The socket's name in the 107 bytes a unix address has, however deep the home lies."""
    path = home / "run" / name
    if len(os.fsencode(path)) < 107:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def ask(home: Path, request: dict[str, Any], name: str = SUPERVISOR) -> dict[str, Any] | None:
    """The answer of the supervisor (or of who listens at another socket), or None if there is nobody."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, address(home, name) as path:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(path)
            connection.sendall(json.dumps(request).encode() + b"\n")
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as answer:
                received = answer.read()
    except (FileNotFoundError, ConnectionError):
        return None
    if not received:
        return None
    decoded: dict[str, Any] = json.loads(received)
    return decoded
