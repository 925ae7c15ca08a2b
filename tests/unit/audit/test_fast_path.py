"""The hot path of a verification takes a row only if it is to the bit as it was signed, and what it takes is noted; its hashes
are those of the tree. What was compiled is what is tested here: where it was not, `make setup` says why."""

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
from audit.event_checks import EventChecks
from audit.findings import Findings
from audit.log_rows import FIXED, MICROSECONDS_BEFORE_2000, parse_row
from shared import merkle
from shared.events import Envelope, SealedField, canonical
from shared.ids import new_id

ACCOUNT, OTHER = new_id(), new_id()
AT = 300
PARTS = (b"sealed under a key of its own", b"and another")
LENGTH = struct.Struct(">i")
LEAF_AT = 18
LENGTHS_AT = (FIXED.size - 20, FIXED.size - 12, FIXED.size - 4)
"""Where the lengths of stream, type and envelope stand in a row."""


def envelope(**changed: Any) -> Envelope:
    """An event of a ticket, with as many sealed parts as PARTS."""
    ticket = new_id()
    fields: dict[str, Any] = {
        "account": ACCOUNT, "actor": new_id(), "causation": None, "data": {"ticket_id": ticket}, "event": new_id(), "schema": 2,
        "sealed": [sealed(part) for part in PARTS], "service": "tickets", "stream": f"ticket/{ticket}",
        "time": datetime(2026, 3, 1, 12, 30, 0, 77, tzinfo=UTC), "type": "tickets.MessageAdded", "version": 7,
    }  # fmt: skip
    return Envelope(**fields | changed)


def sealed(part: bytes) -> SealedField:
    return SealedField(digest=sha256(part).hexdigest(), field="content", item=new_id(), key="00112233445566ff")


def row(of: Envelope, parts: tuple[bytes | None, ...] = PARTS, at: int = AT, **columns: Any) -> bytes:
    """The row that the server sends of an event that is at `at`; `columns` are not as the envelope says."""
    raw = columns.get("raw", canonical(of))
    salted = bytes(range(16)) + raw
    stream, type_ = columns.get("stream", of.stream).encode(), columns.get("type", of.type).encode()
    microseconds = (columns.get("time", of.time) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    values = [
        struct.pack(">q", at), sha256(salted).digest(), struct.pack(">i", columns.get("version", of.version)),
        struct.pack(">i", columns.get("schema", of.schema)), struct.pack(">q", microseconds - MICROSECONDS_BEFORE_2000),
        UUID(columns.get("event", of.event)).bytes, UUID(columns.get("account", of.account)).bytes,
        struct.pack(">i", len(stream)), struct.pack(">i", len(type_)), struct.pack(">i", len(raw)), stream, type_, salted,
        array(parts),
    ]  # fmt: skip
    return struct.pack(">h", len(values)) + b"".join(LENGTH.pack(len(value)) + value for value in values)


def array(parts: tuple[bytes | None, ...]) -> bytes:
    """An array of byte strings as PostgreSQL sends it."""
    if not parts:
        return struct.pack(">iii", 0, 0, 17)
    lengths = b"".join(LENGTH.pack(-1) if part is None else LENGTH.pack(len(part)) + part for part in parts)
    return struct.pack(">iiiii", 1, int(None in parts), 17, len(parts), 1) + lengths


PLAIN = frozenset({b"tickets.MessageAdded", b"tickets.NoteAdded"})


class Taker:
    """The plain rows of a log in which the stream of an event has all versions before it."""

    def __init__(self, *of: Envelope, service: str = "tickets") -> None:
        self.versions = {UUID(one.account).bytes + one.stream.encode(): one.version - 1 for one in of}
        self.seen: dict[str, int] = {}
        self._rows = PlainRows(service, PLAIN, self.versions, self._saw)

    def take(self, *rows: bytes, entries: list[bytes] | None = None, at: int = AT) -> int:
        """How many of these are taken; by default their entries are signed as they stand."""
        signed = [sha256(parse_row(one).salted).digest() for one in rows] if entries is None else entries
        return self._rows.take(list(rows), signed, at)

    def _saw(self, account: str, at: int) -> None:
        self.seen[account] = at


@pytest.mark.parametrize("parts", [(), PARTS[:1], PARTS])
def test_a_row_as_it_was_signed_is_taken(parts: tuple[bytes, ...]) -> None:
    """With any number of sealed parts; its stream's version and its account's last index are noted."""
    of = envelope(sealed=[sealed(part) for part in parts])
    taker = Taker(of)
    assert 1 == taker.take(row(of, parts))
    assert [7] == list(taker.versions.values())
    assert {ACCOUNT: AT} == taker.seen


@pytest.mark.parametrize("parts", [(), PARTS[:1], PARTS])
def test_no_bit_of_a_row_can_be_changed(parts: tuple[bytes, ...]) -> None:
    """Whichever bit is turned, the row is not taken, and nothing noted. Left out are the number of columns, the lengths that
    stand before each, and of the array that it may have NULLs and of what type it is: the server makes these, and what they
    would hide is found by what is left over at the end."""
    of = envelope(sealed=[sealed(part) for part in parts])
    whole = row(of, parts)
    entries = [sha256(parse_row(whole).salted).digest()]
    tolerated = {0, 1}
    at = 2
    for _ in range(14):
        tolerated |= set(range(at, at + 4))
        at += 4 + LENGTH.unpack_from(whole, at)[0]
    assert at == len(whole)
    sealed_at = len(whole) - len(array(parts))
    tolerated |= set(range(sealed_at + 4, sealed_at + 12))
    for place in range(len(whole)):
        for bit in range(8):
            if place in tolerated:
                continue
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            taker = Taker(of)
            assert 0 == taker.take(bytes(changed), entries=entries), (place, bit)
            assert [6] == list(taker.versions.values()) and {} == taker.seen


def test_a_row_that_is_cut_short_or_goes_on_is_not_taken() -> None:
    """Whatever is missing at its end, or stands after it."""
    of = envelope()
    whole = row(of)
    entries = [sha256(parse_row(whole).salted).digest()]
    for length in range(len(whole)):
        assert 0 == Taker(of).take(whole[:length], entries=entries), length
    assert 0 == Taker(of).take(whole + b"\x00", entries=entries)
    assert 1 == Taker(of).take(whole, entries=entries)


@pytest.mark.parametrize("parts", [(), PARTS[:1], PARTS])
def test_the_array_of_parts_has_its_length_and_nothing_more_in_it(parts: tuple[bytes, ...]) -> None:
    """Whether it is the length that says so, or an octet behind the last part that the length includes, or both."""
    of = envelope(sealed=[sealed(part) for part in parts])
    whole = row(of, parts)
    entries = [sha256(parse_row(whole).salted).digest()]
    sealed_at = len(whole) - len(array(parts)) - LENGTH.size
    for longer, more in ((0, b"\x00"), (1, b""), (1, b"\x00"), (-1, b"")):
        changed = whole[:sealed_at] + LENGTH.pack(len(array(parts)) + longer) + array(parts) + more
        assert 0 == Taker(of).take(changed, entries=entries), (longer, more)
    assert 1 == Taker(of).take(whole, entries=entries)
    for length in range(len(array(parts))):  # it ends anywhere, and its length says so
        changed = whole[:sealed_at] + LENGTH.pack(length) + array(parts)[:length]
        assert 0 == Taker(of).take(changed, entries=entries), length
        assert _slow_path.parse_rows([changed]) == _fast_path.parse_rows([changed]), length


@pytest.mark.parametrize(
    "columns",
    [
        {"stream": f"ticket/{new_id()}"}, {"type": "tickets.NoteAdded"}, {"version": 8}, {"schema": 1}, {"event": new_id()},
        {"account": new_id()}, {"stream": "ticket/"}, {"type": "tickets.MessageAdde"}, {"type": ""},
        {"time": datetime(2026, 3, 1, 12, 30, 0, 78, tzinfo=UTC)},
        {"time": datetime(1926, 3, 1, 12, 30, tzinfo=UTC)},
    ],
)  # fmt: skip
def test_a_column_that_is_not_as_the_envelope_says_is_not_taken(columns: dict[str, Any]) -> None:
    """Although it is signed, and whole, and by its columns the next of its stream."""
    of = envelope()
    taker = Taker(of)
    stream = UUID(columns.get("account", ACCOUNT)).bytes + columns.get("stream", of.stream).encode()
    taker.versions[stream] = columns.get("version", of.version) - 1
    assert 0 == taker.take(row(of, **columns))
    assert {} == taker.seen


def test_what_is_signed_and_not_plain_is_left() -> None:
    """An envelope in another form, or that is none; an event of another service or type, out of its order, at another index;
    one of which a part is pruned, or has not its digest."""
    of = envelope()
    assert 0 == Taker(of).take(row(of, raw=canonical(of).replace(b",", b", ", 1)))
    assert 0 == Taker(of).take(row(of, raw=canonical(of) + b" " * 5_000))
    last = b'"type":"tickets.MessageAdded","version":7'
    assert 0 == Taker(of).take(row(of, raw=canonical(of).replace(last, b",".join(reversed(last.split(b","))))))
    assert 0 == Taker(of).take(row(of, raw=b"{}"))
    assert 0 == Taker(of).take(row(of, raw=b"\xff"))
    assert 0 == Taker(of, service="contacts").take(row(of))
    assert 0 == Taker(told := envelope(type="tickets.SubjectCut")).take(row(told))
    assert 0 == Taker().take(row(of)), "what is not the first has one before it"
    assert 0 == Taker(envelope(stream=of.stream, version=8)).take(row(of)), "this one was there already"
    first = envelope(version=1)
    assert 1 == Taker().take(row(first))
    assert 0 == Taker(of).take(row(of), at=AT + 1)
    assert 0 == Taker(of).take(row(of, (PARTS[0], None)))
    assert 0 == Taker(of).take(row(of, (PARTS[0], PARTS[0])))
    for other in ((), PARTS[:1], (*PARTS, b"one more")):
        assert 0 == Taker(of).take(row(of, other))
    assert 0 == Taker(first).take(row(first), entries=[]), "and nothing beyond what is signed"
    entry = sha256(parse_row(row(first)).salted).digest()
    assert [0, 0, 1] == [Taker(first).take(row(first), entries=[one]) for one in (entry + b"x", entry[:31], entry)]


@pytest.mark.parametrize("place", [8, 13, 18, 23])
@pytest.mark.parametrize("column", ["event", "account"])
def test_an_id_has_its_hyphens(place: int, column: str) -> None:
    """With another letter in the place of one it is not the id in its column."""
    right = new_id()
    of = envelope(**{column: f"{right[:place]}0{right[place + 1 :]}"})
    taker = Taker()
    taker.versions[UUID(right if column == "account" else ACCOUNT).bytes + of.stream.encode()] = 6
    assert 0 == taker.take(row(of, **{column: right}))


def test_a_digest_that_goes_on_is_another() -> None:
    """One that begins with the digest of the part, and has more behind it; or is a part of it."""
    digest = sha256(PARTS[0]).hexdigest()
    for wrong in (digest + "00", digest[:62], digest.upper()):
        field = SealedField(digest=wrong, field="content", item=new_id(), key="00112233445566ff")
        of = envelope(sealed=[field])
        assert 0 == Taker(of).take(row(of, PARTS[:1])), wrong


def test_it_takes_as_far_as_all_is_plain_and_notes_each_account() -> None:
    """Two accounts, a row that is not plain, and one behind it: the first three are taken. That an account was begun with the
    row that is left is not noted."""
    events = [envelope(), envelope(), envelope(account=OTHER), envelope(account=new_id(), schema=3), envelope()]
    rows = [row(one, at=AT + place) for place, one in enumerate(events)]
    rows[3] = row(events[3], at=AT + 3, schema=4)
    taker = Taker(*events)
    assert 3 == taker.take(*rows)
    assert {ACCOUNT: AT + 1, OTHER: AT + 2} == taker.seen


damages = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 1_200), st.binary(min_size=1, max_size=9)),
        st.tuples(st.just("insert"), st.integers(0, 1_200), st.binary(min_size=1, max_size=9)),
        st.tuples(st.just("delete"), st.integers(0, 1_200), st.binary(min_size=1, max_size=9)),
        st.tuples(
            st.just("put"),
            st.sampled_from(LENGTHS_AT),
            st.sampled_from([-(2**31), -1, 0, 1, 15, 16, 17, 36, 500, 2**31 - 1]).map(LENGTH.pack),
        ),
    ),
    max_size=3,
)
"""What was done to a row, where, and with which octets."""


def damaged_row(of: Envelope, parts: tuple[bytes, ...], damage: list[tuple[str, int, bytes]]) -> bytes:
    """The row of an event after all that was done to it."""
    damaged = bytearray(row(of, parts))
    for kind, place, octets in damage:
        place %= max(1, len(damaged))
        damaged[place : place + len(octets)] = {
            "put": octets[: len(damaged) - place],
            "insert": octets + damaged[place : place + len(octets)],
            "delete": b"",
        }[kind]
    return bytes(damaged)


@given(parts=st.lists(st.binary(max_size=40), max_size=3), damage=damages, is_signed=st.booleans())
def test_in_what_is_taken_nothing_is_found(parts: list[bytes], damage: list[tuple[str, int, bytes]], is_signed: bool) -> None:
    """Whatever a server sends, even if it is signed as it stands: what is taken is what `check` finds nothing in, and it
    notes the same of it."""
    of = envelope(sealed=[sealed(part) for part in parts], version=1)
    damaged = bytearray(damaged_row(of, tuple(parts), damage))
    signed = row(of, tuple(parts))[LEAF_AT : LEAF_AT + 32]
    if is_signed:
        signed = sha256(parse_row(bytes(damaged)).salted).digest()
        damaged[LEAF_AT : LEAF_AT + 32] = signed
    findings = Findings()
    fast, exact = (EventChecks("tickets", findings, lambda: False) for _ in range(2))
    taken = fast.plain.take([bytes(damaged)], [signed], AT)
    assert taken or damage
    if taken:
        found = parse_row(bytes(damaged))
        assert (AT, signed, sha256(found.salted).digest()) == (found.at, found.leaf, signed)
        exact.check(found)
        assert [] == findings.kept
        assert exact.state() == fast.state()


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
