"""What is compiled and what does it in Python come to the same: rows cut up, hashes, ids and times. The rows that are plain are
tested in `test_plain_rows.py`."""

from __future__ import annotations

import struct
import sys
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from importlib import util
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import audit
from audit import _fast_path, _slow_path, fast_path
from audit._fast_path import PlainRows
from audit.log_rows import parse_row
from shared import merkle
from tests.unit.audit.test_plain_rows import AT, LENGTH, PARTS, Taker, array, damaged_row, damages, envelope, row, sealed


def test_only_byte_strings_are_read() -> None:
    """Anything else is refused before anything is read of it."""
    whole = row(of := envelope())
    for rows, entries in (([None], [bytes(32)]), ([whole], [None]), (["row"], [bytes(32)]), ([whole], ["entry"])):
        with pytest.raises(TypeError):
            Taker(of)._rows.take(rows, entries, AT)  # type: ignore[arg-type]
    for wrong in ([None], ["entry"], [bytearray(32)], None):
        with pytest.raises(TypeError):
            _fast_path.leaf_hashes(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            _fast_path.parse_rows(wrong)  # type: ignore[arg-type]
    for hashes in ([], [bytes(32)] * 255, [bytes(32)] * 257, [bytes(32)] * 255 + [bytes(31)]):
        with pytest.raises(ValueError, match=r"tile has 256|hash has 32"):
            _fast_path.root_of_tile(hashes)
    for one in (None, "hash"):
        with pytest.raises(TypeError):
            _fast_path.root_of_tile([bytes(32)] * 255 + [one])  # type: ignore[list-item]
        with pytest.raises(TypeError):
            _fast_path.digest_of(one)  # type: ignore[arg-type]
    let_go = bytearray(b"grows")
    _fast_path.digest_of(memoryview(let_go)[1:])
    let_go.append(0)


BOTH = pytest.mark.parametrize("path", [_fast_path, _slow_path], ids=["compiled", "python"])


@BOTH
@given(entries=st.lists(st.binary(max_size=200), min_size=256, max_size=256))
def test_hashes_are_those_of_the_tree(path: Any, entries: list[bytes]) -> None:
    """Of entries of any length; the root of a tile over any leaves; the digest of bytes and of views."""
    leaves = path.leaf_hashes(entries)
    assert [merkle.leaf_hash(entry) for entry in entries] == leaves
    assert merkle.root_of(leaves) == path.root_of_tile(leaves)
    for entry in entries:
        assert sha256(entry).digest() == path.digest_of(entry) == path.digest_of(memoryview(b"-" + entry)[1:])


@given(parts=st.lists(st.binary(max_size=40), max_size=3), damage=damages)
def test_a_row_is_cut_up_in_the_same_way(parts: list[bytes], damage: list[tuple[str, int, bytes]]) -> None:
    """Whatever it is; with a part or without."""
    damaged = damaged_row(envelope(sealed=[sealed(part) for part in parts]), tuple(parts), damage)
    assert _slow_path.parse_rows([damaged]) == _fast_path.parse_rows([damaged])


def test_a_row_that_is_cut_short_is_cut_up_in_the_same_way() -> None:
    """To nothing in the end."""
    whole = row(envelope())
    rows = [whole[:length] for length in range(len(whole))]
    assert _slow_path.parse_rows(rows) == _fast_path.parse_rows(rows)


@pytest.mark.parametrize("at", [0, 4, 8, 12, 16, 20, 24])
def test_an_array_is_cut_up_in_the_same_way(at: int) -> None:
    """Whatever its head says: length, dimensions, NULLs, type, how many, counted from where; and the length of its part."""
    whole = row(envelope(sealed=[sealed(PARTS[0])]), PARTS[:1])
    sealed_at = len(whole) - len(array(PARTS[:1])) - LENGTH.size + at
    for number in (-(2**31), -1, 0, 1, 2, 3, 28, len(PARTS[0]) - 1, len(PARTS[0]) + 1, 2**31 - 1):
        changed = whole[:sealed_at] + LENGTH.pack(number) + whole[sealed_at + 4 :]
        assert _slow_path.parse_rows([changed]) == _fast_path.parse_rows([changed]), number


@BOTH
@given(values=st.lists(st.none() | st.uuids(), max_size=9), is_upper=st.booleans())
def test_ids_are_copied(path: Any, values: list[UUID | None], is_upper: bool) -> None:
    """As their 16 bytes behind that number, NULL as -1."""
    texts = [None if one is None else str(one).upper() if is_upper else str(one) for one in values]
    assert [LENGTH.pack(-1) if one is None else LENGTH.pack(16) + one.bytes for one in values] == path.ids_copied(texts)


ID = "5b2f3a64-08c1-4d7e-9a3b-c5d6e7f80912"


@BOTH
@pytest.mark.parametrize(
    "wrong",
    [
        "", ID[1:], ID + "0", ID.replace("-", ""), ID.replace("-", "0"), f"g{ID[1:]}", f"{ID[:35]}/", f"{ID[:35]}\ud800",
        f"{ID[:35]}é", f"-{ID[1:8]}0{ID[9:]}", f" {ID[1:]}", f"{ID[:35]}@", f"{ID[:35]}`", f"{ID[:35]}:",
    ],
)  # fmt: skip
def test_what_is_no_id_is_not_copied(path: Any, wrong: str) -> None:
    """It is refused, whatever stands beside it."""
    with pytest.raises(ValueError, match=r"not written as one|hexadecimal|surrogates"):
        path.ids_copied([ID, wrong, ID])


@BOTH
@given(values=st.lists(st.none() | st.datetimes(timezones=st.just(UTC)), max_size=9), hours=st.integers(-23, 23))
def test_times_are_copied(path: Any, values: list[datetime | None], hours: int) -> None:
    """As microseconds since 2000, whatever their offset; one without an offset is none."""
    zone = timezone(timedelta(hours=hours))
    first = datetime(2000, 1, 1, tzinfo=UTC)
    times = [None if one is None else one.replace(tzinfo=zone) for one in values]
    expected = [
        LENGTH.pack(-1) if one is None else struct.pack(">iq", 8, (one - first) // timedelta(microseconds=1)) for one in times
    ]
    assert expected == path.times_copied(times)
    with pytest.raises(TypeError):
        path.times_copied([*times, datetime(2026, 1, 1)])


def test_without_a_compiler_python_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """No row is plain then, so that each is checked by itself."""
    assert fast_path.is_compiled and fast_path.PlainRows is PlainRows
    monkeypatch.setitem(sys.modules, "audit._fast_path", None)
    monkeypatch.delattr(audit, "_fast_path")
    other = imported_anew()
    assert not other.is_compiled and other.PlainRows is _slow_path.PlainRows
    of = envelope(version=1)
    rows, entries = [row(of)], [sha256(parse_row(row(of)).salted).digest()]
    arguments = ("tickets", frozenset({b"tickets.MessageAdded"}), {}, lambda account, at: None)
    assert (1, 0) == tuple(module.PlainRows(*arguments).take(rows, entries, AT) for module in (fast_path, other))


def test_what_was_compiled_of_another_source_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change that nobody compiled yet the exact way is taken; so it is where the source is not there."""
    assert imported_anew().is_compiled
    monkeypatch.setattr(_fast_path, "source_checksum", _fast_path.source_checksum ^ 1)
    assert not imported_anew().is_compiled
    monkeypatch.undo()
    monkeypatch.setattr(Path, "with_name", lambda self, name: self.parent / "nowhere" / name)
    assert not imported_anew().is_compiled


def test_both_can_do_the_same() -> None:
    """Neither has a function that the other lacks."""
    names = {name for name in vars(_fast_path) if not name.startswith("_")} & set(fast_path.__dict__)
    assert names == {name for name, one in vars(_slow_path).items() if getattr(one, "__module__", "") == _slow_path.__name__}


def imported_anew() -> Any:
    """The module as it is where it is imported first now."""
    spec = fast_path.__spec__
    assert spec is not None and spec.loader is not None
    other = util.module_from_spec(spec)
    spec.loader.exec_module(other)
    return other
