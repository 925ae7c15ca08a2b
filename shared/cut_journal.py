"""The cut journal: a service's signed, append-only list of its cuts, kept with the tiles, outside database and backups.

After a restore it is applied before anything answers (mission E10, A5), so an entry is durable before the receipt of an
erasure is written. Each line is JSON with the digest of the line before and an Ed25519 signature; ids and times only.
A crash between the cut's commit and this append is mended by the reaction running again: an entry twice does no harm.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.durable_files import replace
from shared.errors import Tampered
from shared.events import UNREADABLE
from shared.ids import Id
from shared.personal import NotPersonal
from shared.root_keys import sync_folder, write_secret

_FIRST = "0" * 64


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """One cut: of a person, an item, or a whole account; or the end of an epoch, when a root key goes."""

    account: Id
    subject: Id
    kind: Annotated[str, NotPersonal("person, item, account or epoch")]
    reason: Annotated[str, NotPersonal("the kind of request")]
    request: Id | None
    time: Annotated[datetime, msgspec.Meta(tz=True)]


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    cut: Cut
    previous: str
    signature: str


_encoder = msgspec.json.Encoder(order="deterministic")


def journal_key(root_keys: Path, service: str) -> Ed25519PrivateKey:
    """The key that signs a service's journal, made at its first use; its public half is put with the other verifier keys."""
    path = root_keys / service / "journal.key"
    if not path.exists():
        try:
            write_secret(path, Ed25519PrivateKey.generate().private_bytes_raw())
        except FileExistsError:
            pass
    key = Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    public = root_keys.parent / "verifiers" / f"journal-{service}.key"
    if not public.exists():
        public.parent.mkdir(parents=True, exist_ok=True)
        replace(public, base64.b64encode(key.public_key().public_bytes_raw()))
    return key


def append(path: Path, key: Ed25519PrivateKey, cuts: Sequence[Cut]) -> None:
    """Appends entries and makes them durable. Replicas share the file: one writes at a time. A torn last line, left by a
    crash in the middle of a write, is cut off first: nothing was receipted on its strength."""
    if not cuts:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        previous = _cut_torn_line(file)
        file.seek(0, os.SEEK_END)
        for cut in cuts:
            body = _encoder.encode({"cut": cut, "previous": previous})
            line = _Line(cut=cut, previous=previous, signature=base64.b64encode(key.sign(body)).decode())
            raw = _encoder.encode(line)
            file.write(raw + b"\n")
            previous = hashlib.sha256(raw).hexdigest()
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_folder(path.parent)


def _cut_torn_line(file: BinaryIO) -> str:
    """Truncates what follows the last newline and returns the digest of the last whole line. Reads the tail only."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - 4096)
    file.seek(start)
    tail: bytes = file.read()
    whole = tail[: tail.rfind(b"\n") + 1]
    if len(whole) != len(tail):
        file.truncate(start + len(whole))
    lines = whole.split(b"\n")
    return hashlib.sha256(lines[-2]).hexdigest() if len(lines) > 1 else _FIRST


def epoch_end_after(path: Path, public_key: Ed25519PublicKey, moment: datetime) -> datetime | None:
    """When the first key epoch ended after `moment`: from then on no older copy opens what was cut by then."""
    return next((cut.time for cut in read(path, public_key) if cut.kind == "epoch" and cut.time >= moment), None)


def read(path: Path, public_key: Ed25519PublicKey) -> list[Cut]:
    """All entries, verified, but for one at the end that is being written. Raises `Tampered` naming the first line that is
    changed, missing or out of order."""
    previous, cuts = _FIRST, []
    if not path.exists():
        return []
    octets = path.read_bytes()
    for number, raw in enumerate(octets[: octets.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            line = msgspec.json.decode(raw, type=_Line)
            public_key.verify(
                base64.b64decode(line.signature), _encoder.encode({"cut": line.cut, "previous": line.previous})
            )
            if _encoder.encode(line) != raw:
                raise ValueError("a line has one form")
        except (*UNREADABLE, InvalidSignature, ValueError):
            raise Tampered("a line of the cut journal is not signed as it stands", line=number) from None
        if line.previous != previous:
            raise Tampered("the cut journal lacks a line, or they are out of order", line=number)
        previous = hashlib.sha256(raw).hexdigest()
        cuts.append(line.cut)
    return cuts
