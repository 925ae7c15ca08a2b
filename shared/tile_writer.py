"""Growing a tiled log in a folder (c2sp.org/tlog-tiles): each append leaves every tile and entry bundle of
the new size there.

The relay's second step. It costs O(batch + log n): the frontier gives the hashes of the tiles that fill up,
and only the last, not yet full tile of each level is kept in memory. All files are durable when `append`
returns, since a checkpoint over them is signed next. A file that exists must be byte-equal, else `Tampered`:
what was written before a crash is written once more, and the same bytes come out. It signs nothing and knows
nothing of checkpoints.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from shared import merkle
from shared.durable_files import create_immutable, make_folder, sync_folders
from shared.merkle import Frontier
from shared.tiles import (
    ENTRIES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Level,
    TileReader,
    encode_bundle,
    files_in,
    tile_path,
)


class TileWriter:
    """The one writer of the log in `folder`, starting after its first `size` leaves, whose tiles must be
    there.

    Raises `NotFound` or `Tampered` where they are not. The caller compares `root()` with what was signed.
    """

    def __init__(self, folder: Path, size: int = 0) -> None:
        self.folder = folder
        reader = TileReader(files_in(folder), size)
        self._frontier: Frontier = reader.frontier()
        self._bundle = reader.bundle(size // TILE_WIDTH) if size % TILE_WIDTH else []
        self._open: list[list[bytes]] = []  # of each level the hashes of the tile that is not full yet
        self._superseded: list[str] = []  # folders of partial tiles whose full tile is there
        level = 0
        while (hashes := size >> (TILE_HEIGHT * level)) or level == 0:
            number, width = divmod(hashes, TILE_WIDTH)
            self._open.append(list(reader.tile(level, number)) if width else [])
            if number:
                self._superseded.append(_partial_folder(level, number - 1))
                if level == 0:
                    self._superseded.append(_partial_folder(ENTRIES, number - 1))
            level += 1

    @property
    def size(self) -> int:
        """How many leaves the log has."""
        return self._frontier.size

    def root(self) -> bytes:
        """The root of the log as it stands."""
        return self._frontier.root()

    def append(self, entries: Sequence[bytes]) -> None:
        """Adds entries and writes their tiles, durably. After an exception this object is of no use; make a
        new one.

        Raises `Tampered` if a tile is there with other bytes.
        """
        files: dict[str, bytes] = {}
        for entry in entries:
            self._bundle.append(entry)
            number = self.size // TILE_WIDTH
            completed = self._frontier.append(merkle.leaf_hash(entry))
            if len(self._bundle) == TILE_WIDTH:
                files[tile_path(ENTRIES, number)] = encode_bundle(self._bundle)
                self._superseded.append(_partial_folder(ENTRIES, number))
                self._bundle = []
            self._add_hashes(completed, files)
        if entries:
            self._add_partial_tiles(files)
            self._write(files)

    def discard_superseded(self) -> None:
        """Removes the partial tiles whose full tile is there and covered by the last published checkpoint.

        Without it a log that grows event by event would keep 255 partial tiles for each full one. Readers of
        an earlier checkpoint take the full tile instead (the specification tells them to). A crash in between
        leaves files, no harm.
        """
        for path in self._superseded:
            shutil.rmtree(self.folder / path, ignore_errors=True)
        self._superseded = []

    def _add_hashes(self, completed: list[bytes], files: dict[str, bytes]) -> None:
        """Puts the nodes that a leaf completed on their levels: every eighth height is a hash of a tile."""
        for level, node in enumerate(completed[::TILE_HEIGHT]):
            if level == len(self._open):
                self._open.append([])
            tile = self._open[level]
            tile.append(node)
            if len(tile) == TILE_WIDTH:
                number = (self.size >> (TILE_HEIGHT * (level + 1))) - 1
                files[tile_path(level, number)] = b"".join(tile)
                self._superseded.append(_partial_folder(level, number))
                tile.clear()

    def _add_partial_tiles(self, files: dict[str, bytes]) -> None:
        if self._bundle:
            number = self.size // TILE_WIDTH
            files[tile_path(ENTRIES, number, len(self._bundle))] = encode_bundle(self._bundle)
        for level, tile in enumerate(self._open):
            if tile:
                number = self.size >> (TILE_HEIGHT * (level + 1))
                files[tile_path(level, number, len(tile))] = b"".join(tile)

    def _write(self, files: dict[str, bytes]) -> None:
        changed: list[Path] = []
        for path in files:
            changed += make_folder((self.folder / path).parent, self.folder.parent)
        create_immutable({self.folder / path: octets for path, octets in files.items()})
        sync_folders(changed)


def _partial_folder(level: Level, number: int) -> str:
    return str(Path(tile_path(level, number, 1)).parent)
