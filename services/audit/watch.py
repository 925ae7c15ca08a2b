"""The watch: looks at every log again and again, and has handlers write down what it saw and what is wrong.

Each replica watches by itself, without a lease: what was seen is rows that only grow, and an alert is an event at a version
that only one can take. So a replica that is killed loses nothing that was seen, and one that stood still does no harm: it read
what is known before it read the files, which are then no older. Time is monotonic; the time of day is written down, and decides
nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final

from services.audit import handlers, queries
from services.audit.alert import FOR_GOOD, GRACE_SECONDS, Suspicion, judge
from services.audit.events import Cause
from services.audit.handlers import Evidence
from services.audit.progress import Progress
from services.audit.published import Committed, Published, open_published
from services.audit.queries import Watched
from services.audit.tables import CELL
from shared import logs
from shared.checkpoint import Checkpoint
from shared.errors import LetheError, Unavailable
from shared.log_consistency import relate
from shared.merkle import EMPTY_ROOT
from shared.settings import SERVICES, Settings
from shared.work import Store

EVERY_SECONDS: Final = 1.0
RECHECK_SECONDS: Final = 60.0
"""After this time the tiles are looked at again, although no new checkpoint has come."""
STALL_SECONDS: Final = 30.0
"""For so long a committed event may wait for a signed checkpoint (usual: a fifth of a second), or a log be without a relay."""

log = logs.get_logger("lethe.audit")


class Watch:
    """One replica's watch over all logs. `run` in a thread of its own, until `stop`."""

    def __init__(
        self, store: Store, settings: Settings, *, stall_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        bound = float(os.environ.get("LETHE_AUDIT_STALL_SECONDS", STALL_SECONDS)) if stall_seconds is None else stall_seconds
        self._store = store
        self._logs = [WatchedLog(store, settings, service, bound, clock) for service in SERVICES]
        self._wake = threading.Event()
        self._is_stopping = False
        self._is_first = True

    def run(self) -> None:
        """Looks every second until `stop`. Never raises: what can't be looked at now is looked at next time."""
        while not self._is_stopping:
            try:
                self.look()
            except Unavailable as error:
                log.warning("nothing can be written down", error=error)
            except Exception as error:  # a watch that ended would be silence, which looks like peace
                log.error("a look failed", error=error)
            self._wake.wait(EVERY_SECONDS)
        self.close()

    def stop(self) -> None:
        """Ends `run` after the look that is under way."""
        self._is_stopping = True
        self._wake.set()

    def close(self) -> None:
        """Ends the connections to the services' databases."""
        for one in self._logs:
            one.close()

    def look(self) -> None:
        """One look at every log. Raises `Unavailable` where audit's own database is away."""
        known = queries.watched(self._store)
        if self._is_first:
            self._is_first = False
            for one in known.values():
                for cause, alert_id in one.open.items():
                    log.error("alert open", origin=one.origin, kind=cause, event_id=alert_id)
        for each in self._logs:
            try:
                each.look(known[each.service])
            except Unavailable:
                raise
            except Exception as error:  # one log that can't be looked at must not hide the others
                log.error("a log can't be looked at", origin=known[each.service].origin, error=error)


class WatchedLog:
    """One log, as one replica watches it."""

    def __init__(
        self, store: Store, settings: Settings, service: str, stall_seconds: float, clock: Callable[[], float]
    ) -> None:
        self.service = service
        self._store = store
        self._published = Published(settings, service)
        self._committed = Committed(settings, service)
        self._progress = Progress(stall_seconds)
        self._clock = clock
        self._since: dict[Cause, float] = {}
        self._good: tuple[bytes, Checkpoint] | None = None  # the last note with which nothing was wrong
        self._judged_at = 0.0
        self._could_read = True

    def close(self) -> None:
        """Ends the connection."""
        self._committed.close()

    def look(self, known: Watched) -> None:
        """One look at the published checkpoint and at the database. `known` was read before."""
        if known.key is None:
            known.key = self._published.key()
            if known.key is None:
                return  # its relay has never run
            handlers.keep_key(self._store, self.service, known.key)
        note = self._published.note()
        if self._good is not None and self._is_as_it_was(note, known):
            signed_size = self._good[1].size
        else:
            signed_size = self._look_at_note(note, known)
        self._look_at_database(signed_size, known)

    def _is_as_it_was(self, note: bytes | None, known: Watched) -> bool:
        """Whether the same note was found good before, and nobody has seen anything since that could change that."""
        was_good = self._good == (note, known.seen)
        is_recent = self._clock() - self._judged_at < RECHECK_SECONDS
        return was_good and is_recent and not known.awaited and not known.open.keys() - {"stalled"} - FOR_GOOD

    def _look_at_note(self, note: bytes | None, known: Watched) -> int:
        """Judges the published checkpoint; returns its size, 0 where it does not hold."""
        assert known.key is not None
        self._good, self._judged_at = None, self._clock()
        published = open_published(note, known.key, known.origin) if note is not None else None
        if note is not None and published is None:
            self._tell([Suspicion("not-signed", known.seen)], {"unsigned"}, known, None)
            return 0
        empty = Checkpoint(known.origin, 0, EMPTY_ROOT)
        judgement = judge(
            known.seen, known.awaited, published, lambda one, other: relate(self._published.read, one, other), empty
        )
        told: set[Cause] = {"truncated"} if published is None else {"unsigned", "truncated", "changed", "forked"}
        evidence = Evidence(published, note) if published is not None and note is not None else None
        self._tell(judgement.suspicions, told, known, evidence)
        if published is None or note is None:
            return 0
        if not judgement.suspicions:
            self._follow(note, published, known, judgement.confirmed)
        elif judgement.confirmed:
            with self._store.work(CELL) as work:
                handlers.confirm(work, self.service, judgement.confirmed)
        return published.size

    def _follow(self, note: bytes, published: Checkpoint, known: Watched, confirmed: list[Checkpoint]) -> None:
        if known.seen is None or published.size > known.seen.size or confirmed:
            handlers.follow(self._store, self.service, published, note, known.number + 1, confirmed)
        self._good = (note, published)

    def _look_at_database(self, signed_size: int, known: Watched) -> None:
        try:
            position = self._committed.position(self._progress.followed)
        except Unavailable as error:
            if self._could_read:
                log.warning("a log can't be watched for stalls", origin=known.origin, error=error)
            self._could_read = False
            return
        self._could_read = True
        # What a checkpoint that was seen covers is signed, although another one lies in its place now
        signed_size = max(signed_size, known.seen.size if known.seen is not None else 0)
        reason = self._progress.note(self._clock(), position, signed_size)
        self._tell([Suspicion(reason, known.seen)] if reason is not None else [], {"stalled"}, known, None)

    def _tell(self, suspicions: list[Suspicion], told: set[Cause], known: Watched, evidence: Evidence | None) -> None:
        """Raises what was seen for long enough, and clears what a look that would show it (`told`) does not show any more."""
        now = self._clock()
        found = {one.cause: one for one in suspicions}
        for cause, suspicion in found.items():
            since = self._since.setdefault(cause, now)
            if cause not in known.open and now - since >= GRACE_SECONDS[cause]:
                of_fork = evidence if cause == "forked" else None
                try:
                    handlers.raise_alert(self._store, self.service, suspicion, known.versions.get(cause, 0), of_fork)
                except LetheError as error:
                    log.warning("an alert can't be written down yet", origin=known.origin, kind=cause, error=error)
        for cause in told - found.keys():
            self._since.pop(cause, None)
            # tiles of another history can't show whether those of the first one are right again
            if cause in known.open and cause not in FOR_GOOD and not (cause == "changed" and "forked" in found):
                handlers.end_alert(self._store, known.open[cause], "itself")
