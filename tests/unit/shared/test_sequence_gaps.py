"""Looking for late commits: nothing committed is passed over, nothing is taken twice, no gap is kept for
ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from shared.sequence_gaps import Gap, SequenceGaps


@dataclass
class ModelDatabase:
    """Transaction ids, a sequence and commits as PostgreSQL has them, without the waiting."""

    next_id: int = 100
    next_sequence: int = 1
    running: dict[int, list[int]] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)

    def begin(self) -> None:
        self.running[self.next_id] = []
        self.next_id += 1

    def draw(self, which: int) -> None:
        if self.running:
            self.running[sorted(self.running)[which % len(self.running)]].append(self.next_sequence)
            self.next_sequence += 1

    def end(self, which: int, commits: bool) -> None:
        if self.running:
            drawn = self.running.pop(sorted(self.running)[which % len(self.running)])
            self.committed.update(drawn if commits else [])

    def poll(self, gaps: SequenceGaps, limit: int) -> list[int]:
        wanted = {number for gap in gaps.gaps for number in range(gap.first, gap.last + 1)}
        found = sorted(number for number in self.committed if number > gaps.high or number in wanted)[:limit]
        gaps.saw(found, min(self.running, default=self.next_id), complete=len(found) < limit)
        if gaps.needs_horizon:
            gaps.set_horizon(self.next_id)
            self.next_id += 1
        return found


steps = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.just(0), st.just(True)),
        st.tuples(st.just("draw"), st.integers(0, 5), st.just(True)),
        st.tuples(st.just("end"), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("poll"), st.integers(1, 4), st.just(True)),
    ),
    max_size=80,
)


@given(steps)
def test_every_committed_event_is_picked_once(moves: list[tuple[str, int, bool]]) -> None:
    """However transactions overlap, commit late or abort, each committed number is picked once; then no gap
    remains.
    """
    database, gaps = ModelDatabase(), SequenceGaps()
    picked: list[int] = []
    for move, number, commits in moves:
        if move == "begin":
            database.begin()
        elif move == "draw":
            database.draw(number)
        elif move == "end":
            database.end(number, commits)
        else:
            picked += database.poll(gaps, number)
    while database.running:
        database.end(0, commits=True)
    for _ in range(len(database.committed) + 3):
        picked += database.poll(gaps, 3)
    assert sorted(database.committed) == sorted(picked)
    assert len(picked) == len(set(picked))
    assert [] == gaps.gaps


def test_a_number_of_a_transaction_younger_than_the_snapshot_is_waited_for() -> None:
    """The oldest running id may pass the snapshot's xmax while the number's own transaction is running: it is
    no horizon.
    """
    gaps = SequenceGaps(high=4)
    gaps.saw([6], oldest_running=101, complete=True)  # 5 was drawn by 105, running; 101 to 104 run as well
    gaps.set_horizon(106)
    gaps.saw([], oldest_running=105, complete=True)
    assert [Gap(5, 5, 106)] == gaps.gaps
    gaps.saw([5], oldest_running=107, complete=True)
    assert [] == gaps.gaps


def test_an_answer_that_was_cut_short_says_nothing_about_gaps() -> None:
    """A gap is given up only by an answer that would have shown it."""
    gaps = SequenceGaps(high=10, holes=[(3, 5)])
    gaps.set_horizon(50)
    gaps.saw([4], oldest_running=99, complete=False)
    assert [Gap(3, 3, 50), Gap(5, 5, 50)] == gaps.gaps
    gaps.saw([], oldest_running=99, complete=True)
    assert [] == gaps.gaps
