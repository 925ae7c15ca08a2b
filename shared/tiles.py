"""Reading a tiled log (c2sp.org/tlog-tiles): paths of tiles and entry bundles, and roots and proofs computed
from few tiles.

A tile is 256 hashes: level 0 holds leaf hashes, each hash of the level above is the root of one full tile
below. What it reads comes from a function `path → bytes or None`, so a folder, an archive and an HTTP server
are all the same to it. It never writes; `shared/tile_writer.py` does. It believes what it reads: compare a
root with a verified checkpoint before trusting it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from shared import merkle
from shared.errors import InvalidArgument, NotFound, Tampered
from shared.merkle import HASH_BYTES

TILE_WIDTH = 256
TILE_HEIGHT = 8
ENTRIES: Literal["entries"] = "entries"
MOST_TILES_IN_MEMORY = 64
NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""There is no such file: nothing, or a folder in its place or a file in that of a folder."""

Level = int | Literal["entries"]
HIGHEST_LEVELS = 64
_PATH = re.compile(
    r"tile/(?P<level>entries|[0-9]{1,2})/(?P<groups>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?", re.ASCII
)
ReadFile = Callable[[str], bytes | None]
"""The bytes of the file at a path below the log's prefix, or None where there is none."""


def tile_path(level: Level, number: int, width: int = TILE_WIDTH) -> str:
    """Where a tile or entry bundle lies, for example `tile/0/x001/x234/067.p/8`. `width` below 256 means a
    partial one.
    """
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03}")
    suffix = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(groups)}{suffix}"


def parse_tile_path(path: str) -> tuple[Level, int, int] | None:
    """Level, number and width of a tile or entry bundle; None for what is no such path to the letter.

    The opposite of `tile_path`, and as strict: no path that it takes leads out of the log's folder.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    level: Level = ENTRIES if found["level"] == ENTRIES else int(found["level"])
    number = int(found["groups"].replace("x", "").replace("/", ""))
    width = int(found["width"] or TILE_WIDTH)
    known = (level == ENTRIES or level < HIGHEST_LEVELS) and (found["width"] is None or width < TILE_WIDTH)
    return (level, number, width) if known and tile_path(level, number, width) == path else None


def tile_width(level: Level, number: int, size: int) -> int:
    """How many hashes (or entries) the tile has in a log of `size` leaves: 256, fewer, or 0 where there is no
    such tile.
    """
    hashes = size if level == ENTRIES else size >> (TILE_HEIGHT * level)
    return max(0, min(TILE_WIDTH, hashes - number * TILE_WIDTH))


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The bytes of an entry bundle: before each entry its length, two bytes big-endian. Raises
    `InvalidArgument`.
    """
    if any(len(entry) > 0xFFFF for entry in entries):
        raise InvalidArgument(field="entry", rule="at most 65,535 bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(octets: bytes) -> list[bytes]:
    """The entries of a bundle. Raises `Tampered` where the lengths do not add up."""
    count, rest = divmod(len(octets), 2 + HASH_BYTES)
    if not rest and octets[:: 2 + HASH_BYTES] == bytes(count) and octets[1 :: 2 + HASH_BYTES] == count * bytes([HASH_BYTES]):
        # where all are hashes, as in a log of ours: a third of the time
        return [octets[at : at + HASH_BYTES] for at in range(2, len(octets), 2 + HASH_BYTES)]
    entries: list[bytes] = []
    at = 0
    while at < len(octets):
        length = int.from_bytes(octets[at : at + 2], "big")
        entries.append(octets[at + 2 : at + 2 + length])
        at += 2 + length
    if at != len(octets):
        raise Tampered("an entry bundle ends in the middle of an entry")
    return entries


def split_hashes(octets: bytes) -> list[bytes]:
    """The hashes of a tile."""
    return [octets[at : at + HASH_BYTES] for at in range(0, len(octets), HASH_BYTES)]


def files_in(folder: Path) -> ReadFile:
    """Reads a log that lies in a folder, as `home/tiles/<service>` does."""

    def read(path: str) -> bytes | None:
        try:
            return (folder / path).read_bytes()
        except NO_FILE:
            return None

    return read


class TileReader:
    """The log as of `size` leaves. Keeps the tiles last read, 64 at most; proofs in a log of a million read 5
    of them.

    `tiles_read` counts the files that were asked for. `too_long` names those that have more in them than their width.
    """

    def __init__(self, read: ReadFile, size: int) -> None:
        self.size = size
        self.tiles_read = 0
        self.too_long: list[str] = []
        self._read = read
        self._tile = lru_cache(MOST_TILES_IN_MEMORY)(self._load_tile)

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The entries at [start, end), bundle by bundle, in memory that does not grow with the range."""
        end = self.size if end is None else min(end, self.size)
        while start < end:
            number = start // TILE_WIDTH
            bundle = self.bundle(number)
            yield from bundle[start - number * TILE_WIDTH : end - number * TILE_WIDTH]
            start = (number + 1) * TILE_WIDTH

    def bundle(self, number: int) -> list[bytes]:
        """The entries of one bundle, as many as it has at this size. Raises `NotFound` or `Tampered`."""
        width = tile_width(ENTRIES, number, self.size)
        octets, width_there = self._file(ENTRIES, number, width)
        entries = decode_bundle(octets)
        self._check_width(len(entries), ENTRIES, number, width_there)
        return entries[:width]

    def tile(self, level: int, number: int) -> list[bytes]:
        """The hashes of one tile, as many as it has at this size. Raises `NotFound` or `Tampered`."""
        return self._tile(level, number)

    def tile_octets(self, level: int, number: int) -> bytes:
        """The same in one piece, read anew."""
        width = tile_width(level, number, self.size)
        octets, width_there = self._file(level, number, width)
        if len(octets) % HASH_BYTES:
            raise Tampered("a tile has the wrong length", path=tile_path(level, number, width_there))
        self._check_width(len(octets) // HASH_BYTES, level, number, width_there)
        return octets[: width * HASH_BYTES]

    def leaf_hash(self, index: int) -> bytes:
        """The leaf hash at `index`."""
        if not 0 <= index < self.size:
            raise InvalidArgument(
                field="index", rule="must be below the size of the log", index=index, size=self.size
            )
        return self._tile(0, index // TILE_WIDTH)[index % TILE_WIDTH]

    def range_hash(self, start: int, end: int) -> bytes:
        """The root of the subtree over the leaves [start, end), a range that RFC 6962's split gives."""
        leaves = end - start
        if leaves & (leaves - 1):
            middle = start + merkle.split_point(leaves)
            return merkle.node_hash(self.range_hash(start, middle), self.range_hash(middle, end))
        level, rest = divmod(leaves.bit_length() - 1, TILE_HEIGHT)
        first = start >> (TILE_HEIGHT * level)
        within = first % TILE_WIDTH
        return merkle.root_of(self._tile(level, first // TILE_WIDTH)[within : within + (1 << rest)])

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` leaves (by default all)."""
        size = self._within(size)
        return self.range_hash(0, size) if size else merkle.EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """The proof that the leaf at `index` is in the tree of `size` leaves (by default all)."""
        return merkle.inclusion_proof(index, self._within(size), self.range_hash)

    def consistency_proof(self, old_size: int, size: int | None = None) -> list[bytes]:
        """The proof that the tree of `size` leaves (by default all) extends the one of `old_size`."""
        return merkle.consistency_proof(old_size, self._within(size), self.range_hash)

    def frontier(self) -> merkle.Frontier:
        """The state from which a writer goes on."""
        nodes: list[bytes] = []
        start = 0
        for height in reversed(range(self.size.bit_length())):
            if self.size >> height & 1:
                nodes.append(self.range_hash(start, start + (1 << height)))
                start += 1 << height
        return merkle.Frontier(self.size, nodes)

    def _within(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise InvalidArgument(field="size", rule="must not be above the size of the log", size=size)
        return size

    def _load_tile(self, level: int, number: int) -> list[bytes]:
        return split_hashes(self.tile_octets(level, number))

    def _check_width(self, found: int, level: Level, number: int, width_there: int) -> None:
        if found == width_there:
            return
        path = tile_path(level, number, width_there)
        if found < width_there:
            raise Tampered("a tile is too short" if level != ENTRIES else "an entry bundle is too short", path=path)
        self.too_long.append(path)

    def _file(self, level: Level, number: int, width: int) -> tuple[bytes, int]:
        """A tile's bytes, and how wide it is there: partial tiles go once the full one is there."""
        self.tiles_read += 1
        path = tile_path(level, number, width)
        for width_there in (width, TILE_WIDTH) if 0 < width < TILE_WIDTH else (width,) if width else ():
            octets = self._read(tile_path(level, number, width_there))
            if octets is not None:
                return octets, width_there
        raise NotFound("a tile is missing", path=path)
