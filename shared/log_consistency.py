"""Whether two signed trees of one log belong to one history, computed from its tiles (RFC 6962, section 2.1.2; mission A2).

It reads a handful of hash tiles, however far the two are apart, and believes none of them: a proof holds against both signed
roots or not at all. Whether the entries below are those of the database's events is for `lethe audit verify` to say.
"""

from __future__ import annotations

from typing import Literal

from shared.checkpoint import Checkpoint
from shared.errors import InvalidArgument, NotFound, Tampered
from shared.merkle import verify_consistency
from shared.tiles import ReadFile, TileReader

Relation = Literal["extends", "other root", "does not extend", "other tiles"]
"""extends: the later tree begins with the earlier one. other root: two trees of one size. does not extend: the tiles give the
later tree, and the earlier one is not its beginning. other tiles: the tiles are missing or are not those of the later tree,
so that nothing can be said of the earlier one."""


def relate(read: ReadFile, earlier: Checkpoint, later: Checkpoint) -> Relation:
    """How two checkpoints of one log stand to each other. Raises `InvalidArgument` where the earlier one is the larger."""
    if earlier.size > later.size:
        raise InvalidArgument(field="earlier", rule="must not be larger than the later one")
    if earlier.size == later.size and earlier.root != later.root:
        return "other root"
    reader = TileReader(read, later.size)
    try:
        # The tiles' own beginning is proven against the signed root first. So tiles that were changed are never taken for a
        # contradiction between two signed trees.
        beginning = reader.root(earlier.size)
        if earlier.size:
            verify_consistency(earlier.size, later.size, beginning, later.root, reader.consistency_proof(earlier.size))
        elif reader.root() != later.root:
            return "other tiles"
    except (NotFound, Tampered, OSError):
        return "other tiles"
    return "extends" if beginning == earlier.root else "does not extend"
