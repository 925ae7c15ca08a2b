"""The certificate of an erasure: made from receipts, signed, checked offline by anybody (mission E9).

It holds no personal data: ids, counts, times, each participant's receipt as it stands in that service's log, and the proof
that it stands there. Verification needs this file and public keys, and no server: the signature, the set of participants,
each receipt's envelope against what the certificate says of it, and each inclusion proof against a signed checkpoint.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.erasing import CategoryName, Count, Outcome, Retained
from shared.errors import Tampered
from shared.events import UNREADABLE, commitment, decode_envelope
from shared.ids import Id
from shared.personal import NotPersonal
from shared.root_keys import write_secret
from shared.signed_note import Verifier
from shared.tlog_proof import parse_tlog_proof

FORMAT = "lethe-erasure-certificate/1"
EPOCH_LENGTH = timedelta(days=1)
"""How long a key epoch lasts at most (architecture, "Rotation"): the bound for copies made before the cut."""

ALWAYS_RETAINED = (
    Retained(
        what="pseudonymous event envelopes",
        reason="accountability (GDPR Art. 5(2)): that something happened and was erased",
        until="the account's deletion",
    ),
    Retained(
        what="keyed index entries in older copies",
        reason="copies made before the erasure; without the account's index key they tell nothing (GDPR Art. 32)",
        until="the account's index key changes, or the copies end",
    ),
    Retained(
        what="suppression entry (keyed, day only)",
        reason="so that what was erased is not brought back (GDPR Art. 17(1))",
        until="the account's deletion",
    ),
)

_Base64 = Annotated[str, NotPersonal("an envelope, a salt or a proof, in base64")]
_Text = Annotated[str, NotPersonal("fixed wording")]


class Participant(msgspec.Struct, frozen=True, kw_only=True):
    """One participant's receipt, in words and as proof."""

    service: _Text
    outcome: Outcome
    counts: dict[CategoryName, Count]
    retained: list[Retained]
    cut_at: datetime
    envelope: _Base64
    salt: _Base64
    proof: _Base64


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed."""

    format: _Text
    cell: _Text
    account: Id
    request: Id
    persons: list[Id]
    requested_at: datetime
    completed_at: datetime
    cut_at: datetime
    unrecoverable_by: datetime
    statement: _Text
    participants: list[Participant]
    retained: list[Retained]


class _Signature(msgspec.Struct, frozen=True, kw_only=True):
    key: _Text
    value: _Base64


class SignedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """The file: the certificate and its signature."""

    certificate: Certificate
    signature: _Signature


_encoder = msgspec.json.Encoder(order="deterministic")


def participant(service: str, envelope: bytes, salt: bytes, proof: bytes) -> Participant:
    """A participant from its receipt's event and proof."""
    data = decode_envelope(envelope).data
    return Participant(
        service=service,
        outcome=data["outcome"],
        counts=data["counts"],
        retained=msgspec.convert(data["retained"], list[Retained]),
        cut_at=msgspec.convert(data["cut_at"], datetime),
        envelope=base64.b64encode(envelope).decode(),
        salt=base64.b64encode(salt).decode(),
        proof=base64.b64encode(proof).decode(),
    )


def make(
    cell: str, account: str, request: str, persons: Sequence[str], requested_at: datetime, completed_at: datetime,
    participants: Sequence[Participant],
) -> Certificate:  # fmt: skip
    """The certificate of a completed request."""
    # erasure cuts its own copy of the addresses with the completion, so that is the last cut
    cut_at = max(completed_at, *(one.cut_at for one in participants))
    by = cut_at + EPOCH_LENGTH
    return Certificate(
        format=FORMAT, cell=cell, account=account, request=request, persons=sorted(persons), requested_at=requested_at,
        completed_at=completed_at, cut_at=cut_at, unrecoverable_by=by,
        statement=(
            f"Keys cut at {cut_at:%Y-%m-%d %H:%M:%S} UTC; unrecoverable from any copy once the key epoch ends,"
            f" at the latest {by:%Y-%m-%d %H:%M:%S} UTC."
        ),
        participants=sorted(participants, key=lambda one: one.service),
        retained=[*ALWAYS_RETAINED, *(kept for one in participants for kept in one.retained)],
    )  # fmt: skip


def certificate_key(root_keys: Path, verifiers: Path) -> Ed25519PrivateKey:
    """The key that signs certificates, made at its first use; its public half is put with the other verifier keys."""
    path = root_keys / "erasure" / "certificate.key"
    if not path.exists():
        try:
            write_secret(path, Ed25519PrivateKey.generate().private_bytes_raw())
        except FileExistsError:
            pass
    key = Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    public = verifiers / "certificate.pub"
    if not public.exists():
        verifiers.mkdir(parents=True, exist_ok=True)
        temporary = public.with_suffix(".new")
        temporary.write_text(base64.b64encode(key.public_key().public_bytes_raw()).decode() + "\n")
        temporary.replace(public)
    return key


def sign(certificate: Certificate, key: Ed25519PrivateKey, key_name: str) -> bytes:
    """The signed file."""
    value = key.sign(_signed_bytes(certificate))
    signature = _Signature(key=key_name, value=base64.b64encode(value).decode())
    return _encoder.encode(SignedCertificate(certificate=certificate, signature=signature))


def _signed_bytes(certificate: Certificate) -> bytes:
    return FORMAT.encode() + b"\n" + _encoder.encode(certificate)


def read(document: bytes) -> SignedCertificate:
    """The file as values, unverified. `Tampered` where it is not a certificate to the byte."""
    try:
        signed = msgspec.json.decode(document, type=SignedCertificate, strict=True)
    except UNREADABLE:
        raise Tampered("this is not a certificate, or a changed one") from None
    if _encoder.encode(signed) != document.strip():
        raise Tampered("the certificate is not in its one form: something was added or changed")
    return signed


def receipt_proofs(certificate: Certificate) -> dict[str, bytes]:
    """Each participant's receipt as a tlog-proof that stands alone, by service: its `extra` is salt and envelope, so that
    SHA-256 of it is the entry. Raises `Tampered` where a proof can't be read; whether it holds is for its reader to check.
    """
    made: dict[str, bytes] = {}
    for one in certificate.participants:
        try:
            envelope, salt, proof = (base64.b64decode(part, validate=True) for part in (one.envelope, one.salt, one.proof))
        except (binascii.Error, ValueError):
            raise Tampered("a receipt can't be read", service=one.service) from None
        if not one.service.isidentifier():  # an unverified one must not name the place where its proof is written
            raise Tampered("a participant has no service's name")
        made[one.service] = replace(parse_tlog_proof(proof), extra=salt + envelope).encode()
    return made


def verify(
    document: bytes, public_key: Ed25519PublicKey, log_verifiers: Mapping[str, Verifier], participants: Iterable[str]
) -> Certificate:
    """The certificate, if all of it holds. Raises `Tampered` saying what does not.

    log_verifiers: the verifier key of each service's log, by service. participants: the services that hold personal data,
    by their own declarations; one that is missing in the certificate fails it (mission E8)."""
    signed = read(document)
    certificate = signed.certificate
    try:
        public_key.verify(base64.b64decode(signed.signature.value, validate=True), _signed_bytes(certificate))
    except (InvalidSignature, binascii.Error, ValueError):
        raise Tampered("the certificate's signature does not hold") from None
    if certificate.format != FORMAT:
        raise Tampered("the certificate has a format that this program does not know")
    named, expected = {one.service for one in certificate.participants}, set(participants)
    if named != expected or len(certificate.participants) != len(expected):
        raise Tampered("the participants are not those that hold personal data", missing=sorted(expected - named))
    for one in certificate.participants:
        _verify_receipt(certificate, one, log_verifiers)
    return certificate


def _verify_receipt(certificate: Certificate, one: Participant, log_verifiers: Mapping[str, Verifier]) -> None:
    try:
        envelope_bytes, salt, proof = (base64.b64decode(part, validate=True) for part in (one.envelope, one.salt, one.proof))
    except (binascii.Error, ValueError):
        raise Tampered("a receipt can't be read", service=one.service) from None
    envelope = decode_envelope(envelope_bytes)
    expected = participant(one.service, envelope_bytes, salt, proof)
    if (
        envelope.service != one.service
        or envelope.type != f"{one.service}.ErasureReceipted"
        or envelope.account != certificate.account
        or envelope.data.get("request_id") != certificate.request
        or sorted(envelope.data.get("person_ids", ())) != sorted(certificate.persons)
        or expected != one
    ):
        raise Tampered("a receipt is not what the certificate says of it", service=one.service)
    verifier = log_verifiers.get(one.service)
    if verifier is None or verifier.name != f"{certificate.cell}/{one.service}":
        raise Tampered("there is no verifier key for a participant's log", service=one.service)
    parse_tlog_proof(proof).verify(commitment(salt, envelope_bytes), [verifier])
