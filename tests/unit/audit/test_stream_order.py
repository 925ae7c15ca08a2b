"""Streams: versions that follow one another, in the order of the log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from audit.stream_order import StreamOrder

ACCOUNT = b"a" * 16


@given(st.lists(st.tuples(st.sampled_from([b"x", b"y", b"z"]), st.integers(1, 5)), max_size=30), st.integers(0, 30))
def test_due_is_the_version_after_the_last_seen(events: list[tuple[bytes, int]], cut: int) -> None:
    """Whatever the events, what is due is one more than the stream's last version, also when the work goes on from a file."""
    last: dict[bytes, int] = {}
    order = StreamOrder()
    for number, (stream, version) in enumerate(events):
        if number == cut:
            order = StreamOrder(begin=order.positions())
        assert last.get(stream, 0) + 1 == order.due(ACCOUNT, stream, version)
        last[stream] = version


def test_streams_of_two_accounts_are_two() -> None:
    """The same name in another account is another stream."""
    order = StreamOrder()
    assert 1 == order.due(ACCOUNT, b"x", 1) and 1 == order.due(b"b" * 16, b"x", 1)


def test_stream_may_begin_anywhere_where_its_beginning_is_not_read() -> None:
    """A log that is read from its middle takes the first version that it sees, and no later one, as it is."""
    order = StreamOrder(partial=True)
    assert 7 == order.due(ACCOUNT, b"x", 7) and 8 == order.due(ACCOUNT, b"x", 9)
