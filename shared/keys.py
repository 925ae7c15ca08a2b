"""The key tree of one service: root (per epoch, outside the database) → account key → item keys.

The database holds wrapped keys only. Item keys are never kept for reading: a row is unwrapped each time, so that a cut is
seen by every replica at the next read. For writing a key may be kept for up to 60 seconds, because the write itself holds
the key's row and is refused when the row is gone (`keys.pin_keys` in `schema.sql`).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import NamedTuple

from shared.errors import NotFound
from shared.root_keys import RootKeys
from shared.sealing import SealingKey, new_key, open_sealed, seal

KEPT_SECONDS = 60.0
"""The longest that an opened key stays in memory (architecture, "Personal data")."""

KEPT_AT_MOST = 20_000
_NAMESPACE = uuid.UUID("6a1c7f0e-5d0f-5c3a-9b58-1e0c5b6f2d11")


class AccountKey(NamedTuple):
    """An account's key with the generation by which item keys refer to it."""

    generation: int
    key: bytes


def account_item(account_id: str, purpose: str) -> str:
    """The id of an item that belongs to the account itself (its index key, its suppression key)."""
    return str(uuid.uuid5(_NAMESPACE, f"{account_id}/{purpose}"))


class KeyTree:
    """Wraps and unwraps; keeps opened keys for a short time. Knows no SQL."""

    def __init__(self, service: str, root_keys: RootKeys) -> None:
        self._service = service
        self._roots = root_keys
        self._account_keys: dict[tuple[str, int], tuple[float, bytes]] = {}
        self._newest: dict[str, tuple[float, AccountKey]] = {}
        self._writing: dict[tuple[str, str], tuple[float, SealingKey]] = {}

    # -- account keys

    def new_account_key(self, account_id: str, generation: int) -> tuple[int, bytes, bytes]:
        """A new account key: (epoch of the root, wrapped key, key)."""
        epoch = self._roots.current()
        key = new_key()
        return epoch, self.wrap_account_key(account_id, generation, epoch, key), key

    def wrap_account_key(self, account_id: str, generation: int, epoch: int, key: bytes) -> bytes:
        """The account key sealed under the root of an epoch."""
        return seal(self._roots.load(epoch), key, self._account_place(account_id, generation))

    def unwrap_account_key(self, account_id: str, generation: int, epoch: int, wrapped: bytes) -> bytes:
        """The account key; `NotFound` where the epoch's root is destroyed."""
        now = time.monotonic()
        kept = self._account_keys.get((account_id, generation))
        if kept and kept[0] > now:
            return kept[1]
        try:
            root = self._roots.load(epoch)
        except FileNotFoundError:
            raise NotFound("the root key of this epoch is destroyed", epoch=epoch) from None
        key = open_sealed(root, wrapped, self._account_place(account_id, generation))
        self._account_keys[account_id, generation] = (now + KEPT_SECONDS, key)
        return key

    def has_root(self, epoch: int) -> bool:
        """Whether the root key of an epoch still exists."""
        return epoch in self._roots.epochs()

    def newest(self, account_id: str) -> AccountKey | None:
        """The account key to mint under, if it was opened within the last minute."""
        kept = self._newest.get(account_id)
        return kept[1] if kept and kept[0] > time.monotonic() else None

    def keep_newest(self, account_id: str, key: AccountKey) -> None:
        self._newest[account_id] = (time.monotonic() + KEPT_SECONDS, key)

    # -- item keys

    def wrap_item_key(self, account_id: str, account_key: bytes, item_id: str, key: bytes) -> bytes:
        """An item key sealed under its account's key."""
        return seal(account_key, key, self._item_place(account_id, item_id))

    def unwrap_item_key(self, account_id: str, account_key: bytes, item_id: str, wrapped: bytes) -> bytes:
        """An item key from its wrap."""
        return open_sealed(account_key, wrapped, self._item_place(account_id, item_id))

    def kept_for_writing(self, account_id: str, item_id: str) -> SealingKey | None:
        """An item key opened within the last minute, for a write that holds the key's row."""
        kept = self._writing.get((account_id, item_id))
        return kept[1] if kept and kept[0] > time.monotonic() else None

    def keep_for_writing(self, account_id: str, item_id: str, key: SealingKey) -> None:
        if len(self._writing) >= KEPT_AT_MOST:
            self._writing.clear()
        self._writing[account_id, item_id] = (time.monotonic() + KEPT_SECONDS, key)

    def sweep(self) -> None:
        """Forgets what was kept for longer than a minute."""
        now = time.monotonic()
        self._account_keys = {name: kept for name, kept in self._account_keys.items() if kept[0] > now}
        self._newest = {name: kept for name, kept in self._newest.items() if kept[0] > now}
        self._writing = {name: kept for name, kept in self._writing.items() if kept[0] > now}

    def forget(self, account_id: str, items: Iterable[str] | None = None) -> None:
        """Drops opened keys at once: of these items, or (without items) of the whole account."""
        if items is None:
            self._newest.pop(account_id, None)
            self._account_keys = {name: kept for name, kept in self._account_keys.items() if name[0] != account_id}
            self._writing = {name: kept for name, kept in self._writing.items() if name[0] != account_id}
            return
        for item_id in items:
            self._writing.pop((account_id, item_id), None)

    def _account_place(self, account_id: str, generation: int) -> bytes:
        return f"account\n{self._service}\n{account_id}\n{generation}".encode()

    def _item_place(self, account_id: str, item_id: str) -> bytes:
        return f"item\n{self._service}\n{account_id}\n{item_id}".encode()


