"""Calls that begin at the same moment, in threads of one process, for tests of races."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from shared.errors import LetheError


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """The results of calls that begin together; an error of ours is a result."""
    together = Barrier(len(calls))

    def call(one: Callable[[], Any]) -> Any:
        together.wait()
        try:
            return one()
        except LetheError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))
