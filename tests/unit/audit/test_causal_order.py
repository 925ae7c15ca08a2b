"""Causal order: causes first, streams in their order, and time where neither speaks."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from audit.causal_order import causal_order


class Step(NamedTuple):
    """An event as ordering sees it."""

    key: tuple[int, str, int, int]
    event: str
    cause: str | None = None
    line: str = ""
    version: int = 1


def step(time: int, event: str, cause: str | None = None, line: str | None = None, version: int = 1, log: str = "a") -> Step:
    return Step((time, log, int(event[1:]), 0), event, cause, line or event, version)


def names(steps: list[Step]) -> list[str]:
    return [one.event for one in steps]


def test_an_effect_with_an_earlier_time_comes_after_its_cause() -> None:
    """Where a machine's clock is behind, what followed there still comes after what it followed from."""
    cause, effect, other = step(100, "e1"), step(40, "e2", cause="e1", log="b"), step(60, "e3")
    assert ["e3", "e1", "e2"] == names(causal_order([effect, other, cause]))


def test_the_steps_of_a_stream_keep_their_order() -> None:
    """Version 2 of a stream comes after version 1, whatever their times say."""
    assert ["e1", "e2"] == names(causal_order([step(5, "e2", line="s", version=2), step(9, "e1", line="s", version=1)]))


def test_time_then_service_and_index_decide_where_causality_is_silent() -> None:
    """At one time the service's name decides, and in one service the index."""
    given = [step(7, "e2", log="b"), step(7, "e3", log="a"), step(7, "e1", log="b"), step(3, "e9", log="z")]
    assert ["e9", "e3", "e1", "e2"] == names(causal_order(given))


def test_a_ring_of_causes_leaves_nothing_out() -> None:
    """Events that a forged log lets cause each other are all there, once, and so is what follows from them."""
    ring = [step(2, "e1", cause="e2"), step(1, "e2", cause="e1"), step(3, "e3", cause="e1"), step(4, "e4", cause="e4")]
    assert {"e1", "e2", "e3", "e4"} == set(names(causal_order(ring)))
    assert 4 == len(causal_order(ring))


@given(st.data())
def test_every_order_that_comes_in_goes_out_in_one_causal_order(data: st.DataObject) -> None:
    """Shuffled in whichever way, the result is the same, is whole, and has every cause before its effects."""
    count = data.draw(st.integers(1, 12))
    steps = []
    for number in range(count):
        cause = data.draw(st.none() | st.integers(0, number - 1)) if number else None
        time, log = data.draw(st.integers(0, 5)), data.draw(st.sampled_from("abc"))
        steps.append(step(time, f"e{number}", cause=None if cause is None else f"e{cause}", log=log))
    ordered = causal_order(steps)
    assert ordered == causal_order(data.draw(st.permutations(steps)))
    assert sorted(steps) == sorted(ordered)
    place = {one.event: at for at, one in enumerate(ordered)}
    assert all(one.cause is None or place[one.cause] < place[one.event] for one in ordered)
