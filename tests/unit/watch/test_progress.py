"""Whether a log moves, in monotonic seconds."""

from __future__ import annotations

from services.audit.events import Reason
from services.audit.progress import GAP_SECONDS, Position, Progress

BOUND = 10.0


class Log:
    """A log that a test moves, and its progress as the watch sees it, a look a second."""

    def __init__(self) -> None:
        self.progress = Progress(BOUND)
        self.now = 100.0
        self.committed = 0
        self.indexed = 0
        self.signed = 0
        self.leads = True

    def look(self, seconds: float = 1.0) -> Reason | None:
        self.now += seconds
        followed = self.progress.followed
        index = followed - 1 if 0 < followed <= self.indexed else None
        return self.progress.note(self.now, Position(self.committed, index, "leads" if self.leads else "gone"), self.signed)

    def looks(self, seconds: int) -> list[Reason | None]:
        return [self.look() for _ in range(seconds)]


def test_a_log_that_is_signed_in_time_never_stalls() -> None:
    """However much comes, and although something always waits at the moment of a look."""
    log = Log()
    for _ in range(100):
        log.committed += 50
        assert log.look() is None
        log.indexed = log.signed = log.committed - 1


def test_an_event_that_waits_longer_than_the_bound_is_a_stall_until_it_is_signed() -> None:
    """Neither a row in the log nor other events are enough: the signed checkpoint has to cover it."""
    log = Log()
    log.committed = 1
    assert [None] * 10 + ["events-wait"] == log.looks(11)
    log.committed, log.indexed = 5, 1
    assert "events-wait" == log.look()
    log.signed = 1
    assert log.look() is None
    assert [None] * 9 + ["events-wait"] == log.looks(10)
    log.indexed = log.signed = 5
    assert log.look() is None


def test_a_relay_that_is_gone_is_a_stall_without_any_event() -> None:
    """A lease that nobody holds for longer than the bound; a takeover in time is none."""
    log = Log()
    log.leads = False
    assert not any(log.looks(9))
    log.leads = True
    assert not any(log.looks(30))
    log.leads = False
    assert [None] * 10 + ["no-relay-leads"] == log.looks(11)


def test_after_a_pause_of_ours_the_waiting_begins_anew() -> None:
    """When the whole machine stood still, the relay gets its time to catch up."""
    log = Log()
    log.committed, log.leads = 1, False
    assert not any(log.looks(9))
    assert log.look(GAP_SECONDS + 100) is None
    assert [None] * 9 + ["events-wait"] == log.looks(10)
