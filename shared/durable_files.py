"""Files that are there whole or not at all, also after a power cut: written beside, synced, given their name,
folder synced.

Used for tiles, checkpoints and the signer's record. `create_immutable` never replaces a file; `replace`
always does.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from shared.errors import Tampered

SYNCS_AT_ONCE = 4

_numbers = itertools.count()


def _write_beside(path: Path, octets: bytes, mode: int) -> tuple[Path, int]:
    """The temporary file with these bytes and its descriptor, which the caller syncs and closes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_numbers)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    written = 0
    while written < len(octets):
        written += os.write(descriptor, octets[written:])
    return temporary, descriptor


@cache
def _syncers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(SYNCS_AT_ONCE, thread_name_prefix="sync")


def _sync_all(descriptors: Sequence[int]) -> None:
    """Syncs several files at once: a journal takes them in one commit, where one after the other waits for
    each.
    """
    if len(descriptors) < 2:
        for descriptor in descriptors:
            _sync_and_close(descriptor)
    else:
        list(_syncers().map(_sync_and_close, descriptors))


def _sync_and_close(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_immutable(files: Mapping[Path, bytes]) -> None:
    """Gives these paths their bytes for ever, durably. Raises `Tampered` if one is there with others.

    The folders must be there. All files are written before the first is synced, since a file system that
    keeps a journal then syncs them in one go. The name is given with `link`, which fails where `rename` would
    replace: of two processes that write different bytes, the second finds out instead of winning.
    """
    written: list[tuple[Path, Path, int]] = []
    for path, octets in files.items():
        existing = read_if_there(path)
        if existing is None:
            written.append((path, *_write_beside(path, octets, 0o644)))
        elif existing != octets:
            raise _other_bytes(path)
    _sync_all([descriptor for _, _, descriptor in written])
    for path, temporary, _ in written:
        try:
            os.link(temporary, path)
        except FileExistsError:
            if path.read_bytes() != files[path]:
                raise _other_bytes(path) from None
        finally:
            temporary.unlink(missing_ok=True)
    sync_folders(path.parent for path in files)


def _other_bytes(path: Path) -> Tampered:
    name = f"{path.parent.name}/{path.name}"
    return Tampered("a file that never changes is there with other bytes", file=name)


def replace(path: Path, octets: bytes, mode: int = 0o644, durable: bool = True) -> None:
    """Puts these bytes in the place of what `path` had. Whole in any case; after a power cut, where `durable`
    is False, it may be what it was before.
    """
    temporary, descriptor = _write_beside(path, octets, mode)
    _sync_and_close(descriptor)
    os.replace(temporary, path)
    if durable:
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
    _sync_all([os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in dict.fromkeys(folders)])
