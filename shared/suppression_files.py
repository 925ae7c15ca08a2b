"""The suppression list outside of its database: where the database is put back from a copy, it knows what the copy forgot.

Of each account two files below `tiles/erasure/suppression/`: `<account>.jsonl`, the entries as they were added, in signed lines
(`signed_lines.py`, by the key of the cut journal), and `<account>.key`, the key that they were made with, wrapped under
erasure's root key; a rotation wraps it anew. So they say what the rows in the database say, to whom has a root key, and to
nobody else, but for one thing: entries that were added together stand together. They go with the account.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from shared.cut_journal import journal_key, public_key
from shared.durable_files import make_folder, read_if_there, replace, sync_folders
from shared.errors import NotFound, Tampered, Unavailable
from shared.events import UNREADABLE
from shared.ids import Id, is_id
from shared.personal import NotPersonal
from shared.root_keys import RootKeys, sync_folder
from shared.sealing import open_sealed, seal
from shared.settings import Settings
from shared.signed_lines import SignedLines

ERASURE = "erasure"
Token = Annotated[int, NotPersonal("a keyed token of 64 bits")]


class SuppressionEntries(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of one account that were added together: tokens (`blind_index.py`) and the day that they count from."""

    account: Id
    tokens: list[Token]
    day: date
    begins_anew: bool = False
    """The list lacked something when a recovery came to it: what it had before may be lost."""


class TakenBack(NamedTuple):
    """What a recovery found outside: entries, and accounts whose list lacked something, or was missing."""

    entries: int = 0
    incomplete: int = 0


class _WrappedKey(msgspec.Struct, frozen=True, kw_only=True):
    epoch: int
    wrapped: bytes


_LINES = SignedLines("suppression list", "suppressed", SuppressionEntries)


class SuppressionFiles:
    """The files of a home. Replicas of erasure share them."""

    def __init__(self, settings: Settings) -> None:
        self._root_keys = settings.path("root-keys")
        self._roots = RootKeys(self._root_keys, ERASURE)
        self._verifier = settings.path("verifiers", f"journal-{ERASURE}.key")
        self._home = settings.home
        self._folder = settings.path("tiles", ERASURE) / "suppression"

    def accounts(self) -> list[str]:
        """The accounts that have a list."""
        return sorted(path.stem for path in self._folder.glob("*.jsonl") if is_id(path.stem))

    def has(self, account: str) -> bool:
        """Whether the account has a list."""
        return self._path(account).exists()

    def has_key(self, account: str) -> bool:
        """Whether the key of a list is there; what it is, only who has the root key can say."""
        return self._key_path(account).exists()

    def add(self, account: str, key: bytes, lines: Sequence[SuppressionEntries]) -> None:
        """Adds entries of an account that were made with its `key`, durably, and sees to it that the key is there. In a
        transaction that the account's end waits for, and that found the account not gone; `key` is committed. Raises
        `Unavailable` where a file can't be written."""
        try:
            if not self._folder.exists():
                sync_folders(make_folder(self._folder, self._home))
            with self._alone():
                while not self._has_wrapped(account, key):  # again, where an epoch ended meanwhile
                    self._wrap(account, key)
            _LINES.append(self._path(account), journal_key(self._root_keys, ERASURE), lines)
        except OSError as error:
            raise Unavailable("the suppression list can't be written", reason=error.strerror or "") from error

    def entries(self, account: str) -> list[SuppressionEntries]:
        """All entries of an account. Raises `Tampered` where they are not as they were signed, or another account's."""
        try:
            public = public_key(self._verifier)
        except (FileNotFoundError, ValueError):
            raise Tampered("the suppression list can't be checked: its verifier key is missing or can't be read") from None
        entries = _LINES.read(self._path(account), public)
        if any(one.account != account for one in entries):
            raise Tampered("a line of the suppression list is another account's", account=account)
        return entries

    def key(self, account: str) -> bytes:
        """The key that the entries were made with. Raises `NotFound` where it is not there or its epoch has ended, `Tampered`
        where it is not what was written."""
        octets = read_if_there(self._key_path(account))
        if octets is None:
            raise NotFound("the suppression list has no key")
        kept = _decoded(octets)
        try:
            root = self._roots.load(kept.epoch)
        except FileNotFoundError:
            raise NotFound("the root key of this epoch is destroyed", epoch=kept.epoch) from None
        return open_sealed(root, kept.wrapped, _place(account))

    def remove(self, account: str) -> None:
        """Removes what is here of an account that is gone. Repeatable."""
        if not self._folder.exists():
            return
        with self._alone():
            unfinished = self._folder.glob(f".{account}.*")
            for path in (self._path(account), self._key_path(account), *unfinished):
                path.unlink(missing_ok=True)
            sync_folder(self._folder)

    def rewrap(self) -> None:
        """Wraps all keys under the newest root key, before the older ones are destroyed. One that can't be opened is left: the
        database has it too, and the next entry of its account brings it again."""
        for path in self._folder.glob("*.key"):
            with self._alone():
                try:
                    if self.has(path.stem):
                        self._wrap(path.stem, self.key(path.stem))
                except (NotFound, Tampered):
                    continue

    # --

    def _path(self, account: str) -> Path:
        return self._folder / f"{account}.jsonl"

    def _key_path(self, account: str) -> Path:
        return self._folder / f"{account}.key"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else wraps or removes a key in the block: a rotation must not bring back that of an account that is gone."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _has_wrapped(self, account: str, key: bytes) -> bool:
        """Whether this key is there, under the newest root key. What can't be opened is not."""
        octets = read_if_there(self._key_path(account))
        try:
            return octets is not None and _decoded(octets).epoch == self._roots.current() and self.key(account) == key
        except (NotFound, Tampered):
            return False

    def _wrap(self, account: str, key: bytes) -> None:
        epoch = self._roots.current()
        try:
            wrapped = seal(self._roots.load(epoch), key, _place(account))
        except FileNotFoundError:
            return  # a rotation ended in this moment: the caller looks again
        replace(self._key_path(account), msgspec.json.encode(_WrappedKey(epoch=epoch, wrapped=wrapped)), mode=0o600)


def _decoded(octets: bytes) -> _WrappedKey:
    try:
        return msgspec.json.decode(octets, type=_WrappedKey)
    except UNREADABLE:
        raise Tampered("the key of a suppression list can't be read") from None


def _place(account: str) -> bytes:
    return f"suppression\n{ERASURE}\n{account}".encode()
