"""The suppression list outside of its database: what was added is there, under a key that rotations take along."""

from __future__ import annotations

import errno
import os
from datetime import date
from pathlib import Path
from threading import Event, Thread

import pytest

from shared import root_keys
from shared.cut_journal import journal_key, read
from shared.errors import NotFound, Tampered, Unavailable
from shared.ids import new_id
from shared.root_keys import RootKeys
from shared.settings import Settings
from shared.suppression_files import _LINES, SuppressionEntries, SuppressionFiles

KEY = os.urandom(32)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    root_keys.create(tmp_path, ("erasure",))
    (tmp_path / "tiles").mkdir()
    (tmp_path / "stack.json").write_text('{"cell": "test", "amqp_url": "", "databases": {}}')
    return Settings.load(tmp_path)


@pytest.fixture
def files(settings: Settings) -> SuppressionFiles:
    return SuppressionFiles(settings)


@pytest.fixture
def roots(settings: Settings) -> RootKeys:
    return RootKeys(settings.path("root-keys"), "erasure")


def entries(account: str, *tokens: int) -> SuppressionEntries:
    return SuppressionEntries(account=account, tokens=list(tokens), day=date(2026, 1, 1))


def test_what_was_added_is_there_with_its_key(files: SuppressionFiles) -> None:
    one, other = new_id(), new_id()
    added = [entries(one, 1, -2), entries(one), entries(one, *range(20_000))]
    files.add(one, KEY, added[:1])
    files.add(one, KEY, added[1:])
    files.add(other, os.urandom(32), [entries(other, 3)])
    assert sorted([one, other]) == files.accounts()
    assert added == files.entries(one) and [entries(other, 3)] == files.entries(other)
    assert KEY == files.key(one) != files.key(other)
    with pytest.raises(NotFound):
        files.key(new_id())


def test_the_list_goes_with_the_account(files: SuppressionFiles, settings: Settings) -> None:
    account = new_id()
    files.add(account, KEY, [entries(account, 1)])
    for _ in range(2):
        files.remove(account)
        assert [] == list((settings.path("tiles", "erasure") / "suppression").iterdir())


def test_a_rotation_takes_the_keys_along(files: SuppressionFiles, settings: Settings, roots: RootKeys) -> None:
    """Before the old root is destroyed; of what was left behind nothing opens. A key that can't be read is in nobody's way."""
    accounts = [new_id() for _ in range(3)]
    for account in accounts:
        files.add(account, KEY, [entries(account, 1)])
    folder = settings.path("tiles", "erasure") / "suppression"
    (folder / f"{accounts[2]}.key").write_text("{")
    files.rewrap()
    roots.begin_epoch()
    files.rewrap()
    roots.destroy(1)
    with pytest.raises(Tampered):
        files.key(accounts[2])
    files.add(accounts[2], KEY, [])
    assert [KEY] * 3 == [files.key(account) for account in accounts]
    roots.begin_epoch()
    roots.destroy(2)
    files.rewrap()  # of an epoch that ended without it: the rotation goes on
    with pytest.raises(NotFound):
        files.key(accounts[0])
    files.add(accounts[0], KEY, [entries(accounts[0], 2)])
    assert KEY == files.key(accounts[0]), "the next entry brings it again"


def test_a_key_that_lost_against_another_replicas_is_replaced(files: SuppressionFiles) -> None:
    account = new_id()
    files.add(account, os.urandom(32), [entries(account, 1)])
    files.add(account, KEY, [entries(account, 2)])
    assert KEY == files.key(account)


@pytest.mark.parametrize("damage", ["changed", "dropped", "torn"])
def test_a_changed_or_dropped_line_is_found(files: SuppressionFiles, settings: Settings, damage: str) -> None:
    """A torn last line is one that was being written: its transaction was not committed."""
    account = new_id()
    for token in range(3):
        files.add(account, KEY, [entries(account, token)])
    path = settings.path("tiles", "erasure") / "suppression" / f"{account}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "torn":
        path.write_bytes(b"".join(lines) + lines[0][:30])
        assert 3 == len(files.entries(account))
        files.add(account, KEY, [entries(account, 3)])
        assert 4 == len(files.entries(account))
        return
    path.write_bytes(lines[0].replace(b"2026", b"2025") + b"".join(lines[1:]) if damage == "changed" else b"".join(lines[1:]))
    with pytest.raises(Tampered):
        files.entries(account)


def test_the_list_of_another_account_is_not_taken(files: SuppressionFiles, settings: Settings) -> None:
    """Lines are signed, and so is whose they are; a key does not open in another account's place."""
    one, other = new_id(), new_id()
    files.add(one, KEY, [entries(one, 1)])
    folder = settings.path("tiles", "erasure") / "suppression"
    for suffix in ("jsonl", "key"):
        (folder / f"{one}.{suffix}").rename(folder / f"{other}.{suffix}")
    with pytest.raises(Tampered, match="another account's"):
        files.entries(other)
    with pytest.raises(Tampered):
        files.key(other)


def test_a_line_of_the_cut_journal_is_none_of_the_list(files: SuppressionFiles, settings: Settings) -> None:
    """Both are signed with one key: what a line says is signed with what kind it is."""
    account = new_id()
    files.add(account, KEY, [entries(account, 1)])
    path = settings.path("tiles", "erasure") / "suppression" / f"{account}.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"suppressed"', b'"cut"'))
    with pytest.raises(Tampered):
        read(path, journal_key(settings.path("root-keys"), "erasure").public_key())


def test_a_rotation_brings_nothing_of_a_gone_account_back(
    files: SuppressionFiles, roots: RootKeys, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account ends while its key is wrapped anew: the end waits for that."""
    account, ended = new_id(), Event()
    files.add(account, KEY, [entries(account, 1)])
    roots.begin_epoch()

    def end() -> None:
        files.remove(account)
        ended.set()

    def wrap_slowly(self: SuppressionFiles, account: str, key: bytes) -> None:
        ending.start()
        assert not ended.wait(0.3)
        wrap(self, account, key)

    ending, wrap = Thread(target=end), SuppressionFiles._wrap
    monkeypatch.setattr(SuppressionFiles, "_wrap", wrap_slowly)
    files.rewrap()
    ending.join(10)
    assert ended.is_set() and [] == list((settings.path("tiles", "erasure") / "suppression").iterdir())


def test_what_a_write_left_unfinished_goes_too(files: SuppressionFiles, settings: Settings) -> None:
    account = new_id()
    files.add(account, KEY, [entries(account, 1)])
    folder = settings.path("tiles", "erasure") / "suppression"
    (folder / f".{account}.key.17.0").write_text("half")
    files.remove(account)
    assert [] == list(folder.iterdir())


def test_other_files_are_no_lists(files: SuppressionFiles, settings: Settings) -> None:
    account = new_id()
    files.add(account, KEY, [entries(account, 1)])
    (settings.path("tiles", "erasure") / "suppression" / f"{account}.before.jsonl").write_text("{}")
    assert [account] == files.accounts()


def test_a_disk_that_takes_nothing_is_told(files: SuppressionFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """As what passes: whoever wants to add it tries again."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    account = new_id()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Unavailable, match="can't be written"):
            files.add(account, KEY, [entries(account, 1)])
    files.add(account, KEY, [entries(account, 1)])
    assert KEY == files.key(account)


def test_names_are_durable(files: SuppressionFiles, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the folder and of the files in it, also of a file that somebody made who died before he saw to that."""
    synced: set[str] = set()
    real = os.fsync

    def sync(descriptor: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    folder, account, other = settings.path("tiles", "erasure") / "suppression", new_id(), new_id()
    files.add(account, KEY, [entries(account, 1)])
    assert {str(folder), str(folder.parent), str(folder / f"{account}.jsonl")} <= synced
    (folder / f"{other}.jsonl").touch()
    synced.clear()
    (folder / f"{other}.key").write_bytes((folder / f"{account}.key").read_bytes())
    _LINES.append(folder / f"{other}.jsonl", journal_key(settings.path("root-keys"), "erasure"), [entries(other, 1)])
    assert str(folder) in synced

