"""What a timer looks after: rows over all accounts with the time of the next look, each claimed by one replica at a time.

Such a table has ids and times only: an id, `account_id` and the columns of `due_columns`. Who claimed a row removes it, or sets
the next look, which ends the claim; a replica that dies before leaves it to the next one, when its claim is over.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from shared.work import SYSTEM_ACTOR, Store, Work


def due_columns(table: str) -> list[sa.schema.SchemaItem]:
    """When to look, who is looking (until then nobody else), and the index by which the timer finds what is due.

    Two columns, since a claim is as wrong as the clock that it was made by: one that lies much further ahead than claims are
    made for was made while a clock was ahead, and is none. In the time of the look itself it would be taken for one."""
    return [
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True)),
        sa.Index(f"{table}_by_time", "look_at"),
    ]


def claim_due(store: Store, table: str, column: str, claimed_for: timedelta, limit: int) -> list[tuple[str, str]]:
    """Claims rows that are due, as (account, id); `column` is the id's. Nobody else gets them so long, unless the clocks of two
    replicas are further apart than that. Those that wait the longest since somebody looked come first: what can't be done
    keeps nothing else, however many that are."""

    def decide(work: Work) -> list[tuple[str, str]]:
        until = work.now + claimed_for
        rows = work.change(
            f"UPDATE {table} SET claimed_until = %s WHERE {column} IN (SELECT {column} FROM {table} WHERE look_at <= %s"
            " AND (claimed_until IS NULL OR claimed_until <= %s OR claimed_until > %s)"
            f" ORDER BY least(coalesce(claimed_until, look_at), %s), {column} LIMIT %s FOR UPDATE SKIP LOCKED)"
            f" RETURNING account_id, {column}",
            (until, work.now, work.now, until + claimed_for, work.now, limit),
        )
        return [(account, claimed) for account, claimed in rows]

    return store.run(SYSTEM_ACTOR, decide)
