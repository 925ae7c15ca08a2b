"""Puts events of several logs into causal order: a cause before its effects, a stream's versions one after another. Pure.

Where causality is silent, time decides, then service and index. Clocks of two machines differ, so an effect may bear an earlier
time than its cause: the order shows the cause first all the same.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable, Sequence
from typing import Protocol, TypeVar


class Ordered(Protocol):
    """What can be ordered."""

    @property
    def key(self) -> tuple[int, str, int, int]:
        """Time (microseconds), service, index, place within an event: what decides where causality is silent. Unique."""

    @property
    def event(self) -> str:
        """The event's id."""

    @property
    def cause(self) -> str | None:
        """The id of the event that this one followed from."""

    @property
    def line(self) -> Hashable:
        """What it is a step of: its stream."""

    @property
    def version(self) -> int:
        """The number of the step."""


T = TypeVar("T", bound=Ordered)


def causal_order(happenings: Iterable[T]) -> list[T]:
    """The same in causal order. What causes itself, by way of others, can't have happened; where a forged log says so, time
    decides there as well, and nothing is left out."""
    given = sorted(happenings, key=lambda one: one.key)
    before = _befores(given)
    waiting = [len(causes) for causes in before]
    after: list[list[int]] = [[] for _ in given]
    for place, causes in enumerate(before):
        for cause in causes:
            after[cause].append(place)
    ready = [place for place, number in enumerate(waiting) if not number]
    left = dict.fromkeys(range(len(given)))  # by time, since `given` is sorted
    ordered: list[T] = []
    while left:
        place = heapq.heappop(ready) if ready else next(iter(left))
        if place not in left:
            continue
        del left[place]
        ordered.append(given[place])
        for effect in after[place]:
            waiting[effect] -= 1
            if not waiting[effect] and effect in left:
                heapq.heappush(ready, effect)
    return ordered


def _befores(given: Sequence[Ordered]) -> list[set[int]]:
    """The places in `given` that must come before each: of its cause, and of the step before it in its stream."""
    events: dict[str, list[int]] = {}
    lines: dict[Hashable, list[int]] = {}
    for place, one in enumerate(given):
        events.setdefault(one.event, []).append(place)
        lines.setdefault(one.line, []).append(place)
    before: list[set[int]] = [set(events.get(one.cause, ())) if one.cause else set() for one in given]
    for places in lines.values():
        steps = sorted(places, key=lambda place: (given[place].version, given[place].key))
        for earlier, later in zip(steps, steps[1:], strict=False):
            before[later].add(earlier)
    return [causes - {place} for place, causes in enumerate(before)]
