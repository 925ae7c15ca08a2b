"""What takes the time of a verification and of a replay: compiled (`_fast_path.pyx`), or in Python where it was not.

`is_compiled` says which; what was compiled of another source than the one beside it is not used. The outcome is the same;
without it a verification takes three times as long.
"""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

SOURCE = Path(__file__).with_name("_fast_path.pyx")

try:
    from audit import _fast_path as chosen

    is_compiled = chosen.source_checksum == crc32(SOURCE.read_bytes())
except (ImportError, OSError):
    is_compiled = False
if not is_compiled:
    from audit import _slow_path as chosen  # type: ignore[no-redef]

PlainRows = chosen.PlainRows
parse_rows = chosen.parse_rows
digest_of = chosen.digest_of
leaf_hashes = chosen.leaf_hashes
root_of_tile = chosen.root_of_tile
ids_copied = chosen.ids_copied
times_copied = chosen.times_copied
