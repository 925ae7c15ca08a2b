"""Consistency proofs as files: the body of the witness protocol, written, read, verified."""

from __future__ import annotations

import base64

import pytest

from shared import merkle
from shared.checkpoint import Checkpoint
from shared.consistency_proof import ConsistencyProof, parse_consistency_proof
from shared.errors import Tampered
from shared.signed_note import SigningKey, sign_note

KEY = SigningKey.generate("cell.example/log")
LEAVES = [merkle.leaf_hash(str(number).encode()) for number in range(40)]


def checkpoint(size: int) -> Checkpoint:
    return Checkpoint(KEY.name, size, merkle.root_of(LEAVES[:size]))


def proof(old: int, new: int) -> ConsistencyProof:
    hashes = merkle.consistency_proof(old, new, merkle.range_hash_of(LEAVES))
    return ConsistencyProof(old, tuple(hashes), sign_note(checkpoint(new).text(), KEY))


def test_it_has_the_form_of_the_witness_protocol() -> None:
    """`old <size>`, base64 lines, an empty line, the checkpoint as it is."""
    made = proof(3, 7)
    lines = "".join(f"{base64.b64encode(node).decode()}\n" for node in made.hashes)
    assert f"old 3\n{lines}\n".encode() + made.checkpoint == made.encode()


def test_every_pair_of_sizes_is_read_back_and_holds() -> None:
    """Also for the empty tree, and from a tree to itself."""
    for new in range(0, 40, 3):
        for old in range(new + 1):
            read = parse_consistency_proof(proof(old, new).encode())
            assert checkpoint(new) == read.verify(checkpoint(old), [KEY.verifier])


def test_another_tree_another_size_another_log_and_another_key_fail() -> None:
    """What was kept is what counts."""
    made = proof(13, 29)
    wrong_root = Checkpoint(KEY.name, 13, merkle.leaf_hash(b""))
    for old, key in [
        (wrong_root, KEY), (checkpoint(12), KEY), (Checkpoint("cell.example/other", 13, checkpoint(13).root), KEY),
        (checkpoint(13), SigningKey.generate(KEY.name)),
    ]:  # fmt: skip
        with pytest.raises(Tampered):
            made.verify(old, [key.verifier])


def test_a_hash_that_is_changed_missing_or_added_fails() -> None:
    """The proof must be consumed whole."""
    made = proof(13, 29)
    for hashes in (made.hashes[1:], made.hashes[:-1], (*made.hashes, LEAVES[0]), (LEAVES[0], *made.hashes[1:])):
        with pytest.raises(Tampered):
            ConsistencyProof(13, hashes, made.checkpoint).verify(checkpoint(13), [KEY.verifier])


@pytest.mark.parametrize(
    "octets",
    [
        b"", b"old 3\n", b"new 3\n\nx", b"old -3\n\nx", b"old 03\n\nx", b"old 3\nxyz\n\nx", b"old 3\nAAAA\n\nx", b"\xff\n\nx",
        b"old 99999999999999999999\n\nx", b"old 3\n" + 64 * (base64.b64encode(bytes(32)) + b"\n") + b"\nx",
    ],
)  # fmt: skip
def test_what_is_no_proof_is_refused(octets: bytes) -> None:
    """With a typed error, whatever it is."""
    with pytest.raises(Tampered):
        parse_consistency_proof(octets)
