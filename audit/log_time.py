"""What the log was at a time in the past: how many events were published at or before it.

The rule. The log at time T is the one that the last checkpoint signed at or before T covers. A checkpoint has no time in it
(c2sp.org/tlog-checkpoint), so the time of one is taken from its last event: the later of the moment at which the relay gave
it its index (the row's, written in the step that ends with the signature) and the moment at which it happened (the
envelope's, which the tree covers). The log at T therefore ends before the first event for which one of them is later than T.
An event that had happened by T and was indexed after it is not in it: nobody could have been shown it. A row whose index was
dated back can't bring an event in before it happened, as its signed time is asked as well.

It reads some twenty rows by their index, and those of one batch of the relay.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

DISORDER = 2_000
"""Within one batch of the relay (`shared/sequencer.py`) events may stand in any order of their times, beyond it they don't."""

_PLAN = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"  # whatever the statistics say: by the index
# Every index below `low` is of that time, as far as we have looked; `high` is not. In one round trip: there are twenty looks.
_HALVING = """
WITH RECURSIVE halving (low, high) AS (
    SELECT 0::bigint, %(size)s::bigint
    UNION ALL
    SELECT CASE WHEN is_later THEN low ELSE found + 1 END, CASE WHEN is_later THEN (low + high) / 2 ELSE high END
    FROM halving CROSS JOIN LATERAL (
        SELECT min(looked.index) AS found,
               COALESCE(bool_or(looked.index >= high OR looked.happened > %(moment)s), true) AS is_later
        FROM (SELECT l.index, greatest(l.indexed_at, e.occurred_at) AS happened
              FROM lethe.log l LEFT JOIN lethe.event e USING (sequence)
              WHERE l.index >= (low + high) / 2 ORDER BY l.index LIMIT 1) AS looked) AS look
    WHERE low < high)
SELECT low FROM halving WHERE low >= high
"""
# The events of a batch have sequence numbers close to each other: one range of them, in place of a look for each.
_FIRST_LATER = """
WITH batch AS MATERIALIZED (
    SELECT index, sequence, indexed_at FROM lethe.log WHERE index >= %(begin)s AND index < %(end)s)
SELECT min(index) FROM batch WHERE indexed_at > %(moment)s OR sequence IN (
    SELECT sequence FROM lethe.event WHERE occurred_at > %(moment)s
    AND sequence >= (SELECT min(sequence) FROM batch) AND sequence <= (SELECT max(sequence) FROM batch))
"""


def size_at(cursor: Any, moment: datetime, published_size: int) -> int:
    """How many events the log had at `moment`: of the `published_size` that a checkpoint covers now, those of that time."""
    cursor.execute(_PLAN)
    cursor.execute(_HALVING, {"size": published_size, "moment": moment})
    (low,) = cursor.fetchone()
    cursor.execute(_FIRST_LATER, {"begin": max(0, low - DISORDER), "end": low, "moment": moment})
    (first,) = cursor.fetchone()
    return int(low if first is None else first)
