"""Inclusion proofs in a log of a million events: made from the tiles on disk, with how many tiles are read, and verified."""

from __future__ import annotations

import hashlib
import random
import tempfile
import time
from pathlib import Path

from audit.prove import Log, prove_entry
from shared.checkpoint import Checkpoint, open_checkpoint
from shared.signed_note import SigningKey, sign_note
from shared.tile_writer import TileWriter
from shared.tiles import files_in
from tests.benchmarks.figures import Figure, below, percentile

MOST_TILES = 6
BATCH = 50_000


def measure(*, leaves: int, proofs: int, notes: list[str]) -> list[Figure]:
    """Each proof begins with nothing in memory: the checkpoint is opened, tiles are read, the proof is made and verified."""
    with tempfile.TemporaryDirectory() as folder:
        key = SigningKey.generate("bench/tickets")
        begun = time.perf_counter()
        tiles = _grow(Path(folder) / "tickets", leaves, key)
        notes.append(f"proof: a tree of {leaves:,} leaves in tiles on disk, written in {time.perf_counter() - begun:.0f} s")
        chosen = random.Random(7)
        taken, working, read = [], [], []
        for _ in range(proofs):
            index = chosen.randrange(leaves)
            entry = _entry(index)
            begun, cpu = time.perf_counter(), time.process_time()
            note = (tiles / "checkpoint").read_bytes()
            log = Log("tickets", note, open_checkpoint(note, [key.verifier]), key.verifier, files_in(tiles))
            _, tiles_read = prove_entry(log, index, entry)
            taken.append((time.perf_counter() - begun) * 1000)
            working.append((time.process_time() - cpu) * 1000)
            read.append(tiles_read)
    return [
        below(f"inclusion proof among {leaves:,}, p50", percentile(taken, 0.5), "ms", 10),
        below(f"inclusion proof among {leaves:,}, p99", percentile(taken, 0.99), "ms", 10),
        Figure(figure="inclusion proof, CPU, p99", value=round(percentile(working, 0.99), 3), unit="ms"),
        Figure(
            figure="tiles read for it, at most", value=max(read), unit="tiles", target=f"≤ {MOST_TILES} tiles",
            holds=max(read) <= MOST_TILES,
        ),
    ]  # fmt: skip


def _entry(index: int) -> bytes:
    return hashlib.sha256(index.to_bytes(8, "big")).digest()


def _grow(tiles: Path, leaves: int, key: SigningKey) -> Path:
    writer = TileWriter(tiles)
    for start in range(0, leaves, BATCH):
        writer.append([_entry(index) for index in range(start, min(leaves, start + BATCH))])
    note = sign_note(Checkpoint(key.name, writer.size, writer.root()).text(), key)
    (tiles / "checkpoint").write_bytes(note)
    return tiles
