"""The version of a file: equal only while nothing has changed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from shared.file_version import SETTLED_NS, file_version


def test_a_change_that_leaves_the_time_as_it_was_does_not_go_unseen(tmp_path: Path) -> None:
    """Two changes in one tick of the file system's clock: what was read between them is not believed to be the newest. (The
    folder's time has ticks in memory, and on kernels before 6.13 a file's too.)"""
    path = tmp_path / "key"
    for _ in range(200):
        path.write_text("a key")
        before = file_version(tmp_path)
        path.unlink()
        assert before is None or before != file_version(tmp_path)


def test_what_has_settled_keeps_its_version_until_it_changes(tmp_path: Path) -> None:
    """A file that was changed a while ago has one, the same at every look; a file in its place has another one."""
    path, other = tmp_path / "key", tmp_path / "other"
    past = time.time_ns() - 2 * SETTLED_NS
    for file in (path, other):
        file.write_text("text")
        os.utime(file, ns=(past, past))
    settled = file_version(path)
    assert settled is not None
    assert settled == file_version(path)
    other.replace(path)
    assert settled != file_version(path)


def test_a_folder_has_one_too(tmp_path: Path) -> None:
    """It changes with the entries."""
    past = time.time_ns() - 2 * SETTLED_NS
    os.utime(tmp_path, ns=(past, past))
    settled = file_version(tmp_path)
    (tmp_path / "entry").touch()
    assert settled is not None and file_version(tmp_path) is None


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """As by `stat`."""
    with pytest.raises(FileNotFoundError):
        file_version(tmp_path / "nowhere")
