"""Replays a service's log from its first event into scratch tables, and compares them with the live read model (A1, A3).

As the auditor, without a key: read models hold the events' own sealed bytes. All of it happens in one transaction that is
rolled back at the end, so nothing is left over, whatever kills it, and live tables and log are seen at the same moment. Each
event is checked against its leaf on the way; a changed one stops the replay (`Tampered`). It must not write a live table:
the scratch schema is the whole search path, and the auditor may write nowhere else.

Its price: rows that one replay updates very often (a counter with 100,000 events) get slow, since no dead version of a row
goes before the transaction ends.
"""

from __future__ import annotations

import importlib
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec
import psycopg2
import sqlalchemy as sa

from audit.comparison import TableResult, compare_tables, count_rows
from audit.findings import Findings
from audit.opening import Opened, Opener
from audit.reading import LogRow, auditor_connection, read_log
from audit.tile_check import read_published
from shared.errors import LetheError, Tampered, Unavailable
from shared.events import EventTypes, Recorded
from shared.settings import Settings
from shared.tiles import TileReader, files_in
from shared.work import Project

PATIENCE_SECONDS = 30.0
"""How long to wait until every committed event is in the log."""

_LOOK_AGAIN_SECONDS = 0.1
_UNLOGGED = "SELECT count(*) FROM lethe.event e WHERE NOT EXISTS (SELECT 1 FROM lethe.log l WHERE l.sequence = e.sequence)"
_UNFINISHED = """
SELECT count(DISTINCT (account_id, stream)) FROM lethe.event AS cut
WHERE stream LIKE 'erasure/%%' AND type = %s AND NOT EXISTS (
    SELECT 1 FROM lethe.event AS receipt
    WHERE receipt.account_id = cut.account_id AND receipt.stream = cut.stream AND receipt.type = %s)
"""

Progress = Callable[[str, int, int], object]
"""Is told the step, and how much of how much of it is done."""


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay built, and how it compares with the live rows."""

    service: str
    size: int
    """How many events were played: the whole log, or its part up to `at`."""
    at: datetime | None
    tables: list[TableResult]
    equal: bool | None
    """None where nothing was compared."""
    unfinished: int
    """Erasures between their cut and their receipt: their rows are going while we look, so a difference is no wonder."""


def replay(
    settings: Settings,
    service: str,
    compare: bool = True,
    at: datetime | None = None,
    progress: Progress = lambda *_: None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> ReplayResult:
    """Rebuilds the read model of a service, as it is now or as of the last event at or before `at` (then without comparing).

    Raises `Tampered` where an event is not the one that was signed, `Unavailable` where the database can't be reached or
    committed events do not get into the log (the relay does not run).
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        with auditor_connection(settings, service) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            (snapshot,) = cursor.fetchone()
            waiting, unfinished = _under_way(cursor, service)
            if at is not None or not (waiting or unfinished) or time.monotonic() > deadline:
                if waiting and at is None:
                    raise Unavailable("committed events do not get into the log: does the relay run?", events=waiting)
                return _Replay(settings, service, connection, snapshot, at, progress).run(compare and at is None, unfinished)
        time.sleep(_LOOK_AGAIN_SECONDS)


def _under_way(cursor: Any, service: str) -> tuple[int, int]:
    """How many committed events are not in the log, and how many erasures have cut and not yet receipted."""
    cursor.execute(_UNLOGGED)
    waiting = cursor.fetchone()[0]
    cursor.execute(_UNFINISHED, (f"{service}.SubjectCut", f"{service}.ErasureReceipted"))
    return waiting, cursor.fetchone()[0]


class _Replay:
    """One replay, at the moment of one snapshot."""

    def __init__(
        self, settings: Settings, service: str, reader: Any, snapshot: str, at: datetime | None, progress: Progress
    ) -> None:
        self._settings = settings
        self._service = service
        self._reader = reader
        self._snapshot = snapshot
        self._at = at
        self._progress = progress
        types: EventTypes = importlib.import_module(f"services.{service}.events").TYPES
        self._project: Project = importlib.import_module(f"services.{service}.projections").project
        metadata: sa.MetaData = importlib.import_module(f"services.{service}.tables").metadata
        self._tables = [
            table for table in metadata.sorted_tables if not table.info.keys() & {"index", "cell_wide", "outside_log"}
        ]
        self._opener = Opener(types, lambda _: None)
        published, _ = read_published(settings, service, Findings())
        self._entries: Iterator[bytes] = TileReader(files_in(settings.path("tiles", service)), published.size).entries()
        self._signed = published.size
        self._size = 0
        self._next = 0

    def run(self, compare: bool, unfinished: int) -> ReplayResult:
        with auditor_connection(self._settings, self._service, snapshot=self._snapshot) as connection:
            with connection.cursor() as self._writer:
                self._size = self._log_size()
                scratch = f"replay_{secrets.token_hex(8)}"
                self._create_tables(scratch)
                read_log(self._reader, self._play, end=self._size)
                if self._next != self._size:
                    raise Tampered("the log lacks the event of an index", index=self._next)
                self._progress("comparing", 0, len(self._tables))
                results = (compare_tables if compare else count_rows)(self._writer, scratch, self._tables)
        return ReplayResult(
            service=self._service, size=self._size, at=self._at, tables=results, unfinished=unfinished,
            equal=all(table.differing == 0 for table in results) if compare else None,
        )  # fmt: skip

    def _log_size(self) -> int:
        """How many events to play: all, or those up to the last one that is not later than `at`."""
        if self._at is None:
            self._writer.execute("SELECT COALESCE(max(index), -1) + 1 FROM lethe.log")
        else:
            self._writer.execute(
                "SELECT COALESCE(max(l.index), -1) + 1 FROM lethe.log l JOIN lethe.event e USING (sequence)"
                " WHERE e.occurred_at <= %s",
                (self._at,),
            )
        return int(self._writer.fetchone()[0])

    def _create_tables(self, scratch: str) -> None:
        self._writer.execute(f'CREATE SCHEMA "{scratch}"')
        for table in self._tables:
            self._writer.execute(
                f'CREATE UNLOGGED TABLE "{scratch}"."{table.name}" (LIKE "{table.schema}"."{table.name}" INCLUDING ALL)'
            )
        self._writer.execute(f'SET LOCAL search_path = "{scratch}"; SET LOCAL statement_timeout = 0; SET LOCAL jit = off')

    def _play(self, rows: list[LogRow]) -> None:
        statements: list[bytes] = []
        for row in rows:
            self._check_place(row)
        for row, opened in zip(rows, self._opener.open(rows), strict=True):
            statements += [
                self._writer.mogrify(statement.sql, statement.values or None)
                for statement in self._project(_recorded(row, opened))
            ]
        try:
            if statements:
                self._writer.execute(b";".join(statements))
        except psycopg2.IntegrityError as error:
            raise Tampered("the events do not follow from one another", first=rows[0].at, last=rows[-1].at) from error
        self._progress("events", self._next, self._size)

    def _check_place(self, row: LogRow) -> None:
        """The log's rows are dense, and their leaves are those in the tiles as far as a checkpoint covers them."""
        if row.at != self._next or not row.salted:
            raise Tampered("the log lacks the event of an index", index=self._next)
        if row.at < self._signed:
            try:
                entry = next(self._entries, None)
            except LetheError as error:
                raise Tampered("the tiles of the log can't be read", index=row.at) from error
            if entry != row.leaf:
                raise Tampered("the log's row has another leaf than the signed tiles", index=row.at)
        self._next += 1


def _recorded(row: LogRow, opened: Opened) -> Recorded:
    """An event as projections take it."""
    sealed = {field.field: part for field, part in zip(opened.envelope.sealed, row.sealed, strict=True)}
    return Recorded(envelope=opened.envelope, event=opened.event, sealed=sealed)


__all__ = ["Progress", "ReplayResult", "TableResult", "replay"]
