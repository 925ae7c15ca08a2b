"""What takes the time of a verification: compiled (`_fast_path.pyx`), or what leads to the same in Python where it was not.

`is_compiled` says which; what was compiled of another source than the one beside it is not used. The verdict is the same;
without it a verification takes three times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from shared.merkle import leaf_hash, root_of

Saw = Callable[[str, int], object]
"""Is told an account and the index of an event of it, which none of its events before comes after."""

SOURCE = Path(__file__).with_name("_fast_path.pyx")

try:
    from audit._fast_path import PlainRows, leaf_hashes, root_of_tile, source_checksum

    if source_checksum != crc32(SOURCE.read_bytes()):
        raise ImportError("it was compiled from another source")
    is_compiled = True
except (ImportError, OSError):
    is_compiled = False

    class PlainRows:  # type: ignore[no-redef]
        """Takes no row, so that each one is checked by itself."""

        def __init__(self, service: str, plain: frozenset[bytes], versions: dict[bytes, int], saw: Saw) -> None:
            pass

        def take(self, rows: list[bytes], entries: list[bytes], at: int) -> int:
            """None is taken."""
            return 0

    def leaf_hashes(entries: list[bytes]) -> list[bytes]:
        """The leaves of a tree over these entries."""
        return [leaf_hash(entry) for entry in entries]

    def root_of_tile(hashes: list[bytes]) -> bytes:
        """The root over the 256 hashes of a full tile."""
        return root_of(hashes)


__all__ = ["PlainRows", "is_compiled", "leaf_hashes", "root_of_tile"]
