"""Comparing a database's log with the tiles that were signed, when a relay begins to lead.

A database that was put back to an hour ago, or changed by hand, is found here, before anything is built on
it. The tiles are right, since a checkpoint over them has been seen. One digest for each entry bundle is asked
for, so a million rows take about a second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from shared.errors import Tampered
from shared.relay_database import RelayDatabase
from shared.tiles import TILE_WIDTH, TileReader, files_in

CHUNK = 256 * TILE_WIDTH
MOST_RANGES_NAMED = 20


class RowsMissing(Tampered):
    """Rows that were signed are not in the database's log: it was put back, or rows were removed."""

    code = "rows_missing"


class LogChanged(Tampered):
    """A row of the database's log has another leaf than the signed tiles."""

    code = "log_changed"


def compare_with_tiles(database: RelayDatabase, tiles: Path, size: int, renew: Callable[[], object]) -> int:
    """How many rows the database's log has, once its first `size` are shown to be those of the tiles.

    Calls `renew` between chunks. Raises `RowsMissing`, which names the missing indices, or `LogChanged`,
    which names the first.
    """
    reader = TileReader(files_in(tiles), size)
    suspicious: list[int] = []
    for start in range(0, size, CHUNK):
        renew()
        found = database.bundle_digests(start, min(start + CHUNK, size))
        for number in range(start // TILE_WIDTH, -(-min(start + CHUNK, size) // TILE_WIDTH)):
            entries = reader.bundle(number)
            if found.get(number) != (len(entries), hashlib.sha256(b"".join(entries)).digest()):
                suspicious.append(number)
    missing: list[int] = []
    for number in suspicious:
        first = number * TILE_WIDTH
        entries = reader.bundle(number)
        rows = database.leaves(first, first + len(entries))
        for index, entry in enumerate(entries, start=first):
            if index not in rows:
                missing.append(index)
            elif rows[index] != entry:
                raise LogChanged(f"index {index} of the log has another leaf than the tiles", index=index)
    if missing:
        ranges = name_ranges(missing)
        raise RowsMissing(
            f"the database's log lacks {len(missing)} of {size} signed leaves: {', '.join(ranges)}",
            missing=len(missing),
            size=size,
            indices=ranges,
        )
    return database.log_size()


def ranges_of(indices: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending indices as ranges: the first and the last of each."""
    ranges: list[tuple[int, int]] = []
    for index in indices:
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1] = ranges[-1][0], index
        else:
            ranges.append((index, index))
    return ranges


def name_ranges(indices: Iterable[int]) -> list[str]:
    """Indices as people write them, `7` or `10-19`; the first 20 ranges, then `...`."""
    ranges = ranges_of(indices)
    named = [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:MOST_RANGES_NAMED]]
    return named + (["..."] if len(ranges) > MOST_RANGES_NAMED else [])
