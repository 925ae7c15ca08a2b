"""Blobs of an account go however many remove them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.blobs import BlobStore
from shared.ids import new_id
from shared.sealing import new_key


def test_blobs_that_another_replica_removes_as_well_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes some away in the middle of the work: what is left goes all the same, and twice is once."""
    store, account = BlobStore(str(tmp_path)), new_id()
    blobs = [new_id() for _ in range(3)]
    for blob in blobs:
        store.write(account, blob, new_key(), b"kettle")
    remove, tries = store._files.rm, list[str]()

    def disturbed(folder: str, recursive: bool = False) -> None:
        tries.append(folder)
        if len(tries) == 1:
            assert 1 == store.remove(account, blobs[:1])
            raise FileNotFoundError(blobs[0])
        remove(folder, recursive=recursive)

    monkeypatch.setattr(store._files, "rm", disturbed)
    store.remove_account(account)
    assert 2 == len(tries) and not any(store.exists(account, blob) for blob in blobs)
    store.remove_account(account)
    assert 2 == len(tries) and [] == [one for one in tmp_path.rglob("*") if one.is_file()]
