"""The sealing of message bodies."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import InvalidArgument, Tampered
from shared.root_keys import RootKeys
from shared.transport import MAX_BODY_BYTES, Transport


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    RootKeys(tmp_path, "transport").begin_epoch()
    return tmp_path


def test_a_body_comes_back(keys: Path) -> None:
    """What is sealed opens to the same data: text, bytes, numbers, times, lists and objects."""
    body = {
        "text": "grüße \0",
        "bytes": b"\0\xff",
        "list": [1, None, True, 1.5],
        "time": datetime(2026, 1, 1, tzinfo=UTC),
    }
    sealed = Transport(keys).seal(body)
    assert body == Transport(keys).open(sealed)
    assert b"gr" not in sealed[17:] or "grüße".encode() not in sealed


def test_an_older_epoch_opens_while_its_key_exists(keys: Path) -> None:
    """After a rotation, what is sealed is under the new key; the old key's bodies open until that key is
    destroyed.
    """
    transport, tree = Transport(keys), RootKeys(keys, "transport")
    old = transport.seal("old")
    tree.begin_epoch()
    new = transport.seal("new")
    assert (1, 2) == (old[4], new[4])
    assert "old" == transport.open(old)
    tree.destroy(1)
    with pytest.raises(Tampered):
        transport.open(old)
    assert "new" == transport.open(new)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_changed_body_does_not_open(keys: Path, place: int, flip: int) -> None:
    """A sealed body with any one byte changed does not open, and the error says nothing about it."""
    sealed = bytearray(Transport(keys).seal({"text": "a plain sentence"}))
    sealed[place % len(sealed)] ^= flip
    with pytest.raises(Tampered) as refused:
        Transport(keys).open(bytes(sealed))
    assert {} == refused.value.details


def test_two_sealings_differ(keys: Path) -> None:
    """The same body sealed twice looks different, so that nobody sees that it is the same."""
    transport = Transport(keys)
    assert transport.seal("a") != transport.seal("a")


def test_a_body_has_a_limit(keys: Path) -> None:
    """A body beyond the limit is refused before it is sent."""
    with pytest.raises(InvalidArgument):
        Transport(keys).seal(bytes(MAX_BODY_BYTES + 1))
