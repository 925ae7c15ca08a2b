"""The hot path of a verification takes a row only if it is to the bit as it was signed, and what it takes is noted. What was
compiled is what is tested here: where it was not, `make setup` says why."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import _fast_path, _slow_path
from audit._fast_path import PlainRows
from audit.event_checks import EventChecks
from audit.findings import Findings
from audit.log_rows import FIXED, MICROSECONDS_BEFORE_2000, parse_row
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
