"""Answers that tell nothing by their time. Knows no nameko."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def answered_after(seconds: float) -> Iterator[None]:
    """Lets the block take this long at least. With more time than the work needs, nobody learns whether there was any."""
    answer_at = time.monotonic() + seconds
    yield
    time.sleep(max(0.0, answer_at - time.monotonic()))  # cooperative: eventlet has patched it
