"""Offline proofs that a later checkpoint of a log extends an earlier one: written, read and verified.

The text is the body of the witness protocol (c2sp.org/tlog-witness, `add-checkpoint`): the line `old <size>`, the hashes of
RFC 6962, 2.1.2 in base64, an empty line, the later checkpoint as it is. So one form serves an auditor's file and a witness.
Pure. The earlier checkpoint is not in it: whoever verifies has kept it, else there is nothing to be shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared import merkle
from shared.checkpoint import Checkpoint, open_checkpoint
from shared.errors import Tampered
from shared.log_text import decimal_in, hash_lines, hashes_in
from shared.signed_note import Verifier

FIRST_WORD = "old "


@dataclass(frozen=True)
class ConsistencyProof:
    """The size of the earlier tree, the hashes, and the later checkpoint's signed note."""

    old_size: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> bytes:
        """The file's bytes."""
        lines = [f"{FIRST_WORD}{self.old_size}", *hash_lines(self.hashes)]
        return ("\n".join(lines) + "\n\n").encode() + self.checkpoint

    def verify(self, old: Checkpoint, verifiers: Iterable[Verifier]) -> Checkpoint:
        """The later checkpoint, if one of `verifiers` signed it and its tree extends that of `old`. Raises `Tampered`.

        `old` must have been opened by the caller: it is what is trusted here.
        """
        new = open_checkpoint(self.checkpoint, verifiers)
        if new.origin != old.origin:
            raise Tampered("the two checkpoints are of different logs", old=old.origin, new=new.origin)
        if self.old_size != old.size:
            raise Tampered("the proof starts from another size than what was kept", kept=old.size, proof=self.old_size)
        merkle.verify_consistency(old.size, new.size, old.root, new.root, self.hashes)
        return new


def parse_consistency_proof(octets: bytes) -> ConsistencyProof:
    """Reads the bytes of a proof. Raises `Tampered` where they are not one."""
    head, separator, checkpoint = octets.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise Tampered("the proof is not text") from None
    old_size = decimal_in(first.removeprefix(FIRST_WORD))
    if not separator or not first.startswith(FIRST_WORD) or old_size is None:
        raise Tampered("this is not a consistency proof")
    return ConsistencyProof(old_size, hashes_in(lines), checkpoint)
