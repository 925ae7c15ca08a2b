"""The arithmetic of the Merkle tree, against a word-for-word reading of RFC 6962's definitions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import merkle
from shared.errors import InvalidArgument, Tampered

SIZES = st.integers(min_value=0, max_value=300)


def leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(str(index).encode()) for index in range(count)]


def root_by_definition(hashes: Sequence[bytes]) -> bytes:
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(
        b"\x01" + root_by_definition(hashes[:split]) + root_by_definition(hashes[split:])
    ).digest()


@given(SIZES)
def test_root_is_that_of_the_recursive_definition(size: int) -> None:
    """The root made level by level and the one of a growing frontier are both RFC 6962's."""
    frontier = merkle.Frontier()
    for leaf in leaves(size):
        frontier.append(leaf)
    expected = root_by_definition(leaves(size))
    assert (expected, expected) == (merkle.root_of(leaves(size)), frontier.root())


@given(st.integers(min_value=1, max_value=300), st.data())
def test_every_leaf_has_a_proof_that_holds(size: int, data: st.DataObject) -> None:
    """The inclusion proof of any leaf leads to the root."""
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    proof = merkle.inclusion_proof(index, size, merkle.range_hash_of(hashes))
    merkle.verify_inclusion(index, size, hashes[index], proof, merkle.root_of(hashes))


@given(st.integers(min_value=2, max_value=200), st.data())
def test_a_changed_inclusion_proof_is_refused(size: int, data: st.DataObject) -> None:
    """A proof with another leaf, another index, a hash more or less, or a changed hash does not verify."""
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    root = merkle.root_of(hashes)
    proof = merkle.inclusion_proof(index, size, merkle.range_hash_of(hashes))
    place = data.draw(st.integers(0, len(proof) - 1))
    changed = [*proof[:place], bytes(32), *proof[place + 1 :]]
    other = (index + 1) % size
    for wrong in (
        (index, size, merkle.leaf_hash(b"another"), proof),
        (other, size, hashes[index], proof),
        (size, size, hashes[index], proof),
        (index, size, hashes[index], [*proof, bytes(32)]),
        (index, size, hashes[index], proof[:-1]),
        (index, size, hashes[index], changed),
    ):
        with pytest.raises(Tampered):
            merkle.verify_inclusion(*wrong, root)


@given(SIZES, SIZES)
def test_a_later_tree_is_shown_to_extend_an_earlier_one(one: int, other: int) -> None:
    """The consistency proof of any two sizes of one log holds."""
    old, new = sorted((one, other))
    hashes = leaves(new)
    proof = merkle.consistency_proof(old, new, merkle.range_hash_of(hashes))
    merkle.verify_consistency(old, new, merkle.root_of(hashes[:old]), merkle.root_of(hashes), proof)


@given(st.integers(1, 200), st.integers(1, 200), st.data())
def test_a_fork_is_never_shown_to_be_an_extension(one: int, other: int, data: st.DataObject) -> None:
    """A consistency proof with another old root, another new root, a hash more or a hash less does not
    verify.
    """
    old, new = sorted((one, other))
    hashes = leaves(new)
    old_root, new_root = merkle.root_of(hashes[:old]), merkle.root_of(hashes)
    proof = merkle.consistency_proof(old, new, merkle.range_hash_of(hashes))
    forked = merkle.root_of([*hashes[: old - 1], merkle.leaf_hash(b"another")])
    for wrong in (
        (forked, new_root, proof),
        (old_root, merkle.EMPTY_ROOT, proof),
        (old_root, new_root, [*proof, bytes(32)]),
        *([(old_root, new_root, proof[:-1])] if proof else []),
    ):
        with pytest.raises(Tampered):
            merkle.verify_consistency(old, new, *wrong)


def test_a_smaller_later_tree_is_refused() -> None:
    """A log that has become shorter is not consistent with what it was."""
    with pytest.raises(Tampered):
        merkle.verify_consistency(3, 2, merkle.root_of(leaves(3)), merkle.root_of(leaves(2)), [])


def test_an_index_beyond_the_tree_has_no_proof() -> None:
    """Asking for the proof of a leaf that is not there is an invalid argument."""
    with pytest.raises(InvalidArgument):
        merkle.inclusion_proof(3, 3, merkle.range_hash_of(leaves(3)))


@given(st.integers(0, 6), st.integers(0, 3), st.integers(0, 7))
def test_frontier_takes_full_subtrees(count: int, height: int, more: int) -> None:
    """Full subtrees that are added by their roots, and leaves after them, give the tree of all their leaves."""
    hashes = leaves((count << height) + more)
    frontier = merkle.Frontier()
    single = merkle.Frontier()
    for at in range(0, count << height, 1 << height):
        completed = frontier.append_subtree(merkle.root_of(hashes[at : at + (1 << height)]), height)
        for leaf in hashes[at : at + (1 << height)]:
            by_leaf = single.append(leaf)
        assert by_leaf[height:] == completed
    for leaf in hashes[count << height :]:
        frontier.append(leaf)
    assert (len(hashes), merkle.root_of(hashes)) == (frontier.size, frontier.root())


def test_frontier_refuses_a_subtree_in_between() -> None:
    """A full subtree stands at a multiple of its leaves, and nowhere else."""
    frontier = merkle.Frontier()
    frontier.append(leaves(1)[0])
    with pytest.raises(InvalidArgument):
        frontier.append_subtree(leaves(1)[0], 1)
