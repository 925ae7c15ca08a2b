"""The keys that lie outside every database and backup: `$LETHE_HOME/root-keys/`, mode 0700, a file each.

`<service>/epoch-<n>.key` (root of the service's key tree), `<service>/journal.key` (signs the cut journal),
`<service>/log-signer.key` (signs checkpoints), `<service>/token.key`, `transport/epoch-<n>.key`, `erasure/certificate.key`,
`cell/routing.key`. A key management service can take the place of this module; nothing else reads the folder's epochs.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from shared.sealing import KEY_BYTES, new_key


def write_secret(path: Path, secret: bytes) -> None:
    """Writes a key file of mode 0600, durably, all or nothing. One that exists is never overwritten (`FileExistsError`)."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.urandom(6).hex()}.new")  # its own: two replicas may come here at once
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes a folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RootKeys:
    """The root keys of one key tree: a service's, or `transport`."""

    def __init__(self, root_keys: Path, tree: str) -> None:
        self._folder = root_keys / tree

    def epochs(self) -> list[int]:
        """The epochs whose root key exists, oldest first."""
        found = (re.fullmatch(r"epoch-(\d+)\.key", entry.name) for entry in self._folder.glob("epoch-*.key"))
        return sorted(int(match[1]) for match in found if match)

    def current(self) -> int:
        """The newest epoch."""
        epochs = self.epochs()
        if not epochs:
            raise FileNotFoundError(f"no root key of {self._folder.name}")
        return epochs[-1]

    def load(self, epoch: int) -> bytes:
        """The root key of an epoch; `FileNotFoundError` once it is destroyed."""
        key = (self._folder / f"epoch-{epoch}.key").read_bytes()
        if len(key) != KEY_BYTES:
            raise ValueError(f"the root key of {self._folder.name}, epoch {epoch}, has not {KEY_BYTES} bytes")
        return key

    def begin_epoch(self) -> int:
        """Makes the next epoch's root key and returns its number."""
        epoch = (self.epochs() or [0])[-1] + 1
        write_secret(self._folder / f"epoch-{epoch}.key", new_key())
        return epoch

    def destroy(self, epoch: int) -> None:
        """Overwrites and removes an epoch's root key. Only rotation calls it, after it proved that nothing refers to it."""
        path = self._folder / f"epoch-{epoch}.key"
        with path.open("r+b") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        sync_folder(self._folder)


def create(home: Path, services: tuple[str, ...]) -> None:
    """Makes what a new home needs: an epoch for each tree. What exists stays; signing keys are made by their owners."""
    root = home / "root-keys"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for tree in (*services, "transport"):
        if not RootKeys(root, tree).epochs():
            RootKeys(root, tree).begin_epoch()
    for name in ("cell/routing.key",):
        if not (root / name).exists():
            write_secret(root / name, new_key())
