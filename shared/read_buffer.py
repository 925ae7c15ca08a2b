"""What a process has noted of reads and not written yet: taken without waiting, written as one event per account.

Once a second, as soon as 500 reads wait, and when the process stops, the notes go into the service's log. A note is never
more than an append to a list in memory, so a read does not wait for its record and does not fail with it.

What is lost, and when: `kill -9` takes what was noted since the last writing, a second of reads at most while the database is
there. While it is away the notes wait, up to `NAMES_AT_MOST`; reads beyond are not recorded, and their number is logged.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from shared.errors import Unavailable, VersionConflict
from shared.ids import new_id
from shared.logs import get_logger
from shared.read_records import Read, ReadsRecorded, stream_of
from shared.work import Store, Work

EVERY_SECONDS: Final = 1.0
READS_AT_ONCE: Final = 500
"""So many in one event at most, and so many that wait make it be written at once."""
NAMES_IN_AN_EVENT: Final = 2_000
"""Ids in one event, beyond which the next read begins another: an envelope travels in one message."""
NAMES_AT_MOST: Final = 100_000
"""Ids held in memory, some 10 MB."""

log = get_logger("lethe.reads")


class _Batch(NamedTuple):
    account_id: str
    event: ReadsRecorded


class ReadBuffer:
    """The notes of one process. `note` from any thread; `run` in one, until `stop`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted: deque[tuple[str, Read]] = deque()
        self._batches: deque[_Batch] = deque()  # taken from `_noted`, with ids of their own, and not known to be written
        self._names = 0  # in both
        self._lost = 0
        self._writing = threading.Lock()  # guards `_batches`: one writes, the others wait for it
        self._wake = threading.Event()
        self._is_stopping = False

    def note(self, account_id: str, read: Read) -> None:
        """Takes a read, or counts it as lost where too much waits already. Returns at once."""
        weight = _weight(read)
        if self._names + weight > NAMES_AT_MOST:
            self._lost += 1
            return
        self._names += weight
        self._noted.append((account_id, read))
        if len(self._noted) >= READS_AT_ONCE:
            self._wake.set()

    def run(self) -> None:
        """Writes again and again until `stop`."""
        while not self._is_stopping:
            self._wake.wait(EVERY_SECONDS)
            self._wake.clear()
            self.flush()

    def stop(self) -> None:
        """Writes what waits, once the last read was noted, and ends `run`."""
        self._is_stopping = True
        self._wake.set()
        self.flush()

    def flush(self) -> None:
        """Writes what was noted so far. Never raises: what can't be written now waits for the next time."""
        with self._writing:
            self._batches.extend(self._taken())
            while self._batches:
                batch = self._batches[0]
                try:
                    self._write(batch)
                except (Unavailable, VersionConflict) as error:
                    log.warning("reads not recorded yet", count=sum(len(one.event.reads) for one in self._batches), error=error)
                    break
                except Exception as error:  # the same would be refused each time, and hold up all others
                    log.error("reads can't be recorded", count=len(batch.event.reads), error=error)
                self._batches.popleft()
                self._names -= sum(map(_weight, batch.event.reads))
        if self._lost:
            lost, self._lost = self._lost, 0
            log.error("reads were lost, too many waited", count=lost)

    def _taken(self) -> Iterator[_Batch]:
        """What is noted, by account, in events that are not too large."""
        by_account: dict[str, list[Read]] = {}
        for _ in range(len(self._noted)):
            account, read = self._noted.popleft()
            reads = by_account.setdefault(account, [])
            if reads and (len(reads) == READS_AT_ONCE or sum(map(_weight, reads)) + _weight(read) > NAMES_IN_AN_EVENT):
                yield _batch(account, reads)
                reads = by_account[account] = []
            reads.append(read)
        for account, reads in by_account.items():
            yield _batch(account, reads)

    def _write(self, batch: _Batch) -> None:
        """Appends a batch once, also where an answer to the commit was lost and nobody knows."""
        stream = stream_of(batch.event.batch_id)

        def decide(work: Work) -> None:
            work.mark_repeatable()
            if not work.versions_of([stream])[stream]:
                work.append(stream, 0, [batch.event])

        self._store.run(batch.account_id, decide)


def _batch(account_id: str, reads: list[Read]) -> _Batch:
    return _Batch(account_id, ReadsRecorded(batch_id=new_id(), reads=reads))


def _weight(read: Read) -> int:
    return 1 + len(read.persons) + len(read.tickets)
