"""Runs what takes long and much memory (password hashes) beside the hub: so many at once, so many waiting, and no more.

In a service's process that is a real thread, so that heartbeats and other calls go on (nameko.md, "Start of a process"). The
function must give up the interpreter's lock while it works, and must touch nothing of the hub's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from eventlet import patcher, tpool

from shared.errors import Busy


class HeavyWork:
    """A number of places, and a queue of bounded length and patience before them."""

    def __init__(self, *, at_once: int, waiting: int, patience_seconds: float) -> None:
        self._places = threading.BoundedSemaphore(at_once)
        self._admitted = threading.BoundedSemaphore(at_once + waiting)
        self._patience_seconds = patience_seconds

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function gives. Raises `Busy` where the queue is full, or no place was free in time; nothing was done."""
        if not self._admitted.acquire(blocking=False):
            raise Busy()
        try:
            if not self._places.acquire(timeout=self._patience_seconds):
                raise Busy()
            try:
                if patcher.is_monkey_patched("thread"):
                    return tpool.execute(function, *arguments)
                return function(*arguments)
            finally:
                self._places.release()
        finally:
            self._admitted.release()
