"""Signed notes, checkpoints, the signer that never forks, and offline proofs."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import merkle
from shared.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from shared.errors import InvalidArgument, Tampered
from shared.log_signer import LogSigner, TermOver
from shared.signed_note import (
    SigningKey,
    Verifier,
    create_signing_key,
    open_note,
    read_signing_key,
    sign_note,
)
from shared.tlog_proof import TlogProof, parse_tlog_proof

ORIGIN = "local/tickets"
KEY = SigningKey(ORIGIN, bytes(range(32)))
OTHER = SigningKey("local/contacts", bytes(32))


def root(number: int) -> bytes:
    return merkle.leaf_hash(str(number).encode())


@given(st.text(st.characters(blacklist_categories=("Cc", "Cs")), min_size=1))
def test_a_note_gives_back_its_text(text: str) -> None:
    """Whatever the text, also with empty lines in it, the note is split at the last empty line."""
    whole = f"{text}\n\n{text}\n"
    assert whole == open_note(sign_note(whole, KEY, OTHER), [KEY.verifier])


def test_a_note_is_refused_when_a_known_key_fails() -> None:
    """A good signature beside a bad one of a known key does not help; a bad one of an unknown key is passed
    over.
    """
    note = sign_note("one\n", KEY)
    swapped = sign_note("two\n", OTHER).split(b"\n")[-2] + b"\n"
    assert "one\n" == open_note(note + swapped, [KEY.verifier])
    with pytest.raises(Tampered):
        open_note(note + swapped, [KEY.verifier, OTHER.verifier])


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_note_with_one_byte_changed_is_refused(place: int, change: int) -> None:
    """No byte of a note signed by one key can change."""
    note = bytearray(sign_note(Checkpoint(ORIGIN, 5, root(5)).text(), KEY))
    note[place % len(note)] ^= change
    with pytest.raises(Tampered):
        open_note(bytes(note), [KEY.verifier])


@pytest.mark.parametrize(
    "note", [b"", b"\n", b"text\n", b"text\n\n", b"text\n\nline\n", b"a\tb\n\n" + "— x y\n".encode()]
)
def test_what_is_no_note_is_refused(note: bytes) -> None:
    """A malformed note is tampering, never a crash."""
    with pytest.raises(Tampered):
        open_note(note, [KEY.verifier])


def test_keys_are_read_from_what_is_written(tmp_path: Path) -> None:
    """A verifier key and a signing key survive being written down; the file of the latter is the owner's
    only.
    """
    assert KEY.verifier.public_key == Verifier.parse(str(KEY.verifier)).public_key
    assert KEY.text() == SigningKey.parse(KEY.text()).text()
    made = create_signing_key(tmp_path / "keys" / "log-signer.key", ORIGIN)
    assert made.text() == create_signing_key(tmp_path / "keys" / "log-signer.key", ORIGIN).text()
    assert made.text() == read_signing_key(tmp_path / "keys" / "log-signer.key").text()
    assert 0o600 == stat.S_IMODE((tmp_path / "keys" / "log-signer.key").stat().st_mode)
    for wrong in (
        str(KEY.verifier)[:-4],
        str(KEY.verifier).replace("local", "other"),
        "",
        "a b+00000000+AA==",
    ):
        with pytest.raises(InvalidArgument):
            Verifier.parse(wrong)


def test_a_checkpoint_is_its_three_lines() -> None:
    """The text is origin, size and root, and reads back."""
    checkpoint = Checkpoint(ORIGIN, 7, bytes(32))
    assert "local/tickets\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" == checkpoint.text()
    assert checkpoint == parse_checkpoint(checkpoint.text())


@pytest.mark.parametrize("size", ["007", "-1", "", "1.0", "٣", "1" * 20])
def test_a_size_has_one_spelling(size: str) -> None:
    """A size with leading zeros, a sign or other digits is refused."""
    with pytest.raises(Tampered):
        parse_checkpoint(Checkpoint(ORIGIN, 1, root(1)).text().replace("\n1\n", f"\n{size}\n"))


def test_a_key_signs_for_its_own_log_only() -> None:
    """The key of contacts can't vouch for the log of tickets."""
    note = sign_note(Checkpoint(ORIGIN, 1, root(1)).text(), OTHER)
    with pytest.raises(Tampered):
        open_checkpoint(note, [KEY.verifier, OTHER.verifier])


@pytest.fixture
def signer(tmp_path: Path) -> LogSigner:
    (tmp_path / "tiles").mkdir()
    return LogSigner(tmp_path / "keys", tmp_path / "tiles", ORIGIN)


def test_the_signer_publishes_what_it_recorded(signer: LogSigner) -> None:
    """What is published is the recorded tree, signed; signing it again changes nothing."""
    signer.advance(5, root(5), term=1)
    assert Checkpoint(ORIGIN, 5, root(5)) == signer.publish()
    before = signer.checkpoint_path.read_bytes()
    signer.advance(5, root(5), term=2)
    signer.publish()
    assert before == signer.checkpoint_path.read_bytes()
    assert Checkpoint(ORIGIN, 5, root(5)) == open_checkpoint(before, [signer.verifier])


def test_the_signer_never_signs_two_trees_of_one_size(signer: LogSigner) -> None:
    """A second tree of the size that was signed is refused, by whichever relay."""
    signer.advance(5, root(5), term=1)
    with pytest.raises(Tampered):
        signer.advance(5, root(6), term=2)


def test_the_signer_never_signs_a_smaller_tree(signer: LogSigner) -> None:
    """After a larger tree a smaller one is refused."""
    signer.advance(5, root(5), term=1)
    with pytest.raises(Tampered):
        signer.advance(4, root(4), term=1)


def test_a_relay_whose_term_is_over_signs_nothing(signer: LogSigner) -> None:
    """The record knows the latest term; an earlier one must step down, even with a larger tree."""
    signer.advance(5, root(5), term=2)
    with pytest.raises(TermOver):
        signer.advance(6, root(6), term=1)
    assert 5 == signer.record().size


def test_a_claimed_record_is_moved_by_no_predecessor(signer: LogSigner) -> None:
    """Once a relay has claimed the record, one with an earlier term can neither claim nor move it."""
    signer.advance(5, root(5), term=1)
    assert (5, root(5)) == (signer.claim(term=2).size, signer.claim(term=2).root)
    for late in (lambda: signer.advance(6, root(6), term=1), lambda: signer.claim(term=1)):
        with pytest.raises(TermOver):
            late()
    assert 2 == signer.term()


def test_the_signer_goes_on_after_a_crash_between_record_and_signature(
    signer: LogSigner, tmp_path: Path
) -> None:
    """A tree that was recorded and not signed is signed by whoever comes next."""
    signer.advance(5, root(5), term=1)
    successor = LogSigner(tmp_path / "keys", tmp_path / "tiles", ORIGIN)
    assert 5 == successor.publish().size


def test_a_lost_record_stops_the_signer(signer: LogSigner, tmp_path: Path) -> None:
    """Without its record the signer can't know what it signed, so it refuses to sign at all."""
    signer.advance(5, root(5), term=1)
    signer.publish()
    (tmp_path / "keys" / "log-signer.json").unlink()
    with pytest.raises(Tampered):
        signer.advance(6, root(6), term=1)


@given(st.integers(1, 60), st.data(), st.none() | st.binary(max_size=20))
def test_a_proof_convinces_whoever_has_the_verifier_key(
    size: int, data: st.DataObject, extra: bytes | None
) -> None:
    """A written proof reads back and verifies; with another entry it does not."""
    entries = [bytes([number]) * 32 for number in range(size)]
    hashes = [merkle.leaf_hash(entry) for entry in entries]
    index = data.draw(st.integers(0, size - 1))
    note = sign_note(Checkpoint(ORIGIN, size, merkle.root_of(hashes)).text(), KEY)
    path = merkle.inclusion_proof(index, size, merkle.range_hash_of(hashes))
    written = TlogProof(index, tuple(path), note, extra).encode()
    proof = parse_tlog_proof(written)
    assert (written, extra) == (proof.encode(), proof.extra)
    assert size == proof.verify(entries[index], [KEY.verifier]).size
    with pytest.raises(Tampered):
        proof.verify(b"another", [KEY.verifier])


@given(st.binary(max_size=80))
def test_what_is_no_proof_is_refused(octets: bytes) -> None:
    """Any bytes that are not a proof are tampering, never a crash."""
    for text in (
        octets,
        b"c2sp.org/tlog-proof@v1\n" + octets,
        b"c2sp.org/tlog-proof@v1\nindex 1\n\n" + octets,
    ):
        with pytest.raises(Tampered):
            parse_tlog_proof(text).verify(b"", [KEY.verifier])
