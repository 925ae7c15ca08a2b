"""Threads that a test can stop right before the commit of a unit of work, and let go on when it likes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import pytest

T = TypeVar("T")
PATIENCE_SECONDS = 20.0


class Running(Generic[T]):
    """Something that runs in a thread of its own."""

    def __init__(self, run: Callable[[], T]) -> None:
        self._run = run
        self._value: T
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> Running[T]:
        self.thread.start()
        return self

    def _work(self) -> None:
        try:
            self._value = self._run()
        except BaseException as error:  # handed to whoever asks for the result
            self._error = error

    @property
    def is_over(self) -> bool:
        return not self.thread.is_alive()

    def result(self) -> T:
        """What it gave, or raises what it raised; fails if it does not end."""
        self.thread.join(PATIENCE_SECONDS)
        assert self.is_over, "a thread did not end"
        if self._error is not None:
            raise self._error
        return self._value


class Held(Running[T]):
    """As `Running`, held before the first commit (of `service`, if named) that has something to commit, locks in hand."""

    def __init__(self, run: Callable[[], T], service: str) -> None:
        super().__init__(run)
        self._service = service
        self._arrived = threading.Event()
        self._released = threading.Event()

    def stand(self, place: str) -> None:
        """Called in the thread: waits to be released, the first time."""
        if place.startswith(self._service) and not self._arrived.is_set():
            self._arrived.set()
            assert self._released.wait(PATIENCE_SECONDS), "nobody released a held thread"

    def await_arrival(self) -> None:
        """Returns when it stands before its commit."""
        while not self._arrived.wait(0.02):
            if self.is_over:
                self.result()
                raise AssertionError("it ended without a commit")

    def release(self) -> T:
        """Lets it commit, and gives its result."""
        self._released.set()
        return self.result()


class Gate:
    """Stands at the failpoint before every commit of this process; holds the threads that were started by `hold`."""

    def __init__(self) -> None:
        self._held: dict[threading.Thread, Held[Any]] = {}

    def hold(self, run: Callable[[], T], service: str = "") -> Held[T]:
        """Starts `run` in a thread; returns when it stands before its commit (in `service`, if named)."""
        held = Held(run, service)
        self._held[held.thread] = held
        held.start()
        held.await_arrival()
        return held

    def pass_through(self, name: str) -> None:
        """In the place of `failpoint`."""
        held = self._held.get(threading.current_thread())
        if held is not None and name.endswith(".before-commit"):
            held.stand(name)


@contextmanager
def gate() -> Iterator[Gate]:
    """The gate, for the length of the block."""
    made = Gate()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.work.failpoint", made.pass_through)
        yield made
