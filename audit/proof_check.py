"""Checks proofs offline: with the file, the verifier keys of the logs, and for a consistency proof the kept checkpoint.

Knows both forms that `lethe audit prove` writes, and tells them apart by their first line. It reads no database and no log, so
it is what an auditor runs elsewhere. An entry that a proof opens (`extra`) is hashed here, never believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from audit.checkpoints import read_checkpoints
from shared.checkpoint import Checkpoint, open_checkpoint
from shared.consistency_proof import FIRST_WORD, parse_consistency_proof
from shared.errors import InvalidArgument, LetheError, Tampered
from shared.events import decode_envelope
from shared.personal import NotPersonal
from shared.signed_note import Verifier
from shared.tlog_proof import parse_tlog_proof

SALT_BYTES = 16
MOST_BYTES = 4 << 20
"""Of a proof or a file of checkpoints; the largest envelope is far below."""


class OpenedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry commits to, from the envelope in the proof."""

    event_id: Annotated[str, NotPersonal("an opaque id")]
    type: Annotated[str, NotPersonal("the name of an event type")]
    account_id: Annotated[str, NotPersonal("an opaque id")]
    stream: Annotated[str, NotPersonal("a noun and an opaque id")]
    version: int
    occurred_at: datetime


class ProofCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of one proof found. `reason` is null where it holds."""

    file: Annotated[str, NotPersonal("the name of a file that the caller gave")]
    form: Literal["event", "consistency"] | None
    holds: bool
    reason: Annotated[str, NotPersonal("what is wrong with a proof")] | None = None
    origin: Annotated[str, NotPersonal("the name of a log")] | None = None
    size: int | None = None
    """How many events the signed checkpoint in the proof covers."""
    index: int | None = None
    old_size: int | None = None
    entry: Annotated[str, NotPersonal("a commitment, in hexadecimal")] | None = None
    event: OpenedEvent | None = None


def check_proof(
    name: str, octets: bytes, verifiers: Sequence[Verifier], kept: Sequence[bytes] = (), entry: bytes | None = None
) -> ProofCheck:
    """The verdict on a proof. Raises `InvalidArgument` where something is missing that only the caller has.

    kept: notes of checkpoints that were kept, any number, of any log. entry: for a proof that does not open its entry.
    """
    form: Literal["event", "consistency"] = "consistency" if octets.startswith(FIRST_WORD.encode()) else "event"
    try:
        if form == "event":
            return _check_event(name, octets, verifiers, entry)
        return _check_consistency(name, octets, verifiers, kept)
    except Tampered as error:
        return ProofCheck(file=name, form=form, holds=False, reason=error.message)


def _check_event(name: str, octets: bytes, verifiers: Sequence[Verifier], entry: bytes | None) -> ProofCheck:
    proof = parse_tlog_proof(octets)
    opened = None if proof.extra is None else sha256(proof.extra).digest()
    if opened is None and entry is None:
        raise InvalidArgument(
            "This proof does not open its entry: name it (--entry HEX).", field="entry", rule="is for a proof without extra"
        )
    if opened is not None and entry is not None and opened != entry:
        raise Tampered("the proof opens another entry than the one that was named")
    proven = entry if opened is None else opened
    assert proven is not None
    checkpoint = proof.verify(proven, verifiers)
    event = None if proof.extra is None else _event_in(proof.extra, checkpoint)
    return ProofCheck(
        file=name, form="event", holds=True, origin=checkpoint.origin, size=checkpoint.size, index=proof.index,
        entry=proven.hex(), event=event,
    )  # fmt: skip


def _event_in(extra: bytes, checkpoint: Checkpoint) -> OpenedEvent:
    """The event in what the entry opens to. It must be one of the service whose log it stands in."""
    try:
        envelope = decode_envelope(extra[SALT_BYTES:])
    except LetheError:
        raise Tampered("the entry is in the log, but what it opens to is no envelope") from None
    if envelope.service != checkpoint.origin.rpartition("/")[2]:
        raise Tampered("the event is of another service than the log it stands in")
    return OpenedEvent(
        event_id=envelope.event, type=envelope.type, account_id=envelope.account, stream=envelope.stream,
        version=envelope.version, occurred_at=envelope.time,
    )  # fmt: skip


def _check_consistency(name: str, octets: bytes, verifiers: Sequence[Verifier], kept: Sequence[bytes]) -> ProofCheck:
    proof = parse_consistency_proof(octets)
    new = open_checkpoint(proof.checkpoint, verifiers)
    known = (open_checkpoint(note, verifiers) for note in kept_of(kept, new.origin))
    old = next((one for one in known if one.size == proof.old_size), None)
    if old is None:
        raise InvalidArgument(
            f"Name the checkpoint of {new.origin} of {proof.old_size} events that you kept (--kept FILE).", field="kept",
            rule="is needed for a consistency proof",
        )  # fmt: skip
    proof.verify(old, verifiers)
    return ProofCheck(
        file=name, form="consistency", holds=True, origin=new.origin, size=new.size, old_size=proof.old_size
    )


def kept_of(notes: Sequence[bytes], origin: str) -> list[bytes]:
    """Those of the notes that are of this log, by their text; whether they are signed is for the caller to see."""
    return [note for note in notes if note.partition(b"\n")[0] == origin.encode()]


def read_kept(path: Path) -> list[bytes]:
    """The notes in a file: a checkpoint as it is, or what `lethe audit checkpoint` wrote. Raises `InvalidArgument`."""
    read_limited(path, "kept")
    return [note.encode() for note in read_checkpoints(path, "kept").notes.values()]


def read_limited(path: Path, argument: str) -> bytes:
    """A file's bytes, up to the limit. Raises `InvalidArgument` where it is not there or larger."""
    try:
        with path.open("rb") as file:
            octets = file.read(MOST_BYTES + 1)
    except OSError:
        raise InvalidArgument(f"{path} can't be read", field=argument, rule="is a file that can be read") from None
    if len(octets) > MOST_BYTES:
        raise InvalidArgument(f"{path} is too large", field=argument, rule="is at most 4 MiB")
    return octets


def read_verifiers(folder: Path) -> list[Verifier]:
    """The verifier keys (`*.vkey`) in a folder, or in its `verifiers/`. Raises `InvalidArgument`."""
    where = folder / "verifiers" if (folder / "verifiers").is_dir() else folder
    try:
        found = [Verifier.parse(path.read_text("utf-8")) for path in sorted(where.glob("*.vkey"))]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"The verifier keys in {where} can't be read", field="keys", rule="is a folder") from error
    if not found:
        raise InvalidArgument(f"There are no verifier keys (*.vkey) in {where}", field="keys", rule="has *.vkey files")
    return found
