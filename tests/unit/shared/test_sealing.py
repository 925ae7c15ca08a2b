"""Sealing: what opens, and what must not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import sealing
from shared.errors import Tampered

PLACE = sealing.place_of("tickets", "ticket/1", "event", "tickets.MessageAdded", "content")


@given(st.binary(max_size=500))
def test_what_is_sealed_opens_under_the_same_key_and_place(plain: bytes) -> None:
    """Sealing and opening give the same bytes again."""
    key = sealing.new_key()
    assert sealing.open_sealed(key, sealing.seal(key, plain, PLACE), PLACE) == plain


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_flipped_bit_is_found_wherever_it_is(plain: bytes, data: st.DataObject) -> None:
    """No byte of a sealed part can be changed: version, key id, nonce, ciphertext and tag are all bound."""
    key = sealing.new_key()
    sealed = bytearray(sealing.seal(key, plain, PLACE))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Tampered):
        sealing.open_sealed(key, bytes(sealed), PLACE)


def test_a_part_moved_to_another_place_does_not_open() -> None:
    """The associated data binds a part to its service, stream, event, type and field."""
    key = sealing.new_key()
    sealed = sealing.seal(key, b"text", PLACE)
    for other in (
        sealing.place_of("contacts", "ticket/1", "event", "tickets.MessageAdded", "content"),
        sealing.place_of("tickets", "ticket/2", "event", "tickets.MessageAdded", "content"),
        sealing.place_of("tickets", "ticket/1", "other", "tickets.MessageAdded", "content"),
        sealing.place_of("tickets", "ticket/1", "event", "tickets.TicketOpened", "content"),
        sealing.place_of("tickets", "ticket/1", "event", "tickets.MessageAdded", "subject"),
    ):
        with pytest.raises(Tampered):
            sealing.open_sealed(key, sealed, other)


def test_a_part_names_its_key_and_no_other_key_is_tried() -> None:
    """The key id commits to the key, which GCM alone does not."""
    key, other = sealing.new_key(), sealing.new_key()
    sealed = sealing.seal(key, b"text", PLACE)
    assert sealing.sealed_key_id(sealed) == sealing.key_id(key) != sealing.key_id(other)
    with pytest.raises(Tampered):
        sealing.open_sealed(other, sealed, PLACE)


def test_the_same_text_sealed_twice_looks_different() -> None:
    """The nonce is random, so that equal texts can't be told to be equal."""
    key = sealing.new_key()
    assert sealing.seal(key, b"text", PLACE) != sealing.seal(key, b"text", PLACE)
