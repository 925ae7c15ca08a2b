"""Checkpoints of a log (c2sp.org/tlog-checkpoint): their text, and reading one that a known key signed.

Pure. Signing, which must never fork, is in `shared/log_signer.py`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from shared.errors import Tampered
from shared.log_text import decimal_in
from shared.merkle import HASH_BYTES
from shared.signed_note import Verifier, open_note


@dataclass(frozen=True)
class Checkpoint:
    """What a log commits to: its name `<cell>/<service>`, its number of leaves, and their root (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in the text of a note. Raises `Tampered`. Extension lines, which we never write, are
    passed over.
    """
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0]:
        raise Tampered("the checkpoint does not have its three lines")
    size, encoded = decimal_in(lines[1]), lines[2]
    if size is None:
        raise Tampered("the size in the checkpoint is not a decimal number")
    try:
        root = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        root = b""
    if len(root) != HASH_BYTES:
        raise Tampered("the root in the checkpoint is not a hash")
    return Checkpoint(lines[0], size, root)


def open_checkpoint(note: bytes, verifiers: Iterable[Verifier]) -> Checkpoint:
    """The checkpoint in a note signed under the log's own name by one of `verifiers`. Raises `Tampered`.

    A key may sign for the log of its own name only: otherwise one service's key could vouch for another's
    log.
    """
    known = list(verifiers)
    checkpoint = parse_checkpoint(open_note(note, known))
    open_note(note, [verifier for verifier in known if verifier.name == checkpoint.origin])
    return checkpoint
