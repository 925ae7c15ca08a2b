"""Walks the entries of a log, bundle by bundle, and judges at the end whether they are those that were signed.

The published checkpoint must be signed by the log's key, its root must be the one of the entries in the tiles, every hash tile
must be that of the entries below it, and the tree of a kept checkpoint's size must have the kept root. It reads files only,
each once, and keeps the frontier and one open tile a level; where the walk stands can be noted and taken up again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from audit.fast_path import leaf_hashes, root_of_tile
from audit.findings import Findings
from audit.public_log import read_published
from shared.checkpoint import Checkpoint
from shared.errors import LetheError, NotFound
from shared.merkle import Frontier
from shared.tiles import ENTRIES, TILE_HEIGHT, TILE_WIDTH, ReadFile, TileReader, split_hashes, tile_path

Progress = Callable[[int, int], object]
"""Is told how much of how much is done."""

MOST_PLACES = 10_000
"""Hashes and tiles that differ, kept by their places; there is one finding for each, and 1,000 findings are shown."""


class Known(NamedTuple):
    """A checkpoint that the log must extend, and what it is called in a finding."""

    checkpoint: Checkpoint
    name: str = "the checkpoint that was kept"


class TreePosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where a walk stands, at the beginning of a bundle: the roots of the full subtrees before it, and the open tiles."""

    size: int = 0
    nodes: list[bytes] = []
    open: list[list[bytes]] = []
    """Of each level from 1 on the hashes of the tile that is not full yet."""
    other: list[int] = []
    upper: list[tuple[int, int, int]] = []


class SignedTree:
    """One walk over the tree that `published` signs. `known` checkpoints must be of its beginning."""

    def __init__(
        self,
        read: ReadFile,
        published: Checkpoint,
        known: Sequence[Known],
        findings: Findings,
        begin: TreePosition | None = None,
    ) -> None:
        begin = begin or TreePosition()
        self.published = published
        self._known = known
        self._findings = findings
        self._reader = TileReader(read, published.size)
        self._frontier = Frontier(begin.size, begin.nodes)
        self._open = [list(hashes) for hashes in begin.open]
        self._other = list(begin.other)  # entries that are not what the hash tiles say
        self._upper = list(begin.upper)  # level, number, place: hashes above them that are not those of the tiles below
        self._begun = begin.size
        self._upper_before = len(begin.upper)
        self._readable = True
        for checkpoint, name in known:
            if checkpoint.size > published.size:
                text = (
                    f"{name} covers {checkpoint.size} events, the published one {published.size}:"
                    " the log was cut short or put back"
                )
                findings.add("truncated", text, index=published.size)

    @property
    def size(self) -> int:
        """How many entries were given so far."""
        return self._frontier.size

    @property
    def is_readable(self) -> bool:
        """Whether the tiles could be read so far."""
        return self._readable

    def position(self) -> TreePosition:
        """Where the walk stands, for one that goes on from here. Only at the beginning of a bundle."""
        return TreePosition(
            size=self.size, nodes=list(self._frontier.nodes), open=[list(hashes) for hashes in self._open],
            other=self._other[:MOST_PLACES], upper=self._upper[:MOST_PLACES],
        )  # fmt: skip

    def next_entries(self) -> list[bytes]:
        """The entries of the next bundle; empty at the end of the log, and where the tiles can't be read any further."""
        start = self.size
        if not self._readable or start >= self.published.size:
            return []
        number = start // TILE_WIDTH
        try:
            entries = self._reader.bundle(number)
        except LetheError as error:
            self._readable = False
            self._add_unreadable(error, start)
            return []
        hashes = leaf_hashes(entries)
        self._compare_known(start, hashes)
        self._compare_tile(0, number, hashes)
        if len(hashes) == TILE_WIDTH:
            self._add_upper(self._frontier.append_subtree(root_of_tile(hashes), TILE_HEIGHT))
        else:
            for leaf in hashes:
                self._frontier.append(leaf)
        return entries

    def finish(self) -> bool:
        """True if the entries in the tiles are those that the published checkpoint signs. After the last bundle."""
        good = self._readable and self._is_signed()
        for path in dict.fromkeys(self._reader.too_long):
            self._findings.add("changed", f"{path} has more in it than a tile of its width")
        return good

    # --

    def _is_signed(self) -> bool:
        for checkpoint, name in self._known:
            if checkpoint.size == self.size:
                self._compare_root(checkpoint, name, self._frontier)
        for level, tile in enumerate(self._open, start=1):
            if tile:
                self._compare_tile(level, self.size >> (TILE_HEIGHT * (level + 1)), tile)
        if self._frontier.root() == self.published.root:
            self._add_other("the hash in the tiles is not the one of the entry")
            for level, number, place in self._upper:
                first = (number * TILE_WIDTH + place) << (TILE_HEIGHT * level)
                text = f"a hash in the tile {tile_path(level, number)} is not that of the signed tree"
                self._findings.add("changed", text, index=first)
            return True
        if self._was_rewritten():
            text = f"the tree of the first {self._begun} events is not the one that was read before: history was rewritten"
            self._findings.add("forked", text)
        elif (self._other or self._upper) and self._tree_root() == self.published.root:
            self._add_other("the entry in the tiles is not the one that was signed")
            for level, number, place in self._upper:
                leaves = 1 << (TILE_HEIGHT * level)
                first = (number * TILE_WIDTH + place) * leaves
                if not any(first <= index < first + leaves for index in self._other):
                    text = f"one of the {leaves} entries from here on was changed in the tiles, and its hash with it"
                    self._findings.add("changed", text, index=first)
        else:
            self._findings.add("forked", "the tiles have not the root that the published checkpoint signs")
        return False

    def _was_rewritten(self) -> bool:
        """Whether the tiles differ, before the place where this walk began, from what an earlier one made of them."""
        return any(
            (number * TILE_WIDTH + place) << (TILE_HEIGHT * level) < self._begun
            for level, number, place in self._upper[self._upper_before :]
        )

    def _compare_known(self, start: int, hashes: list[bytes]) -> None:
        for checkpoint, name in self._known:
            if start <= checkpoint.size < start + len(hashes):
                tree = Frontier(start, self._frontier.nodes)
                for leaf in hashes[: checkpoint.size - start]:
                    tree.append(leaf)
                self._compare_root(checkpoint, name, tree)

    def _compare_root(self, checkpoint: Checkpoint, name: str, tree: Frontier) -> None:
        if tree.root() != checkpoint.root:
            text = f"the first {checkpoint.size} events have not the root of {name}: history was rewritten"
            self._findings.add("forked", text)

    def _add_upper(self, completed: list[bytes]) -> None:
        """Puts the nodes that a full bundle completed on their levels, and compares each tile that is full with its file."""
        for level, node in enumerate(completed[::TILE_HEIGHT], start=1):
            if level > len(self._open):
                self._open.append([])
            tile = self._open[level - 1]
            tile.append(node)
            if len(tile) == TILE_WIDTH:
                self._compare_tile(level, (self.size >> (TILE_HEIGHT * (level + 1))) - 1, tile)
                self._open[level - 1] = []

    def _compare_tile(self, level: int, number: int, hashes: list[bytes]) -> None:
        try:
            octets = self._reader.tile_octets(level, number)
        except LetheError as error:
            self._add_unreadable(error, number << (TILE_HEIGHT * (level + 1)))
            return
        if octets == b"".join(hashes):
            return
        places = [place for place, (one, other) in enumerate(zip(split_hashes(octets), hashes, strict=True)) if one != other]
        if level == 0:
            self._other += [number * TILE_WIDTH + place for place in places]
        else:
            self._upper += [(level, number, place) for place in places]

    def _tree_root(self) -> bytes | None:
        """The root that the hash tiles lead to, whatever the entries say."""
        try:
            return self._reader.root()
        except LetheError:
            return None

    def _add_other(self, text: str) -> None:
        for index in self._other:
            self._findings.add("changed", text, index=index)

    def _add_unreadable(self, error: LetheError, index: int) -> None:
        path = error.details.get("path", tile_path(ENTRIES, index // TILE_WIDTH))
        if isinstance(error, NotFound):
            text = f"the tiles do not reach as far as the checkpoint: {path} is missing"
            self._findings.add("truncated", text, index=index)
        else:
            self._findings.add("changed", f"the tiles can't be read: {error.message}, {path}", index=index)


def position_before(read: ReadFile, size: int, index: int) -> TreePosition:
    """The position at the bundle of `index` in a log of `size` entries, from its hash tiles. Raises `NotFound`, `Tampered`.

    It believes the tiles; a known checkpoint at or beyond `index` then shows whether they may be believed.
    """
    reader = TileReader(read, size)
    start = index - index % TILE_WIDTH
    nodes: list[bytes] = []
    at = 0
    for height in reversed(range(start.bit_length())):
        if start >> height & 1:
            nodes.append(reader.range_hash(at, at + (1 << height)))
            at += 1 << height
    open_tiles: list[list[bytes]] = []
    level = 1
    while hashes := start >> (TILE_HEIGHT * level):
        number, width = divmod(hashes, TILE_WIDTH)
        open_tiles.append(reader.tile(level, number)[:width] if width else [])
        level += 1
    return TreePosition(size=start, nodes=nodes, open=open_tiles)


__all__ = ["Known", "Progress", "SignedTree", "TreePosition", "position_before", "read_published"]
