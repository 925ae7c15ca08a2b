"""The five steps that bring committed events into the log and to the broker; what a leading relay repeats.

(1) indices and leaves committed, (2) tiles written, (3) the signing record moved, (4) the checkpoint signed
and published, (5) the events that it covers published to the broker. Each step starts from what the one
before left on disk, so a relay that starts after a crash runs the same code as one that never stopped: it
reads the log rows beyond the signed record and goes on from step 2. It holds nothing that it could not read
again, and it knows nothing of leases beyond its own term.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from shared.errors import Tampered
from shared.failpoints import failpoint
from shared.log_comparison import compare_with_tiles
from shared.log_signer import LogSigner, TermOver
from shared.publisher import Publisher
from shared.relay_database import LoggedEvent, PickedEvent, RelayDatabase
from shared.tile_writer import TileWriter

BATCH = 2_000
TIDY_SECONDS = 0.2
MOST_RECENT = 5_000
MOST_STREAMS_REMEMBERED = 20_000


class StreamOutOfOrder(Tampered):
    """A stream's versions are not consecutive in the order of the log: the relay stops rather than index
    them.
    """

    code = "stream_out_of_order"


class Sequencer:
    """One term of one relay. Any exception ends it; whoever leads next makes a new one from disk and
    database.
    """

    def __init__(self, database: RelayDatabase, tiles: Path, signer: LogSigner, term: int) -> None:
        self._database = database
        self._tiles = tiles
        self._signer = signer
        self._term = term
        record = signer.claim(term)
        self._writer = TileWriter(tiles, record.size)
        if self._writer.root() != record.root:
            raise Tampered("the tiles do not have the root that was signed", size=record.size)
        self.log_size = compare_with_tiles(database, tiles, record.size, self._renew_term)
        self.published = database.published()
        self._next_to_publish = min(self.published, record.size)
        self._gaps = database.gaps()
        self._tidy_at = 0.0
        self._versions: dict[tuple[str, str], int] = {}
        self._recent: deque[LoggedEvent] = deque()  # spares reading again what was just indexed

    @property
    def signed_size(self) -> int:
        """How many leaves the last checkpoint of ours covers."""
        return self._writer.size

    def renew(self) -> None:
        """Prolongs the lease. Raises `TermOver`, or what `compare_with_tiles` does where rows went while we
        lead.
        """
        size = self._renew_term()
        if size != self.log_size:
            compare_with_tiles(self._database, self._tiles, self._writer.size, self._renew_term)
            raise Tampered(
                "the log in the database is not as long as it was", size=size, expected=self.log_size
            )

    def step(self) -> bool:
        """Steps 1 to 4 for one batch. Returns False if there was nothing to do: the next look can wait for a
        wake-up.
        """
        picked = self._database.pick(self._gaps, BATCH) if self.log_size == self._writer.size else []
        leaves = self._index(picked) if picked else []
        behind = self.log_size - self._writer.size
        if not behind:
            return False
        if len(leaves) != behind:  # after a start: rows that the last relay indexed and nobody has signed
            leaves = self._read_leaves(self._writer.size, min(self.log_size, self._writer.size + BATCH))
        self._writer.append(leaves)
        failpoint("relay.tiled")
        self._signer.advance(self._writer.size, self._writer.root(), self._term)
        failpoint("relay.recorded")
        self._signer.publish()
        failpoint("relay.signed")
        return True

    def feed(self, publisher: Publisher) -> None:
        """Step 5: hands the publisher what is signed, as far as it has room, and moves the cursor to what is
        confirmed.
        """
        while self._next_to_publish < self.signed_size and publisher.room > 0:
            end = min(self.signed_size, self._next_to_publish + min(publisher.room, BATCH))
            publisher.submit(self._events(self._next_to_publish, end))
            self._next_to_publish = end
        now = time.monotonic()
        if publisher.waiting == 0 or now >= self._tidy_at:
            self._tidy_at = now + TIDY_SECONDS
            self.note_confirmed(publisher)
            self._writer.discard_superseded()

    def note_confirmed(self, publisher: Publisher) -> None:
        """Moves the cursor."""
        confirmed = publisher.confirmed
        if confirmed > self.published:
            failpoint("relay.published")
            self._database.move_cursor(confirmed)
            self.published = confirmed

    def _renew_term(self) -> int:
        size = self._database.renew_lease(self._term)
        if size is None:
            raise TermOver(term=self._term)
        return size

    def _index(self, picked: Sequence[PickedEvent]) -> list[bytes]:
        self._check_versions(picked)
        leaves = [hashlib.sha256(event.salt + event.envelope).digest() for event in picked]
        first = self.log_size
        if not self._database.index(self._term, first, [event.sequence for event in picked], leaves):
            self.renew()  # says what is wrong, where it is not the term
            raise TermOver(term=self._term)
        failpoint("relay.indexed")
        self.log_size += len(picked)
        self._remember(first, picked)
        return leaves

    def _remember(self, first: int, picked: Sequence[PickedEvent]) -> None:
        """Keeps what was indexed for publishing, unless so much waits already that it had better be read
        again later.
        """
        if len(self._recent) + len(picked) > MOST_RECENT:
            if self._recent and self._recent[0].index > self._next_to_publish:
                self._recent.clear()
            return
        if self._recent and self._recent[-1].index != first - 1:
            self._recent.clear()
        self._recent.extend(
            LoggedEvent(index, event.event_id, event.type, event.stream, event.occurred_at, event.envelope)
            for index, event in enumerate(picked, start=first)
        )

    def _check_versions(self, picked: Sequence[PickedEvent]) -> None:
        """Raises `StreamOutOfOrder` unless each stream goes on, in the log, where it ended."""
        unknown: list[tuple[str, str, int]] = []
        for event in picked:
            stream = (event.account_id, event.stream)
            last = self._versions.pop(stream, None)
            if last is None and event.version > 1:
                unknown.append((*stream, event.version - 1))
            elif event.version != (last or 0) + 1:
                raise _out_of_order(event.stream, event.version, last or 0)
            self._versions[stream] = event.version
        missing = self._database.without_predecessor(unknown)
        if missing is not None:
            raise _out_of_order(missing[0], missing[1] + 1, None)
        for stream in list(self._versions)[: max(0, len(self._versions) - MOST_STREAMS_REMEMBERED)]:
            del self._versions[stream]  # the ones not appended to for longest

    def _read_leaves(self, start: int, end: int) -> list[bytes]:
        leaves = self._database.leaves(start, end)
        missing = [index for index in range(start, end) if index not in leaves]
        if missing:
            raise Tampered("the log in the database has holes", index=missing[0], missing=len(missing))
        return [leaves[index] for index in range(start, end)]

    def _events(self, start: int, end: int) -> list[LoggedEvent]:
        while self._recent and self._recent[0].index < start:
            self._recent.popleft()
        if not self._recent or self._recent[0].index != start or self._recent[-1].index < end - 1:
            return list(self._database.logged(start, end))
        return [self._recent.popleft() for _ in range(end - start)]


def _out_of_order(stream: str, version: int, last: int | None) -> StreamOutOfOrder:
    where = (
        f"after version {last}"
        if last is not None
        else f"and version {version - 1} is not in the log before it"
    )
    return StreamOutOfOrder(
        f"stream {stream}: version {version} comes {where}",
        stream=stream,
        version=version,
        expected=(last or 0) + 1,
    )
