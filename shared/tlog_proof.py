"""Offline proofs that an entry is in a log (c2sp.org/tlog-proof@v1): written, read and verified; files end in
`.tlog-proof`.

Pure. A proof carries the signed checkpoint that it leads to, so that whoever holds the verifier key needs
nothing else.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from shared import merkle
from shared.checkpoint import Checkpoint, open_checkpoint
from shared.errors import Tampered
from shared.log_text import base64_in, decimal_in, hash_lines, hashes_in
from shared.signed_note import Verifier

FIRST_LINE = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True)
class TlogProof:
    """`index` in the log, the sibling hashes from leaf to root, the signed checkpoint as it is, and octets of
    the writer's.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """The file's bytes."""
        lines = [FIRST_LINE]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += hash_lines(self.hashes)
        return ("\n".join(lines) + "\n\n").encode() + self.checkpoint

    def verify(self, entry: bytes, verifiers: Iterable[Verifier]) -> Checkpoint:
        """The checkpoint, if one of `verifiers` signed it and `entry` is in its tree at `index`. Raises
        `Tampered`.
        """
        checkpoint = open_checkpoint(self.checkpoint, verifiers)
        merkle.verify_inclusion(
            self.index, checkpoint.size, merkle.leaf_hash(entry), self.hashes, checkpoint.root
        )
        return checkpoint


def parse_tlog_proof(octets: bytes) -> TlogProof:
    """Reads the bytes of a proof. Raises `Tampered` where they are not one."""
    head, separator, checkpoint = octets.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise Tampered("the proof is not text") from None
    if not separator or lines.pop(0) != FIRST_LINE:
        raise Tampered("this is not a tlog-proof of version 1")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = base64_in(lines.pop(0).removeprefix("extra "))
    label, _, number = lines.pop(0).partition(" ") if lines else ("", "", "")
    index = decimal_in(number)
    if label != "index" or index is None:
        raise Tampered("the proof names no index")
    return TlogProof(index, hashes_in(lines), checkpoint, extra)
