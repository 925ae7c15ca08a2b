"""Lines of an export: each event has one form, to the byte."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.exported import decode_line, encode_line
from shared.errors import Tampered

ENVELOPE = b'{"account":"a","data":{"a":[1,2,"\\u0001"]},"version":1}'


@given(st.integers(0, 2**40), st.binary(min_size=16, max_size=16), st.lists(st.booleans(), max_size=4))
def test_line_gives_back_the_event(index: int, salt: bytes, sealed: list[bool]) -> None:
    """Index, salt, envelope bytes and the state of each sealed part come back as they were."""
    event = decode_line(encode_line(index, salt + ENVELOPE, sealed))
    assert (index, salt + ENVELOPE, tuple(sealed)) == event


@pytest.mark.parametrize("place", range(0, 100, 3))
def test_line_with_a_changed_byte_is_not_taken_for_the_same(place: int) -> None:
    """Any changed byte gives another event or none: nothing in a line is passed over."""
    line = encode_line(7, os.urandom(16) + ENVELOPE, [True, False])
    changed = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
    try:
        assert decode_line(changed) != decode_line(line)
    except Tampered:
        pass


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"{}\n", b'{"index":1}\n',
        encode_line(1, bytes(16) + ENVELOPE, [])[:-1],
        encode_line(1, bytes(16) + ENVELOPE, []).replace(b'"index"', b' "index"'),
        encode_line(1, bytes(16) + ENVELOPE, []).replace(b'"parts"', b'"more":1,"parts"'),
        encode_line(1, bytes(16) + ENVELOPE, []).replace(b'"index":1', b'"index":2,"index":1'),
    ],
)  # fmt: skip
def test_line_in_another_form_is_refused(line: bytes) -> None:
    """Torn lines, spaces, further members and repeated ones: a reader of another make might see something else in them."""
    with pytest.raises(Tampered):
        decode_line(line)
