"""Blobs: attachments and pictures, sealed in chunks under a key derived from their item's key.

A blob is written and synced before the transaction that names it commits. After a crash in between there is a file that no
row names: under a key that was never kept, or under its item's, and then the caller gives the same blob the same id when it
tries again, so that it is written over. Cutting the item's key leaves only noise to remove. Files or object storage, through
`fsspec`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from contextlib import suppress

import fsspec

from shared.errors import NotFound, Tampered
from shared.sealing import derive, open_sealed, seal

CHUNK_BYTES = 1 << 20
_LENGTH = struct.Struct(">I")


class BlobStore:
    """The blobs of one service below `url` (a folder, or `s3://…`): one object a blob, named by its opaque id."""

    def __init__(self, url: str) -> None:
        self._files, self._root = fsspec.core.url_to_fs(url)

    def write(self, account_id: str, blob_id: str, item_key: bytes, content: bytes) -> None:
        """Seals `content` in chunks; the number of chunks is bound to each, so that none can be left out or swapped."""
        key = derive(item_key, f"blob {blob_id}")
        pieces = [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)] or [b""]
        path = self._path(account_id, blob_id)
        self._files.makedirs(os.path.dirname(path), exist_ok=True)
        beside = f"{path}.{os.urandom(4).hex()}.new"  # two may be writing the same blob
        with self._files.open(beside, "wb") as file:
            for number, piece in enumerate(pieces):
                sealed = seal(key, piece, self._place(account_id, blob_id, number, len(pieces)))
                file.write(_LENGTH.pack(len(sealed)) + sealed)
            file.flush()
            if hasattr(file, "fileno"):
                os.fsync(file.fileno())
        self._files.mv(beside, path)

    def read(self, account_id: str, blob_id: str, item_key: bytes) -> bytes:
        """The content again. `NotFound` where the blob is gone, `Tampered` where a chunk is not what it was."""
        key = derive(item_key, f"blob {blob_id}")
        try:
            raw: bytes = self._files.cat_file(self._path(account_id, blob_id))
        except FileNotFoundError:
            raise NotFound("this attachment is gone") from None
        chunks, at = [], 0
        while at < len(raw):
            (length,) = _LENGTH.unpack_from(raw, at) if at + _LENGTH.size <= len(raw) else (-1,)
            chunk = raw[at + _LENGTH.size : at + _LENGTH.size + length]
            if length < 0 or len(chunk) != length:
                raise Tampered("a blob is cut short")
            chunks.append(chunk)
            at += _LENGTH.size + length
        count = len(chunks)
        return b"".join(
            open_sealed(key, chunk, self._place(account_id, blob_id, number, count)) for number, chunk in enumerate(chunks)
        )

    def remove(self, account_id: str, blob_ids: Iterable[str]) -> int:
        """Removes blobs; returns how many were there."""
        removed = 0
        for blob_id in blob_ids:
            try:
                self._files.rm_file(self._path(account_id, blob_id))
                removed += 1
            except FileNotFoundError:
                pass
        return removed

    def remove_account(self, account_id: str) -> None:
        """Removes all blobs of an account, those too that no row names."""
        folder = f"{self._root}/{account_id}"
        while self._files.exists(folder):
            with suppress(FileNotFoundError):  # another replica removes them as well
                self._files.rm(folder, recursive=True)

    def exists(self, account_id: str, blob_id: str) -> bool:
        return bool(self._files.exists(self._path(account_id, blob_id)))

    def _path(self, account_id: str, blob_id: str) -> str:
        return f"{self._root}/{account_id}/{blob_id[:2]}/{blob_id}"

    @staticmethod
    def _place(account_id: str, blob_id: str, number: int, count: int) -> bytes:
        return f"blob\n{account_id}\n{blob_id}\n{number}\n{count}".encode()
