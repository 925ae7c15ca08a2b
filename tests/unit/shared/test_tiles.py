"""Writing and reading a tiled log, with and without crashes in between."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import merkle
from shared.errors import NotFound, Tampered
from shared.tile_writer import TileWriter
from shared.tiles import ENTRIES, TileReader, decode_bundle, encode_bundle, files_in, tile_path, tile_width


def commitments(start: int, end: int) -> list[bytes]:
    return [hashlib.sha256(str(index).encode()).digest() for index in range(start, end)]


def expected_root(size: int) -> bytes:
    return merkle.root_of([merkle.leaf_hash(entry) for entry in commitments(0, size)])


@pytest.mark.parametrize(
    ("expected", "level", "number", "width"),
    [
        ("tile/0/x001/x234/067", 0, 1234067, 256),
        ("tile/0/273.p/112", 0, 273, 112),
        ("tile/2/000.p/1", 2, 0, 1),
        ("tile/entries/x001/000", "entries", 1000, 256),
    ],
)
def test_paths_are_those_of_the_specification(expected: str, level: int, number: int, width: int) -> None:
    """Numbers stand in groups of three digits, all but the last with an x; partial tiles name their width."""
    assert expected == tile_path(level, number, width)


def test_a_log_of_70000_has_the_tiles_of_the_specification(tmp_path: Path) -> None:
    """The example of c2sp.org/tlog-tiles: 273 full tiles and a partial one of 112, one and one of 17, one of
    1.
    """
    TileWriter(tmp_path / "log").append(commitments(0, 70_000))
    found = {
        str(path.relative_to(tmp_path / "log")) for path in (tmp_path / "log").rglob("*") if path.is_file()
    }
    full = {f"tile/{level}/{number:03}" for level in ("0", "entries") for number in range(273)}
    partial = {"tile/0/273.p/112", "tile/entries/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"}
    assert full | partial | {"tile/1/000"} == found
    assert (112, 0) == (tile_width(0, 273, 70_000), tile_width(0, 274, 70_000))


@settings(max_examples=25)
@given(steps=st.lists(st.integers(1, 700), min_size=1, max_size=6), data=st.data())
def test_a_log_grown_in_steps_is_the_log_written_at_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], data: st.DataObject
) -> None:
    """However it grew, and reopened at each size, its root, its entries and its proofs are those of the whole
    tree.
    """
    folder = tmp_path_factory.mktemp("log") / "tickets"
    size = 0
    for step in steps:
        writer = TileWriter(folder, size)
        assert expected_root(size) == writer.root()
        writer.append(commitments(size, size + step))
        if data.draw(st.booleans()):
            writer.discard_superseded()
        size += step
        assert expected_root(size) == writer.root()
    reader = TileReader(files_in(folder), size)
    assert commitments(0, size) == list(reader.entries())
    old = data.draw(st.integers(0, size))
    index = data.draw(st.integers(0, size - 1))
    assert expected_root(old) == reader.root(old)
    merkle.verify_consistency(
        old, size, expected_root(old), expected_root(size), reader.consistency_proof(old)
    )
    leaf = merkle.leaf_hash(commitments(index, index + 1)[0])
    assert leaf == reader.leaf_hash(index)
    merkle.verify_inclusion(index, size, leaf, reader.inclusion_proof(index), expected_root(size))


def test_writing_the_same_once_more_changes_nothing(tmp_path: Path) -> None:
    """A relay that crashed after its tiles writes them again, and finds them equal."""
    TileWriter(tmp_path).append(commitments(0, 300))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    TileWriter(tmp_path).append(commitments(0, 300))
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_tile_that_is_there_with_other_bytes_stops_the_writer(tmp_path: Path) -> None:
    """A tile is never replaced: other leaves in its place are found out."""
    TileWriter(tmp_path).append(commitments(0, 300))
    with pytest.raises(Tampered):
        TileWriter(tmp_path).append(commitments(1, 301))


def test_a_missing_tile_is_named(tmp_path: Path) -> None:
    """A log whose tile is gone says which."""
    TileWriter(tmp_path).append(commitments(0, 300))
    (tmp_path / "tile/0/000").unlink()
    with pytest.raises(NotFound) as missing:
        TileReader(files_in(tmp_path), 300).leaf_hash(5)
    assert "tile/0/000" == missing.value.details["path"]


def test_a_proof_in_a_long_log_reads_few_tiles(tmp_path: Path) -> None:
    """The inclusion proof of a leaf reads six tiles at most where the log has three levels."""
    writer = TileWriter(tmp_path)
    writer.append(commitments(0, 70_000))
    reader = TileReader(files_in(tmp_path), 70_000)
    reader.inclusion_proof(12_345)
    assert reader.tiles_read <= 6


@given(st.lists(st.binary(max_size=70), max_size=10))
def test_a_bundle_gives_back_its_entries(entries: list[bytes]) -> None:
    """Decoding what was encoded gives the entries again; a bundle cut short is refused."""
    octets = encode_bundle(entries)
    assert entries == decode_bundle(octets)
    if entries and entries[-1]:
        with pytest.raises(Tampered):
            decode_bundle(octets[:-1])


def test_entries_of_a_range_cross_bundles(tmp_path: Path) -> None:
    """A range of entries is read from all the bundles that it touches."""
    TileWriter(tmp_path).append(commitments(0, 600))
    assert commitments(250, 520) == list(TileReader(files_in(tmp_path), 600).entries(250, 520))
    assert (tmp_path / tile_path(ENTRIES, 2, 88)).exists()
