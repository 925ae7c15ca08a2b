"""Files that are there whole or not at all, also after a power cut: written beside, synced, given their name,
folder synced.

Used for tiles, checkpoints and the signer's record. `create_immutable` never replaces a file; `replace`
always does.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from shared.errors import Tampered

_numbers = itertools.count()


def _write_beside(path: Path, octets: bytes, mode: int) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_numbers)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def create_immutable(path: Path, octets: bytes) -> None:
    """Gives `path` these bytes for ever. Raises `Tampered` if it is there with others. The caller syncs the
    folder.

    The name is given with `link`, which fails where `rename` would replace: of two processes that write
    different bytes, the second finds out instead of winning.
    """
    existing = read_if_there(path)
    if existing is None:
        temporary = _write_beside(path, octets, 0o644)
        try:
            os.link(temporary, path)
        except FileExistsError:
            existing = path.read_bytes()
        finally:
            temporary.unlink(missing_ok=True)
    if existing is not None and existing != octets:
        raise Tampered(
            "a file that never changes is there with other bytes", file=f"{path.parent.name}/{path.name}"
        )


def replace(path: Path, octets: bytes, mode: int = 0o644) -> None:
    """Puts these bytes in the place of what `path` had, durably."""
    os.replace(_write_beside(path, octets, mode), path)
    sync_folders([path.parent])


def read_if_there(path: Path) -> bytes | None:
    """The bytes of the file, or None."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def make_folder(folder: Path, below: Path) -> list[Path]:
    """Makes `folder` and what is missing between it and `below`. Returns the folders whose lists changed, to
    be synced.
    """
    missing = []
    at = folder
    while at != below and not at.exists():
        missing.append(at)
        at = at.parent
    folder.mkdir(parents=True, exist_ok=True)
    return [made.parent for made in missing]


def sync_folders(folders: Iterable[Path]) -> None:
    """Makes the names in these folders durable."""
    for folder in dict.fromkeys(folders):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
