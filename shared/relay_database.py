"""All that the relay asks of a service's database: its lease, picking events, giving indices, reading the
log, the cursor.

Each call is one statement in a transaction of its own, so that a relay that is stopped in the middle never
holds a lock between two statements. What the statements rely on stands in `shared/schema.sql`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg2
import psycopg2.errors

from shared.failpoints import failpoint
from shared.sequence_gaps import SequenceGaps

LEASE_SECONDS = 3.0
STATEMENT_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class PickedEvent:
    """A committed event, as far as the relay may see it: never the sealed part."""

    sequence: int
    account_id: str
    stream: str
    version: int
    event_id: str
    type: str
    occurred_at: datetime.datetime
    envelope: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event with its log index, on its way to the broker."""

    index: int
    event_id: str
    type: str
    stream: str
    occurred_at: datetime.datetime
    envelope: bytes


_PICK = """
SELECT running.oldest, found.* FROM
    (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest) AS running
    LEFT JOIN (
        SELECT * FROM (
            (SELECT e.sequence, e.account_id::text, e.stream, e.version, e.event_id::text, e.type,
                    e.occurred_at, e.envelope, e.salt
             FROM unnest(%(first)s::bigint[], %(last)s::bigint[]) AS gap (first, last)
             JOIN lethe.event e ON e.sequence BETWEEN gap.first AND gap.last)
            UNION ALL
            (SELECT e.sequence, e.account_id::text, e.stream, e.version, e.event_id::text, e.type,
                    e.occurred_at, e.envelope, e.salt
             FROM lethe.event e WHERE e.sequence > %(high)s ORDER BY e.sequence LIMIT %(limit)s)
        ) AS either ORDER BY sequence LIMIT %(limit)s
    ) AS found ON true
ORDER BY found.sequence
"""

# One statement, so one transaction and no pause in it. Nothing is inserted unless the term is ours at this
# moment (a takeover waits for the lock, or we wait for it and see its term) and the log ends just before
# `first`.
_INDEX = """
WITH lease AS (SELECT term FROM lethe.relay_lease WHERE term = %(term)s FOR SHARE)
INSERT INTO lethe.log (index, sequence, leaf, term)
SELECT %(first)s + place - 1, sequence,
       substring(%(leaves)s FROM (place::int - 1) * 32 + 1 FOR 32), lease.term
FROM lease, unnest(%(sequences)s::bigint[]) WITH ORDINALITY AS picked (sequence, place)
WHERE COALESCE((SELECT max(index) FROM lethe.log), -1) = %(first)s - 1
"""

_WITHOUT_PREDECESSOR = """
SELECT stream, version FROM unnest(%s::uuid[], %s::text[], %s::int[]) AS wanted (account_id, stream, version)
WHERE NOT EXISTS (
    SELECT 1 FROM lethe.event e JOIN lethe.log l USING (sequence)
    WHERE e.account_id = wanted.account_id AND e.stream = wanted.stream AND e.version = wanted.version)
LIMIT 1
"""

_BUNDLES = """
SELECT index / 256, count(*), sha256(string_agg(leaf, ''::bytea ORDER BY index)) FROM lethe.log
WHERE index >= %s AND index < %s GROUP BY 1 ORDER BY 1
"""

_LOGGED = """
SELECT l.index, e.event_id::text, e.type, e.stream, e.occurred_at, e.envelope
FROM lethe.log l JOIN lethe.event e USING (sequence) WHERE l.index >= %s AND l.index < %s ORDER BY l.index
"""


class RelayDatabase:
    """A connection as the relay's role. Every method raises `psycopg2.Error` where the database is away."""

    def __init__(self, url: str, holder: str) -> None:
        self._holder = holder
        self._connection = psycopg2.connect(
            url,
            connect_timeout=5,
            application_name="lethe-relay",
            keepalives_idle=5,
            options=f"-c timezone=UTC -c lock_timeout=2s -c statement_timeout={STATEMENT_TIMEOUT_SECONDS}s"
            " -c idle_in_transaction_session_timeout=5s",
        )
        self._connection.autocommit = True
        self._cursor = self._connection.cursor()

    def close(self) -> None:
        self._connection.close()

    # -------------------------------------------------------------------------------------------------------
    # the lease

    def take_lease(self, above: int) -> int | None:
        """The new term, if nobody's lease is running; else None.

        It is later than `above`, the term in the signing record: a database that was put back has forgotten
        terms.
        """
        try:
            return self._one(
                "UPDATE lethe.relay_lease SET term = greatest(term, %s) + 1, holder = %s,"
                " expires_at = clock_timestamp() + make_interval(secs => %s)"
                " WHERE expires_at < clock_timestamp() RETURNING term",
                (above, self._holder, LEASE_SECONDS),
            )
        except psycopg2.errors.LockNotAvailable:
            return None

    def renew_lease(self, term: int) -> int | None:
        """Prolongs the lease. Returns how many leaves the log has by its last index, or None if the term is
        over.
        """
        return self._one(
            "UPDATE lethe.relay_lease SET expires_at = clock_timestamp() + make_interval(secs => %s)"
            " WHERE term = %s RETURNING COALESCE((SELECT max(index) FROM lethe.log), -1) + 1",
            (LEASE_SECONDS, term),
        )

    def release_lease(self, term: int) -> None:
        """Ends our lease, so that another relay need not wait for it to run out."""
        self._cursor.execute("UPDATE lethe.relay_lease SET expires_at = '-infinity' WHERE term = %s", (term,))

    # --------------------------------------------------------------------------------------------------
    # picking, indexing

    def gaps(self) -> SequenceGaps:
        """Where to look for events that are not in the log: above its highest sequence number, and in all
        holes below.
        """
        self._cursor.execute(
            "SELECT before + 1, sequence - 1 FROM"
            " (SELECT sequence, lag(sequence, 1, 0::bigint) OVER (ORDER BY sequence) AS before"
            " FROM lethe.log) AS pair"
            " WHERE sequence > before + 1 ORDER BY sequence"
        )
        holes = self._cursor.fetchall()
        # Read second: what was indexed in between can only be ours, and we do not index meanwhile.
        return SequenceGaps(self._one("SELECT COALESCE(max(sequence), 0) FROM lethe.log") or 0, holes)

    def pick(self, gaps: SequenceGaps, limit: int) -> list[PickedEvent]:
        """The committed events that are not in the log, by sequence number, `limit` at most; notes them in
        `gaps`.
        """
        self._cursor.execute(
            _PICK,
            {
                "first": [gap.first for gap in gaps.gaps],
                "last": [gap.last for gap in gaps.gaps],
                "high": gaps.high,
                "limit": limit,
            },
        )
        rows = self._cursor.fetchall()
        events = [
            PickedEvent(
                sequence, account, stream, version, event_id, type_, occurred_at, bytes(envelope), bytes(salt)
            )
            for _, sequence, account, stream, version, event_id, type_, occurred_at, envelope, salt in rows
            if sequence is not None
        ]
        gaps.saw([event.sequence for event in events], rows[0][0], complete=len(events) < limit)
        if gaps.needs_horizon:
            gaps.set_horizon(self._one("SELECT pg_current_xact_id()::text::bigint") or 0)
        return events

    def without_predecessor(self, wanted: Sequence[tuple[str, str, int]]) -> tuple[str, int] | None:
        """The first (stream, version) of these (account, stream, version) that is not in the log; None if all
        are.
        """
        if not wanted:
            return None
        self._cursor.execute(_WITHOUT_PREDECESSOR, [list(column) for column in zip(*wanted, strict=True)])
        row = self._cursor.fetchone()
        return (row[0], row[1]) if row else None

    def index(self, term: int, first: int, sequences: Sequence[int], leaves: Sequence[bytes]) -> bool:
        """Gives these events the indices from `first` on. False if the term is over or the log does not end
        there.
        """
        failpoint("relay.indexing")
        self._cursor.execute(
            _INDEX,
            {
                "term": term,
                "first": first,
                "sequences": list(sequences),
                "leaves": psycopg2.Binary(b"".join(leaves)),
            },
        )
        return bool(self._cursor.rowcount == len(sequences))

    # ------------------------------------------------------------------------------------------------------
    # reading the log

    def log_size(self) -> int:
        """One more than the last index of the log."""
        return self._one("SELECT COALESCE(max(index), -1) + 1 FROM lethe.log") or 0

    def bundle_digests(self, start: int, end: int) -> dict[int, tuple[int, bytes]]:
        """Of the log rows at [start, end), by entry bundle: how many there are, and SHA-256 over their leaves
        in order.
        """
        self._cursor.execute(_BUNDLES, (start, end))
        return {number: (count, bytes(digest)) for number, count, digest in self._cursor.fetchall()}

    def leaves(self, start: int, end: int) -> dict[int, bytes]:
        """The log's leaves at [start, end) by index."""
        self._cursor.execute(
            "SELECT index, leaf FROM lethe.log WHERE index >= %s AND index < %s ORDER BY index", (start, end)
        )
        return {index: bytes(leaf) for index, leaf in self._cursor.fetchall()}

    def logged(self, start: int, end: int) -> Iterator[LoggedEvent]:
        """The events at [start, end), in the order of the log."""
        self._cursor.execute(_LOGGED, (start, end))
        for index, event_id, type_, stream, occurred_at, envelope in self._cursor.fetchall():
            yield LoggedEvent(index, event_id, type_, stream, occurred_at, bytes(envelope))

    # --------------------------------------------------------------------------------------------------------
    # ---- the cursor

    def published(self) -> int:
        """All indices below it are confirmed by the broker."""
        return self._one("SELECT published FROM lethe.relay_cursor") or 0

    def move_cursor(self, published: int) -> None:
        """Moves the cursor forward, never back: also a relay whose term is over tells the truth about what it
        published.
        """
        failpoint("relay.moving_cursor")
        self._cursor.execute(
            # Its commit does not wait for the disk: a cursor that is behind means duplicates only.
            "UPDATE lethe.relay_cursor SET published = %s WHERE published < %s"
            " AND set_config('synchronous_commit', 'off', true) IS NOT NULL",
            (published, published),
        )

    def _one(self, statement: str, arguments: tuple[object, ...] = ()) -> int | None:
        self._cursor.execute(statement, arguments)
        row = self._cursor.fetchone()
        return row[0] if row else None
