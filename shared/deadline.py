"""The deadline of the work in hand, passed down: what is called on behalf of a call may not outlive it.

Kept in a context variable, which is each thread's and each green thread's own; work handed to another thread
starts without one. The RPC entrypoint sets it; the RPC client and other waits ask for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from shared import clock

_deadline: ContextVar[datetime | None] = ContextVar("lethe_deadline", default=None)


@contextmanager
def until(deadline: datetime) -> Iterator[None]:
    """Runs the block under a deadline; an earlier one that is in force stays in force."""
    outer = _deadline.get()
    token = _deadline.set(deadline if outer is None else min(outer, deadline))
    try:
        yield
    finally:
        _deadline.reset(token)


def current() -> datetime | None:
    """The deadline in force, or None."""
    return _deadline.get()


def remaining_seconds(limit_seconds: float) -> float:
    """How long a wait may take: `limit_seconds`, or less if the deadline comes first; not below 0."""
    deadline = _deadline.get()
    if deadline is None:
        return limit_seconds
    return max(0.0, min(limit_seconds, (deadline - clock.now()).total_seconds()))
