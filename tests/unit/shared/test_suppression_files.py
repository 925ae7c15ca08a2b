"""The suppression list outside of its database: what was added is there, under a key that rotations take along."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from shared import root_keys
from shared.cut_journal import journal_key, read
from shared.errors import NotFound, Tampered
from shared.ids import new_id
from shared.root_keys import RootKeys
from shared.settings import Settings
from shared.suppression_files import Suppressed, SuppressionFiles

SECRET = os.urandom(32)


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


def entries(account: str, *tokens: int) -> Suppressed:
    return Suppressed(account=account, tokens=list(tokens), day=date(2026, 1, 1))


def test_what_was_added_is_there_with_its_key(files: SuppressionFiles) -> None:
    one, other = new_id(), new_id()
    added = [entries(one, 1, -2), entries(one), entries(one, *range(20_000))]
    for each in added:
        files.add(SECRET, each)
    files.add(os.urandom(32), entries(other, 3))
    assert sorted([one, other]) == files.accounts()
    assert added == files.entries(one) and [entries(other, 3)] == files.entries(other)
    assert SECRET == files.secret(one) != files.secret(other)
    with pytest.raises(NotFound):
        files.secret(new_id())


def test_the_list_goes_with_the_account(files: SuppressionFiles, settings: Settings) -> None:
    account = new_id()
    files.add(SECRET, entries(account, 1))
    for _ in range(2):
        files.remove(account)
        assert [] == list((settings.path("tiles", "erasure") / "suppression").iterdir())


def test_a_rotation_takes_the_keys_along(files: SuppressionFiles, roots: RootKeys) -> None:
    """Before the old root is destroyed; of what was left behind nothing opens."""
    accounts = [new_id() for _ in range(3)]
    for account in accounts:
        files.add(SECRET, entries(account, 1))
    assert 0 == files.rewrap()
    roots.begin_epoch()
    assert 3 == files.rewrap() and 0 == files.rewrap()
    roots.destroy(1)
    assert [SECRET] * 3 == [files.secret(account) for account in accounts]
    roots.begin_epoch()
    roots.destroy(2)
    assert 0 == files.rewrap(), "an epoch that ended without it: the rotation goes on"
    with pytest.raises(NotFound):
        files.secret(accounts[0])
    files.add(SECRET, entries(accounts[0], 2))
    assert SECRET == files.secret(accounts[0]), "the next entry brings it again"


def test_a_key_that_lost_against_another_replicas_is_replaced(files: SuppressionFiles) -> None:
    account = new_id()
    files.add(os.urandom(32), entries(account, 1))
    files.add(SECRET, entries(account, 2))
    assert SECRET == files.secret(account)


@pytest.mark.parametrize("damage", ["changed", "dropped", "torn"])
def test_a_changed_or_dropped_line_is_found(files: SuppressionFiles, settings: Settings, damage: str) -> None:
    """A torn last line is one that was being written: its transaction was not committed."""
    account = new_id()
    for token in range(3):
        files.add(SECRET, entries(account, token))
    path = settings.path("tiles", "erasure") / "suppression" / f"{account}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "torn":
        path.write_bytes(b"".join(lines) + lines[0][:30])
        assert 3 == len(files.entries(account))
        files.add(SECRET, entries(account, 3))
        assert 4 == len(files.entries(account))
        return
    path.write_bytes(lines[0].replace(b"2026", b"2025") + b"".join(lines[1:]) if damage == "changed" else b"".join(lines[1:]))
    with pytest.raises(Tampered):
        files.entries(account)


def test_the_list_of_another_account_is_not_taken(files: SuppressionFiles, settings: Settings) -> None:
    """Lines are signed, and so is whose they are; a key does not open in another account's place."""
    one, other = new_id(), new_id()
    files.add(SECRET, entries(one, 1))
    folder = settings.path("tiles", "erasure") / "suppression"
    for suffix in ("jsonl", "key"):
        (folder / f"{one}.{suffix}").rename(folder / f"{other}.{suffix}")
    with pytest.raises(Tampered, match="another account's"):
        files.entries(other)
    with pytest.raises(Tampered):
        files.secret(other)


def test_a_line_of_the_cut_journal_is_none_of_the_list(files: SuppressionFiles, settings: Settings) -> None:
    """Both are signed with one key: what a line says is signed with what kind it is."""
    account = new_id()
    files.add(SECRET, entries(account, 1))
    path = settings.path("tiles", "erasure") / "suppression" / f"{account}.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"suppressed"', b'"cut"'))
    with pytest.raises(Tampered):
        read(path, journal_key(settings.path("root-keys"), "erasure").public_key())
