"""Append-only files of signed lines, durable: what has to outlive a database, and who changed it must show.

Each line is JSON of what it says, the digest of the line before, and an Ed25519 signature over both. Replicas share a file: one
writes at a time. Nothing shows that the last lines were taken away; who relies on them compares with something else.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.durable_files import read_if_there
from shared.errors import Tampered
from shared.events import UNREADABLE
from shared.root_keys import sync_folder

T = TypeVar("T", bound=msgspec.Struct)

_FIRST = "0" * 64
_TAIL_BYTES = 4_096
"""So much is read before each append at first: several lines of a cut journal."""
_encoder = msgspec.json.Encoder(order="deterministic")


class SignedLines(Generic[T]):
    """Files whose lines say a `name` each: a `body`. `title` names such a file for people."""

    def __init__(self, title: str, name: str, body: type[T]) -> None:
        self._title = title
        self._name = name
        fields: list[tuple[str, Any]] = [(name, body), ("previous", str), ("signature", str)]
        self._line: Any = msgspec.defstruct("Line", fields, frozen=True, kw_only=True)

    def append(self, path: Path, key: Ed25519PrivateKey, bodies: Sequence[T]) -> None:
        """Appends lines and makes them durable. A torn last line, left by a crash in the middle of a write, is cut off first:
        nothing was done on its strength."""
        if not bodies:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            previous = _cut_torn_line(file)
            is_new = file.seek(0, os.SEEK_END) == 0
            for body in bodies:
                raw = self._signed(key, body, previous)
                file.write(raw + b"\n")
                previous = hashlib.sha256(raw).hexdigest()
            file.flush()
            os.fsync(file.fileno())
            if is_new:  # or whoever made it did not get so far
                sync_folder(path.parent)

    def read(self, path: Path, public_key: Ed25519PublicKey) -> list[T]:
        """All lines, verified, but for one at the end that is being written; none where there is no file. Raises `Tampered`
        naming the first line that is changed, missing or out of order."""
        previous, bodies = _FIRST, []
        octets = read_if_there(path) or b""
        for number, raw in enumerate(octets[: octets.rfind(b"\n") + 1].splitlines(), start=1):
            try:
                line = msgspec.json.decode(raw, type=self._line)
                body: T = getattr(line, self._name)
                public_key.verify(base64.b64decode(line.signature), self._signed_bytes(body, line.previous))
                if _encoder.encode(line) != raw:
                    raise ValueError("a line has one form")
            except (*UNREADABLE, InvalidSignature, ValueError):
                raise Tampered(f"a line of the {self._title} is not signed as it stands", line=number) from None
            if line.previous != previous:
                raise Tampered(f"the {self._title} lacks a line, or they are out of order", line=number)
            previous = hashlib.sha256(raw).hexdigest()
            bodies.append(body)
        return bodies

    def _signed(self, key: Ed25519PrivateKey, body: T, previous: str) -> bytes:
        signature = base64.b64encode(key.sign(self._signed_bytes(body, previous))).decode()
        raw: bytes = _encoder.encode(self._line(**{self._name: body}, previous=previous, signature=signature))
        return raw

    def _signed_bytes(self, body: T, previous: str) -> bytes:
        return _encoder.encode({self._name: body, "previous": previous})


def _cut_torn_line(file: BinaryIO) -> str:
    """Truncates what follows the last newline and returns the digest of the last whole line. Reads the tail only."""
    size = file.seek(0, os.SEEK_END)
    start, tail = size, b""
    while start > 0 and tail.count(b"\n") < 2:  # the line before the last one has to end in it
        start = max(0, start - max(_TAIL_BYTES, len(tail)))
        file.seek(start)
        tail = file.read()
    whole = tail[: tail.rfind(b"\n") + 1]
    if len(whole) != len(tail):
        file.truncate(start + len(whole))
    lines = whole.split(b"\n")
    return hashlib.sha256(lines[-2]).hexdigest() if len(lines) > 1 else _FIRST
