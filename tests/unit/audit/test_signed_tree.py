"""The walk over a log's tiles: at any size, from any place, against any earlier checkpoint."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.findings import Findings
from audit.tile_check import Known, SignedTree, TreePosition, position_before
from shared.checkpoint import Checkpoint
from shared.tile_writer import TileWriter
from shared.tiles import TileReader, files_in, tile_path

SIZES = (0, 1, 255, 256, 257, 300, 1_000, 65_536, 66_000)


@pytest.fixture(scope="module", params=SIZES)
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Checkpoint]]:
    """A folder of tiles, and the checkpoint over them."""
    folder = tmp_path_factory.mktemp("tiles") / "log"
    folder.mkdir()
    writer = TileWriter(folder)
    writer.append([secrets.token_bytes(32) for _ in range(request.param)])
    yield folder, Checkpoint("test/log", writer.size, writer.root())


def walk(folder: Path, published: Checkpoint, known: list[Checkpoint], begin: TreePosition | None = None) -> Findings:
    findings = Findings()
    tree = SignedTree(files_in(folder), published, [Known(one) for one in known], findings, begin)
    while tree.next_entries():
        pass
    assert tree.size == published.size or findings.kept
    tree.finish()
    return findings


def test_earlier_trees_are_in_the_later_one(log: tuple[Path, Checkpoint]) -> None:
    """The tree of every earlier size is found to be a part of it, whatever its place in a bundle; another root is not."""
    folder, published = log
    reader = TileReader(files_in(folder), published.size)
    sizes = {size for size in (0, 1, 2, 255, 256, 257, 512, 65_535, 65_536, published.size) if size <= published.size}
    known = [Checkpoint("test/log", size, reader.root(size)) for size in sizes]
    assert [] == walk(folder, published, known).kept
    for one in known:
        wrong = Checkpoint("test/log", one.size, b"x" * 32)
        assert ["forked"] == [finding.kind for finding in walk(folder, published, [*known, wrong]).kept], one.size


def test_walk_goes_on_from_any_bundle(log: tuple[Path, Checkpoint]) -> None:
    """A walk that begins in the middle, with what the tiles or an earlier walk say of the beginning, comes to the same root."""
    folder, published = log
    read = files_in(folder)
    first = SignedTree(read, published, [], Findings())
    positions = {0: first.position()}
    while first.next_entries():
        positions[first.size] = first.position()
    for index in (0, 256, 512, 65_280, 65_536):
        if index in positions and index <= published.size and index % 256 == 0:
            assert [] == walk(folder, published, [], positions[index]).kept
            from_tiles = position_before(read, published.size, min(index + 7, published.size))
            assert (index, positions[index].nodes) == (from_tiles.size, from_tiles.nodes)
            assert [] == walk(folder, published, [], from_tiles).kept


def test_changed_upper_tile_is_named(log: tuple[Path, Checkpoint]) -> None:
    """A hash in a full tile of an upper level, which no proof of the newest tree needs, is compared as well."""
    folder, published = log
    path = folder / tile_path(1, 0)
    if not path.exists():
        pytest.skip("this log has no full tile there")
    octets = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(octets[:320] + b"x" + octets[321:])
    try:
        (finding,) = walk(folder, published, []).kept
    finally:
        path.write_bytes(octets)
    assert ("changed", 2_560) == (finding.kind, finding.index)
