"""Replays a service's log from its first event into scratch tables, and compares them with the live read model (A1, A3).

As the auditor, without a key: of a sealed value the rows have the digest. Each event is checked against its leaf on the way,
and its leaf against the signed tiles; a changed one stops the replay (`Tampered`). It must not write a live table: the scratch
schema is the whole search path, and the auditor may write nowhere else.

In two steps, so that it can be interrupted. What a checkpoint covers is played in batches, each committed with how far the
replay has come (`scratch.py`): a replay that was ended goes on from the last of them, where the tree over what was played has
still the root that it had. Then one transaction sees log and live rows at the same moment, plays what has come meanwhile, and
compares; nothing of that step is kept.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from itertools import islice, zip_longest
from typing import Any

import msgspec
import psycopg2
import sqlalchemy as sa

from audit.comparison import TableResult, compare_table, count_rows
from audit.copied_rows import Unfit
from audit.findings import Findings
from audit.gone_notes import GoneNotes, Runs
from audit.log_rows import LogRow
from audit.log_time import size_at
from audit.opening import Opener
from audit.reading import auditor_connection, read_events, read_log
from audit.row_batch import RowBatch
from audit.scratch import Scratch
from audit.tile_check import read_published
from shared.account_end import CELL, LeavesGone
from shared.errors import LetheError, Tampered, Unavailable
from shared.events import EventTypes, decode_envelope
from shared.settings import Settings
from shared.tiles import TileReader, files_in
from shared.work import Project

PATIENCE_SECONDS = 30.0
"""How long to wait until every committed event is in the log."""
SAVED_AFTER_AT_MOST = 10_000
"""Events between two commits; fewer where the log is short, so that an interruption costs 4 % of it at most."""

_SAVES = 25
_READ_AT_ONCE = 100_000
"""Events in one transaction of the reader: as long as it lasts, no dead version of a scratch row can go."""
_LOOK_AGAIN_SECONDS = 0.1
# Both are read in the order of their sequence numbers, out of the indices alone: a hash of the log costs three times as much
_UNLOGGED = """
SET LOCAL enable_mergejoin = on;
SELECT count(*) FROM lethe.event e WHERE NOT EXISTS (SELECT 1 FROM lethe.log l WHERE l.sequence = e.sequence)
"""
_UNFINISHED = """
SELECT count(DISTINCT (account_id, stream)) FROM lethe.event AS cut
WHERE (stream LIKE 'erasure/%%' AND type = %(service)s || '.SubjectCut' OR stream LIKE 'gone/%%' AND version = 1)
    AND NOT EXISTS (
        SELECT 1 FROM lethe.event AS receipt WHERE receipt.account_id = cut.account_id AND receipt.stream = cut.stream
            AND receipt.type IN (%(service)s || '.ErasureReceipted', %(service)s || '.AccountGone'))
"""

Progress = Callable[[str, int, int], object]
"""Is told the step, and how much of how much of it is done."""


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay built, and how it compares with the live rows."""

    service: str
    size: int
    """How many events were played: the whole log, or its part up to `as_of`."""
    resumed_at: int
    """How many of them an earlier replay, which was interrupted, had played; this one read the rest."""
    as_of: datetime | None
    tables: list[TableResult]
    equal: bool | None
    """None where nothing was compared."""
    unfinished: int
    """Erasures between their cut and their receipt, and accounts that are ending: their rows are going while we look, so a
    difference is no wonder."""


def replay(
    settings: Settings,
    service: str,
    compare: bool = True,
    as_of: datetime | None = None,
    progress: Progress = lambda *_: None,
    patience_seconds: float = PATIENCE_SECONDS,
    restart: bool = False,
) -> ReplayResult:
    """Rebuilds the read model of a service, as it is now or from the log as of a time (`log_time.py`; then without comparing).

    Goes on where an earlier replay was interrupted, unless it is to `restart`. Raises `Tampered` where an event is not the one
    that was signed, `Conflict` where another replay of this log is going on, `Unavailable` where the database can't be reached
    or committed events do not get into the log (the relay does not run).
    """
    deadline = time.monotonic() + patience_seconds
    with auditor_connection(settings, service) as connection:
        one = _Replay(settings, service, connection, as_of, progress)
        try:
            result = one.run_as_of(as_of, restart) if as_of is not None else one.run(compare, restart, deadline)
        except Tampered as error:
            one.scratch.drop()  # that is the outcome: there is nothing to go on with
            raise Tampered(error.message, **{"service": service} | error.details) from error
        one.scratch.drop()
        return result


class _Replay:
    """One replay. `connection` writes; what reads the log has its own."""

    def __init__(self, settings: Settings, service: str, connection: Any, as_of: datetime | None, progress: Progress) -> None:
        self._settings = settings
        self._service = service
        self._progress = progress
        types: EventTypes = importlib.import_module(f"services.{service}.events").TYPES
        self._project: Project = importlib.import_module(f"services.{service}.projections").project
        self._tables = tables_of(service)
        self._opener = Opener(types, key_of=None)
        self.scratch = Scratch(connection, "replay" if as_of is None else "replay_as_of", service, self._tables)
        self._gone = Runs(())
        self._batch = RowBatch(self.scratch.cursor, self._tables, self.scratch.index)
        self._tiles = self._published()
        self._entries: Iterator[bytes] = iter(())
        self._played = 0
        self._goal = 0
        self._saved = 0
        self._save_after: int | None = None

    # -- what the two kinds of replay do

    def run(self, compare: bool, restart: bool, deadline: float) -> ReplayResult:
        """Plays the whole log and compares."""
        resumed_at = self._begin(restart, self._tiles.size)
        while True:
            self._play_to(self._tiles.size)
            began = time.monotonic()
            result = self._finish(compare, resumed_at, is_last_look=began > deadline)
            if result is not None:
                return result
            time.sleep(max(_LOOK_AGAIN_SECONDS, time.monotonic() - began))
            self._tiles = self._published()

    def run_as_of(self, moment: datetime, restart: bool) -> ReplayResult:
        """Plays what was published at a time, and counts."""
        size = size_at(self.scratch.cursor, moment, self._tiles.size)
        self.scratch.roll_back()
        resumed_at = self._begin(restart, size)
        self._play_to(size)
        return ReplayResult(
            service=self._service, size=size, resumed_at=resumed_at, as_of=moment, equal=None, unfinished=0,
            tables=count_rows(self.scratch.cursor, self.scratch.name, self._tables),
        )  # fmt: skip

    # -- their steps

    def _published(self) -> TileReader:
        """The log as far as the published checkpoint covers it. Raises `Tampered` where that does not hold."""
        findings = Findings()
        published, _ = read_published(self._settings, self._service, findings)
        if findings.kept:
            raise Tampered(findings.kept[0].text, service=self._service)
        return TileReader(files_in(self._settings.path("tiles", self._service)), published.size)

    def _begin(self, restart: bool, size: int) -> int:
        """Goes on from what an earlier replay left, if the signed log still begins so; returns how many events that are."""
        left = self.scratch.progress()
        if restart or not 0 < left.played <= size or self._root(left.played) != left.root:
            self.scratch.create()
            return 0
        self._played = self._saved = left.played
        return left.played

    def _root(self, size: int) -> bytes:
        try:
            return self._tiles.root(size)
        except LetheError as error:
            raise Tampered("the tiles of the log can't be read", index=size) from error

    def _play_to(self, end: int) -> None:
        """Plays events that a checkpoint covers, and commits them."""
        self._goal = end
        self._save_after = min(SAVED_AFTER_AT_MOST, end // _SAVES)
        while self._played < end:
            with auditor_connection(self._settings, self._service) as reader:
                self._read(reader, min(end, self._played + _READ_AT_ONCE))
            self._save()
        self._save_after = None

    def _finish(self, compare: bool, resumed_at: int, is_last_look: bool) -> ReplayResult | None:
        """Plays the rest and compares, at one moment; None where events or erasures are under way that can be waited for."""
        cursor = self.scratch.cursor
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone()
        waiting, unfinished = _under_way(cursor, self._service)
        self.scratch.plan_for_all_rows()
        if (waiting or unfinished) and not is_last_look:
            self.scratch.roll_back()
            return None
        if waiting:
            raise Unavailable("committed events do not get into the log: does the relay run?", events=waiting)
        cursor.execute("SELECT COALESCE(max(index), -1) + 1 FROM lethe.log")
        (self._goal,) = cursor.fetchone()
        with auditor_connection(self._settings, self._service, snapshot=snapshot) as reader:
            self._read(reader, self._goal)
        with self._following(self._saved):
            self._batch.write()
        tables = self._compared() if compare else count_rows(cursor, self.scratch.name, self._tables)
        return ReplayResult(
            service=self._service, size=self._goal, resumed_at=resumed_at, as_of=None, tables=tables, unfinished=unfinished,
            equal=all(table.differing == 0 for table in tables) if compare else None,
        )  # fmt: skip

    def _compared(self) -> list[TableResult]:
        self.scratch.analyze()
        results: list[TableResult] = []
        for number, table in enumerate(self._tables):
            self._progress("comparing", number, len(self._tables))
            results.append(compare_table(self.scratch.cursor, self.scratch.name, table))
        return results

    # -- playing

    def _read(self, reader: Any, end: int) -> None:
        self._entries = self._tiles.entries(self._played)
        self._gone = gone_accounts(reader, self._service).all_named()
        read_log(reader, self._play, self._played, end)
        if self._played < end:
            raise Tampered("the log lacks the event of an index", index=self._played)

    def _play(self, rows: list[LogRow]) -> None:
        first = self._played
        self._check_places(rows)
        add, project = self._batch.add, self._project
        with self._following(first):
            for recorded in self._opener.open([row for row in rows if row.salted]):
                for statement in project(recorded):
                    add(statement)
                event = recorded.event
                if isinstance(event, LeavesGone) and recorded.envelope.account == CELL:
                    self._remove(event.account_id)
        if self._save_after is not None and self._played - self._saved >= self._save_after:
            self._save()
        self._progress("events", self._played, self._goal)

    def _remove(self, account: str) -> None:
        """Rows of an account that is gone, of events that were still there when an earlier run of this replay played them."""
        self._batch.write()
        for table in self._tables:
            self.scratch.cursor.execute(f"DELETE FROM {table.name} WHERE account_id = %s", (account,))

    def _save(self) -> None:
        with self._following(self._saved):
            self._batch.write()
        self.scratch.save(self._played, self._root(self._played))
        self._saved = self._played

    def _check_places(self, rows: list[LogRow]) -> None:
        """The log's rows are dense, and their leaves are those in the tiles as far as a checkpoint covers them."""
        leaves: list[bytes] = []
        try:
            leaves.extend(islice(self._entries, max(0, min(len(rows), self._tiles.size - self._played))))
        except LetheError as error:
            raise Tampered("the tiles of the log can't be read", index=self._played + len(leaves)) from error
        for row, leaf in zip_longest(rows, leaves):
            if row.at != self._played or not (row.salted or row.at in self._gone):
                raise Tampered("the log lacks the event of an index", index=self._played)
            if row.leaf != leaf and row.at < self._tiles.size:
                raise Tampered("the log's row has another leaf than the signed tiles", index=row.at)
            self._played += 1

    @contextmanager
    def _following(self, first: int) -> Iterator[None]:
        """Rows that the server refuses are rows that no unit of work can have made."""
        try:
            yield
        except (Unfit, psycopg2.IntegrityError, psycopg2.DataError) as error:
            raise Tampered("the events do not follow from one another", first=first, last=self._played - 1) from error


def gone_accounts(connection: Any, service: str) -> GoneNotes:
    """What the log says is gone with accounts, or lost. Raises `Tampered` where such an event is not the one of its leaf."""
    gone = GoneNotes()
    told = "e.account_id = %s AND (e.stream LIKE 'gone/%%' OR e.stream LIKE 'recovery/%%')"
    for row in read_events(connection, told, (CELL,)):
        if row.at >= 0:
            if sha256(row.salted).digest() != row.leaf:
                raise Tampered("the event is not the one whose leaf is in the log", service=service, index=row.at)
            gone.note(decode_envelope(row.envelope), row.at)
    return gone


def tables_of(service: str) -> list[sa.Table]:
    """The tables of a service that are made of its log."""
    metadata: sa.MetaData = importlib.import_module(f"services.{service}.tables").metadata
    return [table for table in metadata.sorted_tables if not table.info.keys() & {"index", "cell_wide", "outside_log"}]


def _under_way(cursor: Any, service: str) -> tuple[int, int]:
    """How many committed events are not in the log, and how many erasures and ends of accounts have no receipt yet."""
    cursor.execute(_UNLOGGED)
    waiting = cursor.fetchone()[0]
    cursor.execute(_UNFINISHED, {"service": service})
    return waiting, cursor.fetchone()[0]


__all__ = ["Progress", "ReplayResult", "TableResult", "replay", "tables_of"]
