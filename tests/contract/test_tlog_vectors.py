"""The log's formats against a log that another project wrote (transparency-dev/tessera's test data).

The folder is named by TLOG_VECTORS; it is not part of the project, so the tests skip, saying so, where it is
not there.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared import merkle
from shared.checkpoint import Checkpoint, open_checkpoint
from shared.signed_note import Verifier
from shared.tile_writer import TileWriter
from shared.tiles import TileReader, files_in
from shared.tlog_proof import TlogProof, parse_tlog_proof

WORDS = "one two three four five six seven eit nain ten ileven twelf threeten fourten fivten".split()
VERIFIER = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
CHECKOUT = Path(__file__).resolve().parents[2]
VECTORS = Path(os.environ.get("TLOG_VECTORS", CHECKOUT / "../shared/data/tlog-vectors"))

pytestmark = pytest.mark.skipif(
    not (VECTORS / "checkpoint").exists(), reason="TLOG_VECTORS names no folder with the test vectors"
)


def checkpoint_of(size: int) -> Checkpoint:
    return open_checkpoint((VECTORS / f"checkpoint.{size}").read_bytes(), [Verifier.parse(VERIFIER)])


def test_our_tiles_are_the_vectors_byte_for_byte(tmp_path: Path) -> None:
    """Grown entry by entry, our log has exactly their files, and at each size the root that they signed."""
    writer = TileWriter(tmp_path / "log")
    assert checkpoint_of(0).root == writer.root()
    for size, word in enumerate(WORDS, start=1):
        writer.append([word.encode()])
        assert (size, writer.root()) == (checkpoint_of(size).size, checkpoint_of(size).root)
    theirs = {
        path.relative_to(VECTORS): path.read_bytes() for path in VECTORS.rglob("tile/**/*") if path.is_file()
    }
    ours = {
        path.relative_to(tmp_path / "log"): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert theirs == ours


def test_their_log_is_read_and_proved() -> None:
    """Every entry of their log has a proof to their checkpoint, and each size is shown to extend each earlier
    one.
    """
    note = (VECTORS / "checkpoint").read_bytes()
    reader = TileReader(files_in(VECTORS), 15)
    assert [word.encode() for word in WORDS] == list(reader.entries())
    for index, word in enumerate(WORDS):
        proof = TlogProof(index, tuple(reader.inclusion_proof(index)), note)
        assert 15 == parse_tlog_proof(proof.encode()).verify(word.encode(), [Verifier.parse(VERIFIER)]).size
    for new in range(16):
        for old in range(new + 1):
            merkle.verify_consistency(
                old, new, checkpoint_of(old).root, checkpoint_of(new).root, reader.consistency_proof(old, new)
            )
