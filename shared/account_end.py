"""A service's side of an account's end: from then on nothing of the account is stored here but commitments, which say nothing.

`lifecycle.AccountEnded` arrives → (a) the account is marked as gone, for good: the database refuses to write anything of it;
(b) writers that had begun are waited for, and the relay, until every event of it is in the log and published; (c) `LeavesGone`
names the log's indices whose events go, and is published before any goes; the cut journal names the account; (d) blobs, routes,
rows and keys go, its events last; (e) `AccountGone`, the receipt. The events of (c) and (e) are the cell's, not the account's:
they stay, and explain the log to an auditor.

Each step begins by looking at what is done, so the reaction can be repeated from the start after a crash anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from shared.account_states import GONE_VERSION, keep_state
from shared.cut_journal import Cut, note_cuts
from shared.eraser import eraser_cursor
from shared.errors import Unavailable
from shared.events import Envelope, Event
from shared.failpoints import failpoint
from shared.ids import StoredId
from shared.work import SYSTEM_ACTOR, Store, Work

CELL = SYSTEM_ACTOR
"""What is about no account stands under this one."""
RANGES_IN_ONE_EVENT = 2_000
ROWS_AT_ONCE = 5_000
WRITERS_SECONDS = 5.0
"""How long transactions that had begun are waited for here; then the event is delivered again, with a growing pause."""
PUBLISHED_SECONDS = 5.0
"""The same for the relay, which takes a tenth of a second."""

Index = Annotated[int, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Tidy = Callable[[str], object]
"""(account): removes what the service has of the account outside of its tables. Repeatable."""

_UNPUBLISHED = """
SELECT count(*) FROM lethe.event e LEFT JOIN lethe.log l USING (sequence)
WHERE e.account_id = %s AND (%s::text IS NULL OR e.stream = %s)
    AND (l.index IS NULL OR l.index >= (SELECT published FROM lethe.relay_cursor))
"""
_RANGES = """
SELECT min(index), max(index) FROM (
    SELECT l.index, l.index - row_number() OVER (ORDER BY l.index) AS run
    FROM lethe.event e JOIN lethe.log l USING (sequence) WHERE e.account_id = %s) AS each
GROUP BY run ORDER BY 1
"""
_TABLES = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id'
WHERE n.nspname IN ('lethe', 'keys') AND c.relkind = 'r' AND c.relrowsecurity = %s AND has_table_privilege(c.oid, 'DELETE')
    AND c.relname NOT IN ('event', 'account_state', 'ended_account')
ORDER BY c.relname = 'account_key', 1
"""  # account keys last: item keys refer to them


class LeavesGone(Event, frozen=True, kw_only=True):
    """The events of an account at these places of the log (first and last index of each range) are gone with it. Their
    commitments stay in the tree. Several, where there are many ranges."""

    account_id: StoredId
    ranges: list[tuple[Index, Index]]


class AccountGone(Event, frozen=True, kw_only=True):
    """The receipt: nothing of the account is stored in this service any more."""

    account_id: StoredId
    events: Count
    rows: Count
    """In all tables, as far as this run of the reaction removed them."""


def end_account(store: Store, envelope: Envelope, tidy: Tidy) -> None:
    """The reaction to `lifecycle.AccountEnded`. Raises to be delivered again; every step can be repeated."""
    account = str(envelope.data["account_id"])
    stream = f"gone/{account}"
    if has_given_receipt(store, account):
        return
    _mark(store, account)
    failpoint(f"{store.service}.ending-marked")
    await_writers(store)
    _await_published(store, account)
    _explain(store, envelope, account, stream)
    failpoint(f"{store.service}.ending-explained")
    entry = Cut(account=account, subject=account, kind="account", reason="end of account", request=None, time=envelope.time)
    note_cuts(store.settings, store.service, [entry])
    failpoint(f"{store.service}.ending-journalled")
    _await_published(store, CELL, stream)
    tidy(account)
    rows = _remove_cell_wide(store, account) + _remove_rows(store, account)
    store.keys.forget(account)
    failpoint(f"{store.service}.ending-rows-removed")
    events = _remove_events(store, account)
    _check_nothing_left(store, account)
    failpoint(f"{store.service}.ending-events-removed")

    def give_receipt(work: Work) -> None:
        version = work.versions_of([stream])[stream]
        if _types_of(work, stream)[-1:] != [f"{store.service}.AccountGone"]:
            work.append(stream, version, [AccountGone(account_id=account, events=events, rows=rows)])

    store.run(CELL, give_receipt, causation=envelope.event)


def has_given_receipt(store: Store, account: str) -> bool:
    """Whether nothing of an account is stored here any more, as the service has said."""
    types = store.run(CELL, lambda work: _types_of(work, f"gone/{account}"))
    return types[-1:] == [f"{store.service}.AccountGone"]


def _types_of(work: Work, stream: str) -> list[str]:
    rows = work.fetch(
        "SELECT type FROM lethe.event WHERE account_id = %s AND stream = %s ORDER BY version", (work.account_id, stream)
    )
    return [type_ for (type_,) in rows]


def _mark(store: Store, account: str) -> None:
    """From the commit on nothing of the account is written. Not while a legal hold is noted here: erasure has ended it, or
    lifecycle would not have ended the account, and word of that is on its way."""

    def decide(work: Work) -> None:
        if work.fetch("SELECT 1 FROM keys.hold WHERE account_id = %s LIMIT 1", (account,)):
            raise Unavailable("a legal hold keeps somebody of this account still")
        if not work.fetch("SELECT 1 FROM lethe.account_state WHERE account_id = %s AND state = 'gone'", (account,)):
            keep_state(work, "gone", GONE_VERSION)

    store.run(account, decide)


def await_writers(store: Store) -> None:
    """Waits until each transaction of the service that began before now has ended: it may not know what was committed since.
    Raises `Unavailable` where one lasts."""
    until = time.monotonic() + WRITERS_SECONDS
    with store.database.transaction(CELL) as transaction:
        ((marked_at,),) = transaction.fetch("SELECT clock_timestamp()")
        transaction.commit()
    while True:
        with store.database.transaction(CELL) as transaction:
            ((writers,),) = transaction.fetch(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user"
                " AND pid <> pg_backend_pid() AND xact_start <= %s",
                (marked_at,),
            )
            transaction.commit()
        if not writers:
            return
        if time.monotonic() > until:
            raise Unavailable("transactions that began before the account's end have not ended yet")
        time.sleep(0.02)


def _await_published(store: Store, account: str, stream: str | None = None) -> None:
    """Waits until every event of an account (or of one of its streams) is in the log and published. Raises `Unavailable` where
    that takes long: then the relay does not run."""
    until = time.monotonic() + PUBLISHED_SECONDS
    with eraser_cursor(store.settings, store.service, account) as cursor:
        while True:
            cursor.execute(_UNPUBLISHED, (account, stream, stream))
            ((waiting,),) = cursor.fetchall()
            cursor.connection.commit()
            if not waiting:
                return
            if time.monotonic() > until:
                raise Unavailable("events are on their way into the log, or to the broker", events=waiting)
            time.sleep(0.02)


def _explain(store: Store, envelope: Envelope, account: str, stream: str) -> None:
    """Names the indices before any event goes: once, for a try that comes later finds fewer."""
    with eraser_cursor(store.settings, store.service, account) as cursor:
        cursor.execute(_RANGES, (account,))
        ranges = [(first, last) for first, last in cursor.fetchall()]

    def decide(work: Work) -> None:
        if work.versions_of([stream])[stream] == 0:
            parts = [ranges[at : at + RANGES_IN_ONE_EVENT] for at in range(0, len(ranges), RANGES_IN_ONE_EVENT)]
            work.append(stream, 0, [LeavesGone(account_id=account, ranges=part) for part in parts or [[]]])

    store.run(CELL, decide, causation=envelope.event)


def _remove_cell_wide(store: Store, account: str) -> int:
    """What names the account in tables that are no account's: what timers look after, routes of names."""

    def decide(work: Work) -> int:
        tables = [table for (table,) in work.fetch(_TABLES, (False,))]
        return sum(len(work.change(f"DELETE FROM {table} WHERE account_id = %s RETURNING 1", (account,))) for table in tables)

    return store.run(CELL, decide)


def _remove_rows(store: Store, account: str) -> int:
    removed = 0
    with eraser_cursor(store.settings, store.service, account) as cursor:
        cursor.execute(_TABLES, (True,))
        for (table,) in cursor.fetchall():
            delete = f"DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE account_id = %s LIMIT %s))"
            removed += _in_batches(cursor, lambda: cursor.execute(delete, (account, ROWS_AT_ONCE)))  # noqa: B023
    return removed


def _remove_events(store: Store, account: str) -> int:
    """In the order of the log: what explains a prune goes after what was pruned."""
    with eraser_cursor(store.settings, store.service, account) as cursor:
        delete = (
            "DELETE FROM lethe.event WHERE sequence = ANY (ARRAY("
            "SELECT sequence FROM lethe.event WHERE account_id = %s ORDER BY sequence LIMIT %s))"
        )
        return _in_batches(cursor, lambda: cursor.execute(delete, (account, ROWS_AT_ONCE)))


def _check_nothing_left(store: Store, account: str) -> None:
    """Raises `Unavailable` where a row is left: one that somebody else (a rotation of keys) changed while it was to go."""
    with eraser_cursor(store.settings, store.service, account) as cursor:
        cursor.execute(_TABLES, (True,))
        for table in [*(table for (table,) in cursor.fetchall()), "lethe.event"]:
            cursor.execute(f"SELECT count(account_id) FROM {table} WHERE account_id = %s", (account,))
            ((left,),) = cursor.fetchall()
            if left:
                raise Unavailable("rows of the account are left", rows=left)


def _in_batches(cursor: Any, delete: Callable[[], object]) -> int:
    removed = 0
    while True:
        delete()
        count = int(cursor.rowcount)
        cursor.connection.commit()
        if count == 0:
            return removed
        removed += count
