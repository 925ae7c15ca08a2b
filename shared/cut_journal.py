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

from shared.durable_files import replace
from shared.ids import Id
from shared.personal import NotPersonal
from shared.root_keys import write_secret
from shared.signed_lines import SignedLines


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """One cut: of a person, an item, or a whole account; or the end of an epoch, when a root key goes."""

    account: Id
    subject: Id
    kind: Annotated[str, NotPersonal("person, item, account or epoch")]
    reason: Annotated[str, NotPersonal("the kind of request")]
    request: Id | None
    time: Annotated[datetime, msgspec.Meta(tz=True)]


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


def open_in_copies(cuts: Sequence[Cut]) -> list[Cut]:
    """Those of a journal's cuts that older copies may still open: since its last epoch began to end."""
    ended = max((cut.time for cut in cuts if cut.kind == "epoch"), default=None)
    return [cut for cut in cuts if cut.kind != "epoch" and (ended is None or cut.time >= ended)]


def epoch_end_after(path: Path, public_key: Ed25519PublicKey, moment: datetime) -> datetime | None:
    """When the first key epoch ended after `moment`: from then on no older copy opens what was cut by then."""
    return next((cut.time for cut in read(path, public_key) if cut.kind == "epoch" and cut.time >= moment), None)
