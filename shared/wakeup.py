"""The datagram that tells a relay "something was committed": one unix socket a service,
`home/run/relay-<service>.sock`.

A hint only. A lost one costs the pause between two polls, so sending never waits and never fails, and a relay
that can't have the socket goes on without.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

SHORT_PATH = 50
"""Characters of a path that surely fits, whatever characters they are."""

_sender: dict[int, socket.socket] = {}


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """A name of the socket that fits into the 107 bytes a unix address has, however deep the home lies."""
    if len(os.fsencode(path)) < 107:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def send_wakeup(path: Path) -> None:
    """Wakes the relay that listens at `path`, if one does. Call it after the commit. Never blocks, never
    raises.
    """
    with contextlib.suppress(OSError):
        sender = _sender.get(os.getpid())
        if sender is None:
            sender = _sender[os.getpid()] = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sender.setblocking(False)
        name = str(path)
        if len(name) < SHORT_PATH:
            sender.sendto(b".", name)
            return
        with _address(path) as address:
            sender.sendto(b".", address)


class Wakeup:
    """What a relay waits on: datagrams at `path` (once it listens), and `notify` from its own threads and
    signal handlers.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._socket: socket.socket | None = None
        self._notified = threading.Event()

    def listen(self) -> None:
        """Takes the socket over from whoever had it. Without it (no such folder, no room) polling goes on."""
        self.close_socket()
        with contextlib.suppress(OSError):
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            listener.setblocking(False)
            self._path.unlink(missing_ok=True)
            with _address(self._path) as address:
                listener.bind(address)
            self._socket = listener

    def close_socket(self) -> None:
        """Stops listening. The name stays: it may be a successor's by now, and a datagram to nobody is
        refused at once.
        """
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def notify(self) -> None:
        """Ends the wait. Safe in a signal handler and from any thread."""
        if not self._notified.is_set():
            self._notified.set()
            os.eventfd_write(self._event, 1)

    def wait(self, timeout_seconds: float) -> None:
        """Returns after a datagram, a `notify`, or the time, whichever is first; takes what has come in."""
        sources: list[int | socket.socket] = [self._event, *([self._socket] if self._socket else [])]
        ready, _, _ = select.select(sources, [], [], max(0.0, timeout_seconds))
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event)
        # Cleared after the read: what is notified before this line is looked at by whoever waited.
        self._notified.clear()
        if self._socket in ready and self._socket is not None:
            with contextlib.suppress(BlockingIOError):
                while self._socket.recv(1):
                    pass
