"""Whether a service's log moves: pure, told what is committed and what is signed at each look, in monotonic seconds.

It follows one committed event at a time: the newest at some moment, until a signed checkpoint covers it; then the newest of
then. So it asks for two rows a look, however large the log is, and needs no time of day.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from services.audit.events import Reason

GAP_SECONDS: Final = 5.0
"""After a longer time without a look (we, the machine or the database stood still) the waiting begins anew."""


class Position(NamedTuple):
    """How far a service has come: its newest committed event, and the log index of the event that is followed."""

    committed: int
    """A sequence number; 0 where there is no event."""
    log_index: int | None
    relay: Literal["leads", "gone", "never led"]


class Progress:
    """The progress of one log, as one replica sees it."""

    def __init__(self, bound_seconds: float) -> None:
        self._bound_seconds = bound_seconds
        self._signed = 0
        self._since = 0.0
        self._gone_since: float | None = None
        self._last: float | None = None
        self.followed = 0
        """The sequence number of the event that is followed; 0 while none is."""

    def note(self, now: float, position: Position, signed_size: int) -> Reason | None:
        """Takes in a look; says what holds the log up, once it has for longer than the bound."""
        if self._last is not None and now - self._last > GAP_SECONDS:
            self._since, self._gone_since = now, None
        self._last = now
        if self.followed and position.log_index is not None and position.log_index < signed_size:
            self._signed, self.followed = self.followed, 0
        if not self.followed and position.committed > self._signed:
            self.followed, self._since = position.committed, now
        if position.relay != "gone":
            self._gone_since = None
        elif self._gone_since is None:
            self._gone_since = now
        if self.followed and now - self._since >= self._bound_seconds:
            return "events-wait"
        if self._gone_since is not None and now - self._gone_since >= self._bound_seconds:
            return "no-relay-leads"
        return None
