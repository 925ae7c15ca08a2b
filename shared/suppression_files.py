"""The suppression list outside of its database: where the database is put back from a copy, it knows what the copy forgot.

Of each account two files below `tiles/erasure/suppression/`: `<account>.jsonl`, the entries as they were added, in signed lines
(`signed_lines.py`, by the key of the cut journal), and `<account>.key`, the key that they were made with, wrapped under
erasure's root key; a rotation wraps it anew. So they say what the rows in the database say, to whom has a root key, and to
nobody else; they go with the account. Entries are durable before their transaction is committed.
"""

from __future__ import annotations

import base64
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared.cut_journal import journal_key
from shared.durable_files import read_if_there, replace
from shared.errors import NotFound, Tampered
from shared.events import UNREADABLE
from shared.ids import Id
from shared.personal import NotPersonal
from shared.root_keys import RootKeys, sync_folder
from shared.sealing import open_sealed, seal
from shared.settings import Settings
from shared.signed_lines import SignedLines

ERASURE = "erasure"
Token = Annotated[int, NotPersonal("a keyed token of 64 bits")]


class Suppressed(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of one account that were added together: tokens (`blind_index.py`) and the day that they count from."""

    account: Id
    tokens: list[Token]
    day: date


class _WrappedKey(msgspec.Struct, frozen=True, kw_only=True):
    epoch: int
    wrapped: bytes


_LINES = SignedLines("suppression list", "suppressed", Suppressed)


class SuppressionFiles:
    """The files of a home. Replicas of erasure share them."""

    def __init__(self, settings: Settings) -> None:
        self._root_keys = settings.path("root-keys")
        self._roots = RootKeys(self._root_keys, ERASURE)
        self._verifier = settings.path("verifiers", f"journal-{ERASURE}.key")
        self._folder = settings.path("tiles", ERASURE) / "suppression"

    def accounts(self) -> list[str]:
        """The accounts that have a list."""
        return sorted(path.stem for path in self._folder.glob("*.jsonl"))

    def add(self, secret: bytes, entries: Suppressed) -> None:
        """Adds entries that were made with `secret`, the account's. In a transaction that the account's end waits for, and that
        found the account not gone."""
        self._folder.mkdir(parents=True, exist_ok=True)
        while not self._has(entries.account, secret):  # again, where an epoch ended meanwhile
            self._wrap(entries.account, secret)
        _LINES.append(self._path(entries.account), journal_key(self._root_keys, ERASURE), [entries])

    def entries(self, account: str) -> list[Suppressed]:
        """All entries of an account. Raises `Tampered` where they are not as they were signed, or another account's."""
        try:
            octets = base64.b64decode(self._verifier.read_text("utf-8"))
        except FileNotFoundError:
            raise Tampered("the suppression list can't be checked: its verifier key is missing") from None
        entries = _LINES.read(self._path(account), Ed25519PublicKey.from_public_bytes(octets))
        if any(one.account != account for one in entries):
            raise Tampered("a line of the suppression list is another account's", account=account)
        return entries

    def secret(self, account: str) -> bytes:
        """The key that the entries were made with. Raises `NotFound` where it is not there or its epoch has ended."""
        kept = self._wrapped(account)
        if kept is None:
            raise NotFound("the suppression list has no key")
        return self._unwrapped(account, kept)

    def remove(self, account: str) -> None:
        """Removes what is here of an account that is gone. Repeatable."""
        for path in (self._path(account), self._key_path(account)):
            path.unlink(missing_ok=True)
        if self._folder.exists():
            sync_folder(self._folder)

    def rewrap(self) -> int:
        """Wraps all keys under the newest root key; returns how many it had not been. Before the older ones are destroyed."""
        epoch, count = self._roots.current(), 0
        for path in self._folder.glob("*.key"):
            account = path.stem
            kept = self._wrapped(account)
            if kept is None or kept.epoch == epoch:
                continue
            try:
                self._wrap(account, self._unwrapped(account, kept))
            except NotFound:
                continue  # whoever wrote it died before they saw that its epoch had ended: the next entry brings it again
            count += 1
        return count

    # --

    def _path(self, account: str) -> Path:
        return self._folder / f"{account}.jsonl"

    def _key_path(self, account: str) -> Path:
        return self._folder / f"{account}.key"

    def _has(self, account: str, secret: bytes) -> bool:
        """Whether this key is there, under the newest root key: one that lost against another replica's, the first time that
        anything is suppressed in the account, may be."""
        kept = self._wrapped(account)
        if kept is None or kept.epoch != self._roots.current():
            return False
        try:
            return self._unwrapped(account, kept) == secret
        except NotFound:
            return False

    def _wrapped(self, account: str) -> _WrappedKey | None:
        octets = read_if_there(self._key_path(account))
        if octets is None:
            return None
        try:
            return msgspec.json.decode(octets, type=_WrappedKey)
        except UNREADABLE:
            raise Tampered("the key of a suppression list can't be read", account=account) from None

    def _unwrapped(self, account: str, kept: _WrappedKey) -> bytes:
        try:
            root = self._roots.load(kept.epoch)
        except FileNotFoundError:
            raise NotFound("the root key of this epoch is destroyed", epoch=kept.epoch) from None
        return open_sealed(root, kept.wrapped, _place(account))

    def _wrap(self, account: str, secret: bytes) -> None:
        epoch = self._roots.current()
        try:
            wrapped = seal(self._roots.load(epoch), secret, _place(account))
        except FileNotFoundError:
            return  # a rotation ended in this moment: the caller looks again
        replace(self._key_path(account), msgspec.json.encode(_WrappedKey(epoch=epoch, wrapped=wrapped)), mode=0o600)


def _place(account: str) -> bytes:
    return f"suppression\n{ERASURE}\n{account}".encode()
