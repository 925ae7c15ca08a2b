"""What a timer looks after: rows over all accounts with the time of the next look, each claimed by one replica at a time.

Such a table has ids and times only: an id, `account_id` and `look_at`. A replica that dies leaves its rows to the next look.
"""

from __future__ import annotations

from datetime import timedelta

from shared.work import SYSTEM_ACTOR, Store, Work


def claim_due(store: Store, table: str, column: str, claimed_for: timedelta, limit: int) -> list[tuple[str, str]]:
    """Claims rows that are due, the longest first, as (account, id); `column` is the id's. Nobody else gets them so long."""

    def decide(work: Work) -> list[tuple[str, str]]:
        rows = work.change(
            f"UPDATE {table} SET look_at = %s WHERE {column} IN (SELECT {column} FROM {table}"
            f" WHERE look_at <= %s ORDER BY look_at LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING account_id, {column}",
            (work.now + claimed_for, work.now, limit),
        )
        return [(account, claimed) for account, claimed in rows]

    return store.run(SYSTEM_ACTOR, decide)
