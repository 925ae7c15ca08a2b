"""A recovery's first steps (`recovery.py`): the log of a database that was put back gets the places back that it lost.

The log never forks: indices and leaves are those of the tiles. An event that the copy has and that was indexed later takes its
own place, found by its commitment; all others are lost, and their rows bear a negative sequence number, which no event has.
Which places were ever lost stands in a file beside the tiles as well: a copy that has events there is of a time that an earlier
recovery has given up, and nobody knows what was cut in it.
"""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import psycopg2
from psycopg2.extras import execute_values

from shared import put_back
from shared.account_end import CELL, RANGES_IN_ONE_EVENT
from shared.durable_files import replace
from shared.errors import Conflict, Tampered
from shared.events import commitment
from shared.failpoints import failpoint
from shared.ids import new_id
from shared.log_comparison import RowsMissing, compare_with_tiles, ranges_of
from shared.recovery_events import RowsLost
from shared.relay_database import LEASE_SECONDS, RelayDatabase
from shared.settings import Settings
from shared.tiles import TileReader, files_in
from shared.work import Store, Work

LEASE_PATIENCE_SECONDS = 2 * LEASE_SECONDS
PAGE = 5_000
Range = tuple[int, int]
_UNLOGGED = """
SELECT sequence, salt, envelope FROM lethe.event e
WHERE NOT EXISTS (SELECT 1 FROM lethe.log l WHERE l.sequence = e.sequence)
"""
_INSERT = "INSERT INTO lethe.log (index, sequence, leaf, term) VALUES %s"
# of another service the copy may be older, and queues are emptied
_PUBLISH_AGAIN = """
UPDATE lethe.relay_cursor SET published = LEAST(published, COALESCE((
    SELECT min(index) FROM lethe.log WHERE index < %(size)s AND indexed_at >= (
        SELECT max(indexed_at) FROM lethe.log WHERE index < %(size)s) - interval '1 day'), 0))
"""
_TOLD = "SELECT event_id::text, envelope FROM lethe.event WHERE account_id = %s AND type = %s ORDER BY sequence"
_WITHOUT_EVENT = "SELECT index FROM lethe.log WHERE sequence < 0 AND index < %s ORDER BY index"
_AT_A_LOST_PLACE = """
SELECT l.index FROM lethe.log l JOIN unnest(%s::bigint[], %s::bigint[]) AS lost (first, last)
    ON l.index BETWEEN lost.first AND lost.last WHERE l.sequence > 0 AND l.index < %s LIMIT 1
"""
_LOST = """
SELECT min(index), max(index) FROM (
    SELECT index, index - row_number() OVER (ORDER BY index) AS run FROM lethe.log WHERE sequence < 0 AND index >= %s) AS each
GROUP BY run ORDER BY 1
"""


def give_back_places(settings: Settings, service: str) -> int:
    """Gives the log the rows of all that is signed; returns how many there were not. Repeatable.

    Raises `Tampered` where what is there is not the beginning of what was signed, `Conflict` where a relay leads.
    """
    record = put_back.signer_of(settings, service).record()
    reader = TileReader(files_in(settings.path("tiles", service)), record.size)
    if reader.root() != record.root:
        raise Tampered("the tiles do not have the root that was signed", service=service, size=record.size)
    database = RelayDatabase(settings.database_url(service, "relay"), "recovery")
    term = None
    try:
        term = _lease(database, record.term)
        size = put_back.begin(settings, service, database.log_size())
        there = database.log_size()
        try:
            tiles = settings.path("tiles", service)
            compare_with_tiles(database, tiles, min(there, record.size), lambda: database.renew_lease(term))
        except RowsMissing as error:
            raise Tampered("rows are missing in the middle of the log: this is no copy", service=service) from error
        connection = psycopg2.connect(settings.database_url(service, "relay"), connect_timeout=5)
        try:
            with connection, connection.cursor() as cursor:
                _check_copy(cursor, settings, service, size)
                if there < record.size:
                    _insert_rows(cursor, settings, service, reader, there, term)
                cursor.execute(_PUBLISH_AGAIN, {"size": size})
                failpoint("recovery.indexing")
        finally:
            connection.close()
        return max(0, record.size - there)
    finally:
        if term is not None:
            database.release_lease(term)
        database.close()


def _lease(database: RelayDatabase, above: int) -> int:
    """The relay's lease: one that ended without a word runs out in some seconds."""
    deadline = time.monotonic() + LEASE_PATIENCE_SECONDS
    while (term := database.take_lease(above)) is None:
        if time.monotonic() > deadline:
            raise Conflict("a relay of this service leads: stop it first")
        time.sleep(0.2)
    return term


def _check_copy(cursor: Any, settings: Settings, service: str, size: int) -> None:
    """Raises `Tampered` where the copy has a place without an event that its own log does not call lost, or an event at a place
    that an earlier recovery gave up."""
    cursor.execute(_TOLD, (CELL, f"{service}.RowsLost"))
    told = [(first, last) for _, raw in cursor.fetchall() for first, last in _ranges_in(raw)]
    cursor.execute(_WITHOUT_EVENT, (size,))
    for (index,) in cursor.fetchall():
        if not any(first <= index <= last for first, last in told):
            raise Tampered("a place has no event, and the log does not say that it is lost", service=service, index=index)
    given_up = _given_up(settings, service)
    cursor.execute(_AT_A_LOST_PLACE, ([first for first, _ in given_up], [last for _, last in given_up], size))
    if (row := cursor.fetchone()) is not None:
        text = "this copy is of a time that an earlier recovery gave up: take one from before it, or from after it"
        raise Tampered(text, service=service, index=row[0])


def _insert_rows(
    cursor: Any, settings: Settings, service: str, reader: TileReader, there: int, term: int
) -> None:
    cursor.execute(_UNLOGGED)
    known = {commitment(bytes(salt), bytes(envelope)): sequence for sequence, salt, envelope in cursor.fetchall()}
    lost = ranges_of(index for index, leaf in enumerate(reader.entries(there), start=there) if leaf not in known)
    # before the commit: a range that was not lost after all is lost by the next try
    replace(_given_up_path(settings, service), json.dumps([*_given_up(settings, service), *lost]).encode())
    rows = ((index, known.get(leaf, -index - 1), leaf, term) for index, leaf in enumerate(reader.entries(there), start=there))
    execute_values(cursor, _INSERT, rows, page_size=PAGE)


def _given_up_path(settings: Settings, service: str) -> Any:
    return settings.path("tiles", service) / put_back.LOST_PLACES


def _given_up(settings: Settings, service: str) -> list[Range]:
    try:
        found = json.loads(_given_up_path(settings, service).read_bytes())
    except FileNotFoundError:
        return []
    return sorted({(int(first), int(last)) for first, last in found})


def _ranges_in(raw: bytes) -> list[Range]:
    return [(first, last) for first, last in msgspec.json.decode(bytes(raw))["data"]["ranges"]]


def tell_lost(store: Store) -> tuple[int, str | None]:
    """Appends what names the places whose events are lost, once; how many they are, and the event by which it was told last."""
    size = put_back.size_of_copy(store.settings, store.service)

    def decide(work: Work) -> tuple[int, str | None]:
        told = work.fetch(_TOLD, (CELL, f"{store.service}.RowsLost"))
        named = [last for _, raw in told for _, last in _ranges_in(raw)]
        ranges = [(first, last) for first, last in work.fetch(_LOST, (max(size, max(named, default=-1) + 1),))]
        if not ranges:
            return 0, str(told[-1][0]) if told else None
        parts = [ranges[at : at + RANGES_IN_ONE_EVENT] for at in range(0, len(ranges), RANGES_IN_ONE_EVENT)]
        appended = work.append(f"recovery/{new_id()}", 0, [RowsLost(ranges=part) for part in parts])
        return sum(last - first + 1 for first, last in ranges), appended[-1].envelope.event

    return store.run(CELL, decide)
