"""How two signed trees of a log stand to each other, computed from its tiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.checkpoint import Checkpoint
from shared.errors import InvalidArgument
from shared.log_consistency import relate
from shared.merkle import EMPTY_ROOT, leaf_hash, root_of
from shared.tile_writer import TileWriter
from shared.tiles import files_in

SIZES = (0, 1, 2, 255, 256, 257, 300, 511, 512, 513, 700)


def entries(count: int, changed: int | None = None) -> list[bytes]:
    return [bytes([1 if at == changed else 0]) * 28 + at.to_bytes(4, "big") for at in range(count)]


def checkpoint(made: list[bytes]) -> Checkpoint:
    return Checkpoint("test/log", len(made), root_of([leaf_hash(one) for one in made]) if made else EMPTY_ROOT)


def written(folder: Path, made: list[bytes]) -> Path:
    """The log as it grew: with the tiles of each size."""
    folder.mkdir()
    writer = TileWriter(folder)
    for size in SIZES:
        writer.append(made[writer.size : size])
    return folder


@pytest.mark.parametrize("size", SIZES)
def test_every_beginning_of_a_log_is_extended_by_it(tmp_path: Path, size: int) -> None:
    """From each size to each later one; and the same with one entry changed is contradicted."""
    read = files_in(written(tmp_path / "log", entries(700)))
    for later in (one for one in SIZES if one >= size):
        assert "extends" == relate(read, checkpoint(entries(size)), checkpoint(entries(later)))
        if size:
            other = checkpoint(entries(size, changed=0))
            assert ("other root" if size == later else "does not extend") == relate(read, other, checkpoint(entries(later)))


def test_tiles_that_are_not_those_of_the_tree_tell_nothing(tmp_path: Path) -> None:
    """Missing or changed tiles are never taken for a contradiction between what was signed, whichever tile it is."""
    folder = written(tmp_path / "log", entries(700))
    read, early, late = files_in(folder), checkpoint(entries(300)), checkpoint(entries(700))
    assert "extends" == relate(read, early, late)
    found = set()
    for path in sorted((folder / "tile").rglob("*")):
        if path.is_dir() or "entries" in path.parts:
            continue
        whole = path.read_bytes()
        for at in range(0, len(whole), 32):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            found.add(relate(read, early, late))
        path.unlink()
        found.add(relate(read, early, late))
        path.write_bytes(whole)
    assert {"extends", "other tiles"} == found
    assert "other tiles" == relate(lambda _: None, early, late)
    (folder / "tile" / "0" / "001").unlink()
    (folder / "tile" / "0" / "001").mkdir()  # there, and unreadable
    assert "other tiles" == relate(read, early, late)


def test_the_earlier_tree_is_the_smaller_one(tmp_path: Path) -> None:
    """The other way round is a mistake of the caller's."""
    with pytest.raises(InvalidArgument):
        relate(lambda _: None, checkpoint(entries(2)), checkpoint(entries(1)))
