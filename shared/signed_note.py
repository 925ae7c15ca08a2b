"""Signed notes (c2sp.org/signed-note): a text with signature lines under it, Ed25519 only. Used by
checkpoints and receipts.

Pure but for `read_signing_key` and `create_signing_key`. A verifier ignores the signatures of keys it does
not know, rejects the note if one of a known key fails, and needs one to hold.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.errors import InvalidArgument, Tampered
from shared.root_keys import write_secret

ED25519 = b"\x01"
MOST_NOTE_BYTES = 1_000_000
MOST_SIGNATURES = 100
_DASH = "— "


def check_name(name: str) -> str:
    """A key's name: not empty, without white space and without `+`. Raises `InvalidArgument`."""
    if not name or "+" in name or any(letter.isspace() for letter in name):
        raise InvalidArgument(field="name", rule="a key's name is not empty and has no white space and no +")
    return name


def key_id_of(name: str, public_key: bytes) -> bytes:
    """The four bytes that tell the keys of one name apart."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public_key).digest()[:4]


class Verifier:
    """A public key with its name, read from and written as `name+hex8(key id)+base64(0x01 ‖ public key)`."""

    def __init__(self, name: str, public_key: bytes) -> None:
        self.name = check_name(name)
        self.public_key = public_key
        self.key_id = key_id_of(name, public_key)
        self._key = Ed25519PublicKey.from_public_bytes(public_key)

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Raises `InvalidArgument` where it is not a verifier key, or its key id is another key's."""
        name, _, rest = text.strip().partition("+")
        hex_id, _, encoded = rest.partition("+")
        try:
            octets = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            octets = b""
        if len(octets) != 33 or octets[:1] != ED25519:
            raise InvalidArgument(field="verifier", rule="must be name+hash+key with an Ed25519 key")
        verifier = cls(name, octets[1:])
        if verifier.key_id.hex() != hex_id:
            raise InvalidArgument(field="verifier", rule="the hash must be that of the key")
        return verifier

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.public_key).decode()}"

    def verifies(self, message: bytes, signature: bytes) -> bool:
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """A private key with its name, kept as `PRIVATE+KEY+name+hex8(key id)+base64(0x01 ‖ seed)`, one line,
    mode 0600.
    """

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._seed = seed
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())
        self.name = name

    @classmethod
    def generate(cls, name: str) -> SigningKey:
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Raises `InvalidArgument`; the message has nothing of the key in it."""
        parts = text.strip().split("+", 4)
        try:
            octets = base64.b64decode(parts[4], validate=True) if parts[:2] == ["PRIVATE", "KEY"] else b""
        except (IndexError, binascii.Error, ValueError):
            octets = b""
        if len(octets) != 33 or octets[:1] != ED25519:
            raise InvalidArgument(
                field="signing_key", rule="must be PRIVATE+KEY+name+hash+key with an Ed25519 key"
            )
        key = cls(parts[2], octets[1:])
        if key.verifier.key_id.hex() != parts[3]:
            raise InvalidArgument(field="signing_key", rule="the hash must be that of the key")
        return key

    def text(self) -> str:
        """The key written down. Secret."""
        seed = base64.b64encode(ED25519 + self._seed).decode()
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{seed}\n"

    def signature(self, message: bytes) -> bytes:
        return self._key.sign(message)


def read_signing_key(path: Path) -> SigningKey:
    """The key in that file. Raises `FileNotFoundError` or `InvalidArgument`."""
    return SigningKey.parse(path.read_text("utf-8"))


def create_signing_key(path: Path, name: str) -> SigningKey:
    """Makes a key and its file (mode 0600, synced). A file that exists is read and never replaced.

    The whole file appears at once: whoever else creates it at the same time ends up with the same key, and a
    crash leaves no half of one.
    """
    if not path.exists():
        try:
            write_secret(path, SigningKey.generate(name).text().encode())
        except FileExistsError:
            pass
    key = read_signing_key(path)
    if key.name != name:
        raise InvalidArgument(field="signing_key", rule="the key in the file must bear the name of this log")
    return key


def sign_note(text: str, *keys: SigningKey) -> bytes:
    """The note: `text` (which ends in a newline), an empty line, one signature line for each key."""
    if not text.endswith("\n"):
        raise InvalidArgument(field="text", rule="the text of a note ends with a newline")
    message = text.encode()
    lines = [
        f"{_DASH}{key.name} {base64.b64encode(key.verifier.key_id + key.signature(message)).decode()}\n"
        for key in keys
    ]
    return message + b"\n" + "".join(lines).encode()


def open_note(note: bytes, verifiers: Iterable[Verifier]) -> str:
    """The text of a note that one of `verifiers` signed. Raises `Tampered`."""
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    if len(note) > MOST_NOTE_BYTES:
        raise Tampered("the signed note is too long")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError:
        raise Tampered("the signed note is not UTF-8") from None
    if any(letter < " " and letter != "\n" for letter in whole):
        raise Tampered("the signed note has control characters in it")
    text, separator, signatures = whole.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise Tampered("the signed note has no signature lines")
    text += "\n"
    lines = signatures[:-1].split("\n")
    if len(lines) > MOST_SIGNATURES:
        raise Tampered("the signed note has too many signatures")
    good = False
    for line in lines:
        name, octets = _parse_signature_line(line)
        verifier = known.get((name, octets[:4]))
        if verifier is None:
            continue
        if not verifier.verifies(text.encode(), octets[4:]):
            raise Tampered("a signature of the note does not hold", key=name)
        good = True
    if not good:
        raise Tampered("no known key has signed the note")
    return text


def _parse_signature_line(line: str) -> tuple[str, bytes]:
    name, separator, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        octets = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    if not line.startswith(_DASH) or not separator or not name or "+" in name or len(octets) < 5:
        raise Tampered("a signature line of the note is malformed")
    return name, octets
