"""Merkle tree arithmetic of the event log: hashes, roots, inclusion and consistency proofs (RFC 6962,
sections 2.1.1 and 2.1.2).

Pure: no file, no database. `shared/tiles.py` stores the trees, `shared/tlog_proof.py` writes the proofs down.
A hash is 32 bytes; an index and a size count leaves from 0. What does not verify raises `Tampered`; a
question that no tree can answer (an index beyond its size) raises `InvalidArgument`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from shared.errors import InvalidArgument, Tampered

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

RangeHash = Callable[[int, int], bytes]
"""Gives the root of the subtree over the leaves [start, end), a range that RFC 6962's splitting produces."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf. The prefix keeps an entry from being passed off as an inner node."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def split_point(leaves: int) -> int:
    """The largest power of two below `leaves` (at least 2): how many of them go to the left."""
    return 1 << ((leaves - 1).bit_length() - 1)


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root of the tree over these leaf hashes, in O(n)."""
    if not leaf_hashes:
        return EMPTY_ROOT
    level = list(leaf_hashes)
    while len(level) > 1:
        # A node without a sibling goes up as it is: the same tree as the recursive definition, without the
        # recursion.
        paired = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) - len(level) % 2 :]
    return level[0]


class Frontier:
    """The roots of the full subtrees that a tree is made of, largest first: all that is needed to grow it and
    know its root.

    Appending costs one node hash a leaf on average; the root costs one for each bit of the size. `append`
    tells which nodes it completed, so that a writer of tiles gets their hashes without computing anything
    twice.
    """

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.nodes = list(nodes)
        if len(self.nodes) != size.bit_count():
            raise InvalidArgument(field="nodes", rule="one for each bit that is set in the size")

    def append(self, leaf: bytes) -> list[bytes]:
        """Adds a leaf hash. Returns the nodes completed by it: element k covers 2**k leaves; the first is the
        leaf itself.
        """
        completed = [leaf]
        height = 0
        while self.size >> height & 1:
            completed.append(node_hash(self.nodes.pop(), completed[-1]))
            height += 1
        self.nodes.append(completed[-1])
        self.size += 1
        return completed

    def append_subtree(self, root: bytes, height: int) -> list[bytes]:
        """Adds a full subtree of 2**height leaves, of which the size must be a multiple. Returns the nodes
        completed by it: element k covers 2**(height + k) leaves.
        """
        if self.size & ((1 << height) - 1):
            raise InvalidArgument(field="height", rule="a full subtree stands at a multiple of its leaves")
        completed = [root]
        at = height
        while self.size >> at & 1:
            completed.append(node_hash(self.nodes.pop(), completed[-1]))
            at += 1
        self.nodes.append(completed[-1])
        self.size += 1 << height
        return completed

    def root(self) -> bytes:
        """The root of the tree as it stands."""
        if not self.nodes:
            return EMPTY_ROOT
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = node_hash(node, root)
        return root


def range_hash_of(leaf_hashes: Sequence[bytes]) -> RangeHash:
    """A `RangeHash` over leaf hashes held in memory."""
    return lambda start, end: root_of(leaf_hashes[start:end])


def inclusion_proof(index: int, size: int, range_hash: RangeHash) -> list[bytes]:
    """The sibling hashes from the leaf at `index` up to the root of the tree of `size` leaves (RFC 6962,
    2.1.1).
    """
    if not 0 <= index < size:
        raise InvalidArgument(
            field="index", rule="must be below the size of the tree", index=index, size=size
        )
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split_point(end - start)
        if index < middle:
            path.append(range_hash(middle, end))
            end = middle
        else:
            path.append(range_hash(start, middle))
            start = middle
    return path[::-1]


def consistency_proof(old_size: int, new_size: int, range_hash: RangeHash) -> list[bytes]:
    """The hashes that show that the tree of `new_size` leaves extends the one of `old_size` (RFC 6962,
    2.1.2).
    """
    if not 0 <= old_size <= new_size:
        raise InvalidArgument(
            field="old_size", rule="must not be above the new size", old=old_size, new=new_size
        )
    if old_size in (0, new_size):
        return []
    path: list[bytes] = []
    start, end = 0, new_size
    whole = True  # as long as we only went left, this subtree is the old tree, whose root the verifier has
    while end != old_size:
        middle = start + split_point(end - start)
        if old_size <= middle:
            path.append(range_hash(middle, end))
            end = middle
        else:
            path.append(range_hash(start, middle))
            start = middle
            whole = False
    if not whole:
        path.append(range_hash(start, end))
    return path[::-1]


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root that `proof` leads to from the leaf hash `leaf`. Raises `Tampered` if it has the wrong number
    of hashes.
    """
    if not 0 <= index < size:
        raise Tampered("the index of the proof is not below the size of its tree", index=index, size=size)
    node, last, remaining = leaf, size - 1, iter(proof)
    at = index
    for sibling in remaining:
        if last == 0:
            raise Tampered("the inclusion proof is too long", index=index, size=size)
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:  # this node had no sibling on the levels between
                at >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        at >>= 1
        last >>= 1
    if last != 0:
        raise Tampered("the inclusion proof is too short", index=index, size=size)
    return node


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raises `Tampered` unless the leaf hash `leaf` is at `index` in the tree of `size` leaves whose root is
    `root`.
    """
    if root_from_inclusion(index, size, leaf, proof) != root:
        raise Tampered("the inclusion proof does not lead to the root", index=index, size=size)


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raises `Tampered` unless the new tree extends the old one. The proof must be consumed whole (RFC 6962,
    2.1.2).
    """
    if not 0 <= old_size <= new_size:
        raise Tampered("the later tree is smaller than the earlier one", old=old_size, new=new_size)
    if old_size in (0, new_size):
        expected = EMPTY_ROOT if old_size == 0 else new_root
        if proof or old_root != expected:
            raise Tampered("the two trees are not consistent", old=old_size, new=new_size)
        return
    hashes = list(proof)
    if old_size & (old_size - 1) == 0:
        hashes.insert(0, old_root)  # a full tree is itself a node of the new one, which the proof leaves out
    if not hashes:
        raise Tampered("the consistency proof is too short", old=old_size, new=new_size)
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at >>= 1
        last >>= 1
    old = new = hashes[0]
    for node in hashes[1:]:
        if last == 0:
            raise Tampered("the consistency proof is too long", old=old_size, new=new_size)
        if at & 1 or at == last:
            old = node_hash(node, old)
            new = node_hash(node, new)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            new = node_hash(new, node)
        at >>= 1
        last >>= 1
    if last != 0 or old != old_root or new != new_root:
        raise Tampered("the later tree does not extend the earlier one", old=old_size, new=new_size)
