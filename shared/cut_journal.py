"""The cut journal: a service's signed, append-only list of its cuts, kept with the tiles, outside database and backups.

After a restore it is applied before anything answers (mission E10, A5), so an entry is durable before the receipt of an
erasure is written. Ids and times only, in the form of `signed_lines.py`. A crash between the cut's commit and this append is
mended by the reaction running again: an entry twice does no harm.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.durable_files import read_if_there, replace
from shared.errors import Tampered
from shared.events import UNREADABLE
from shared.ids import Id
from shared.personal import NotPersonal
from shared.root_keys import write_secret
from shared.settings import Settings
from shared.signed_lines import SignedLines


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """One cut: of a person, an item, or a whole account; or the end of an epoch, when a root key goes."""

    account: Id
    subject: Id
    kind: Annotated[str, NotPersonal("person, item, account or epoch")]
    reason: Annotated[str, NotPersonal("the kind of request")]
    request: Id | None
    time: Annotated[datetime, msgspec.Meta(tz=True)]


class _CutOnly(msgspec.Struct):
    cut: Cut


FILE_NAME = "cut-journal.jsonl"
_LINES = SignedLines("cut journal", "cut", Cut)
append = _LINES.append
read = _LINES.read


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


def journal_path(tiles: Path) -> Path:
    """The journal in the folder of a service's tiles."""
    return tiles / FILE_NAME


def public_key(path: Path) -> Ed25519PublicKey:
    """The public half of `journal_key`, from its file. Raises `OSError`, `ValueError`."""
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(path.read_text("utf-8"), validate=True))


def note_cuts(settings: Settings, service: str, cuts: Sequence[Cut]) -> None:
    """Appends entries to a service's journal, signed and durable."""
    append(journal_path(settings.path("tiles", service)), journal_key(settings.path("root-keys"), service), cuts)


def oldest_open(path: Path) -> datetime | None:
    """When the first of the cuts was made that older copies may still open: since the last epoch began to end. None where there
    is none. For the operator: that the journal stands as it was signed is the auditor's business. Raises `Tampered` where it
    can't be read.

    From its end, as far as needed: rotations are daily, and the journal is for good."""
    oldest, ended = None, None
    for raw in reversed((read_if_there(path) or b"").split(b"\n")[:-1]):
        try:
            cut = msgspec.json.decode(raw, type=_CutOnly).cut
        except UNREADABLE:
            raise Tampered("a line of the cut journal can't be read", file=path.name) from None
        if cut.kind == "epoch":
            ended = ended or cut.time
        elif ended is not None and cut.time < ended:
            break
        else:
            oldest = min(oldest or cut.time, cut.time)
    return oldest


def epoch_end_after(path: Path, public_key: Ed25519PublicKey, moment: datetime) -> datetime | None:
    """When the first key epoch ended after `moment`: from then on no older copy opens what was cut by then."""
    return next((cut.time for cut in read(path, public_key) if cut.kind == "epoch" and cut.time >= moment), None)
