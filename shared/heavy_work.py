"""Runs what takes long and much memory (password hashes) beside the hub: so many at once, so many waiting, and no more.

In a service's process that is a real thread (`run_in_threads`, called where the process starts), so that heartbeats and other
calls go on. The function must give up the interpreter's lock while it works, and must touch nothing of the hub's. This module
knows nothing of the engine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from shared.errors import Busy

Execute = Callable[..., Any]
"""(function, *arguments) → what it gives."""


def _here(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


_execute: Execute = _here


def run_in_threads(execute: Execute) -> None:
    """From now on this process runs its heavy work with `execute`."""
    global _execute
    _execute = execute


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
                return _execute(function, *arguments)
            finally:
                self._places.release()
        finally:
            self._admitted.release()
