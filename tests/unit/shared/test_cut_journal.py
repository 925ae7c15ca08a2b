"""The cut journal: durable, signed, in order."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from shared.cut_journal import Cut, append, journal_key, oldest_open, read
from shared.errors import Tampered
from shared.ids import new_id


def a_cut() -> Cut:
    return Cut(
        account=new_id(),
        subject=new_id(),
        kind="person",
        reason="erasure",
        request=new_id(),
        time=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_what_is_appended_is_read_in_order(tmp_path: Path) -> None:
    """Entries of several appends come back whole and in order."""
    key = journal_key(tmp_path, "tickets")
    cuts = [a_cut() for _ in range(5)]
    append(tmp_path / "journal", key, cuts[:2])
    append(tmp_path / "journal", key, cuts[2:])
    assert read(tmp_path / "journal", key.public_key()) == cuts


def test_a_torn_last_line_is_dropped_by_the_next_append(tmp_path: Path) -> None:
    """A crash in the middle of a write leaves half a line: the next append removes it and goes on."""
    key, path = journal_key(tmp_path, "tickets"), tmp_path / "journal"
    first, second = a_cut(), a_cut()
    append(path, key, [first])
    with path.open("ab") as file:
        file.write(b'{"cut":{"account"')
    append(path, key, [second])
    assert read(path, key.public_key()) == [first, second]


@pytest.mark.parametrize("damage", ["changed", "dropped", "swapped"])
def test_a_changed_dropped_or_swapped_line_is_found(tmp_path: Path, damage: str) -> None:
    """Each line is signed and names the one before."""
    key, path = journal_key(tmp_path, "tickets"), tmp_path / "journal"
    append(path, key, [a_cut() for _ in range(4)])
    lines = path.read_bytes().splitlines()
    if damage == "changed":
        lines[1] = lines[1].replace(b"erasure", b"erasurf")
    elif damage == "dropped":
        del lines[1]
    else:
        lines[1], lines[2] = lines[2], lines[1]
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(Tampered):
        read(path, key.public_key())


def at(hour: int, kind: str = "person") -> Cut:
    return replace(a_cut(), kind=kind, time=datetime(2026, 1, 1, hour, tzinfo=UTC))


@pytest.mark.parametrize(
    ("cuts", "oldest"),
    [
        ([], None),
        ([at(1), at(2)], 1),
        ([at(1), at(2, "epoch")], None),
        ([at(1), at(2, "epoch"), at(5, "account"), at(4, "item")], 4),
        ([at(1), at(3), at(2, "epoch")], 3),  # cut while the epoch was ending
        ([at(1), at(2, "epoch"), at(3), at(4, "epoch"), at(4)], 4),
        ([at(1), at(2, "epoch"), at(4), at(3, "epoch"), at(5)], 4),
    ],
)
def test_since_when_copies_may_open_what_was_cut(tmp_path: Path, cuts: list[Cut], oldest: int | None) -> None:
    """What was cut since the last epoch began to end; in any order, since replicas write one after the other."""
    path = tmp_path / "journal"
    append(path, journal_key(tmp_path, "tickets"), cuts)
    assert oldest_open(path) == (None if oldest is None else datetime(2026, 1, 1, oldest, tzinfo=UTC))
    with path.open("ab") as file:
        file.write(b"garbage\n")
    with pytest.raises(Tampered):
        oldest_open(path)
