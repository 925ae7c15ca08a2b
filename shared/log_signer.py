"""Signing the checkpoints of one log, so that it never forks: a record beside the key says what was signed
last.

The relay's third and fourth step. The record {size, root, term} lies with the signing key and not in the
database, so putting back the database does not put back what was signed. It moves by compare and swap under a
lock of its file, synced before anything is signed: never two trees of one size, never a smaller one after a
larger, never for a relay whose term is over.

What happens if we crash: after the record, the same tree is signed by whoever comes next; before it, nobody
has seen anything. A process that is stopped while it holds the lock (a few milliseconds) delays its successor
and can't fork.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.checkpoint import Checkpoint, open_checkpoint
from shared.durable_files import read_if_there, replace
from shared.errors import Conflict, Tampered, Unavailable
from shared.failpoints import failpoint
from shared.merkle import EMPTY_ROOT
from shared.signed_note import Verifier, create_signing_key, sign_note

LOCK_TIMEOUT_SECONDS = 2.0


class TermOver(Conflict):
    """A relay with a later term has taken over: this one must step down."""

    code = "term_over"
    default = "A relay with a later term has taken over."


@dataclass(frozen=True)
class SignedRecord:
    """The tree that was signed last, or is about to be, and the term of the relay that signs it."""

    size: int
    root: bytes
    term: int


class LogSigner:
    """The signer of the log `origin`; the key, its record and the lock lie in `folder`, the checkpoint in
    `tiles`.

    The key is made when it is not there; with the record it must be there or missing together.
    """

    def __init__(self, folder: Path, tiles: Path, origin: str) -> None:
        self.origin = origin
        self.checkpoint_path = tiles / "checkpoint"
        self._record_path = folder / "log-signer.json"
        self._lock_path = folder / "log-signer.lock"
        self._key = create_signing_key(folder / "log-signer.key", origin)

    @property
    def verifier(self) -> Verifier:
        """The public key, for `home/verifiers`."""
        return self._key.verifier

    def record(self) -> SignedRecord:
        """What was signed last. Raises `Tampered` where the record is missing although a checkpoint is
        published.
        """
        published = self.published()  # read first: the record is never behind it
        octets = read_if_there(self._record_path)
        if octets is None:
            if published.size:
                raise Tampered(
                    "the record beside the signing key is missing, although a checkpoint is published",
                    origin=self.origin,
                    size=published.size,
                )
            return SignedRecord(0, EMPTY_ROOT, 0)
        data = json.loads(octets)
        record = SignedRecord(int(data["size"]), bytes.fromhex(data["root"]), int(data["term"]))
        if published.size > record.size or (published.size == record.size and published.root != record.root):
            raise Tampered(
                "the published checkpoint is not the tree that the record beside the signing key names",
                origin=self.origin,
                size=published.size,
            )
        return record

    def term(self) -> int:
        """The latest term that the record knows; 0 where there is none."""
        octets = read_if_there(self._record_path)
        return int(json.loads(octets)["term"]) if octets else 0

    def published(self) -> Checkpoint:
        """The checkpoint that readers see; of size 0 where none was published. Raises `Tampered` if we did
        not sign it.
        """
        note = read_if_there(self.checkpoint_path)
        if note is None:
            return Checkpoint(self.origin, 0, EMPTY_ROOT)
        return open_checkpoint(note, [self.verifier])

    def claim(self, term: int) -> SignedRecord:
        """Puts our term into the record and returns what was signed last. Raises as `advance` does.

        From here on a predecessor that wakes up can't move the record any more, so it stays what we build on.
        """
        with self._locked():
            record = self.record()
            _check_term(record, term)
            self._swap(record, SignedRecord(record.size, record.root, term))
            return record

    def advance(self, size: int, root: bytes, term: int) -> None:
        """Moves the record to this tree, durably: from now on it, or a larger one, may be signed and nothing
        else.

        Raises `TermOver`, `Tampered` (another tree of this size, or a smaller one), `Unavailable` (the lock
        is held).
        """
        with self._locked():
            record = self.record()
            _check_term(record, term)
            if size < record.size:
                raise Tampered(
                    "a larger tree was signed already", origin=self.origin, size=size, signed=record.size
                )
            if size == record.size and root != record.root:
                raise Tampered("another tree of this size was signed already", origin=self.origin, size=size)
            self._swap(record, SignedRecord(size, root, term))

    def _swap(self, record: SignedRecord, new: SignedRecord) -> None:
        if new != record:
            fields = {"size": new.size, "root": new.root.hex(), "term": new.term}
            failpoint("relay.recording")
            replace(self._record_path, (json.dumps(fields) + "\n").encode(), mode=0o600)

    def publish(self) -> Checkpoint:
        """Signs the recorded tree and publishes it if it is larger than what is published. Returns what
        readers now see.

        Only the record says what is signed, whatever the caller thinks; so a relay that was stopped here for
        an hour and goes on signs what its successor recorded.
        """
        with self._locked():
            record = self.record()
            published = self.published()
            if record.size <= published.size and self.checkpoint_path.exists():
                return published
            checkpoint = Checkpoint(self.origin, record.size, record.root)
            # The folder is not synced: after a power cut an older checkpoint is seen, and the record makes it
            # anew.
            replace(self.checkpoint_path, sign_note(checkpoint.text(), self._key), durable=False)
            return checkpoint

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the lock. It goes with the process, so a crash leaves none behind."""
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Unavailable("another relay holds the lock of the signing record") from None
                    time.sleep(0.002)
            yield
        finally:
            os.close(descriptor)


def _check_term(record: SignedRecord, term: int) -> None:
    if term < record.term:
        raise TermOver(term=term, later=record.term)
