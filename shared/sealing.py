"""Seals and opens bytes: AES-256-GCM with a random nonce, bound to their place.

Form of a sealed part: version (1 byte, 0x01) ‖ key id (8) ‖ nonce (12) ‖ ciphertext and tag. The key id is derived from the
key, since GCM does not commit to its key: a part that names a key can't be opened by another one by accident or design.
Pure functions over bytes; where keys come from is `keys.py`.
"""

from __future__ import annotations

import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.errors import Tampered

KEY_BYTES = 32
KEY_ID_BYTES = 8
_VERSION = b"\x01"
_HEAD = 1 + KEY_ID_BYTES
_NONCE_BYTES = 12


def new_key() -> bytes:
    """A fresh random key of 32 bytes."""
    return os.urandom(KEY_BYTES)


def derive(key: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose: HKDF-Expand (RFC 5869 §2.3) of one block; `key` is uniformly random already."""
    return hmac.digest(key, b"lethe " + purpose.encode() + b"\x01", "sha256")


def key_id(key: bytes) -> bytes:
    """The 8 bytes by which a key is named; they say nothing about it."""
    return derive(key, "key id")[:KEY_ID_BYTES]


class SealingKey:
    """A key made ready to seal with more than once."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.id = key_id(key)
        self._head = _VERSION + self.id
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, place: bytes) -> bytes:
        """Seals `plain`, bound to `place` (the associated data: service, stream, event id, type, field)."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._head + nonce + self._cipher.encrypt(nonce, plain, self._head + place)


def seal(key: bytes, plain: bytes, place: bytes) -> bytes:
    """Seals `plain` under `key`, bound to `place`."""
    return SealingKey(key).seal(plain, place)


def sealed_key_id(sealed: bytes) -> bytes:
    """The id of the key that a sealed part names."""
    if len(sealed) < _HEAD + _NONCE_BYTES + 16 or sealed[:1] != _VERSION:
        raise Tampered("a sealed part has not the form of one")
    return bytes(sealed[1:_HEAD])


def open_sealed(key: bytes, sealed: bytes, place: bytes) -> bytes:
    """The plain bytes again. Raises `Tampered` if key, place or a byte is not what it was."""
    if key_id(key) != sealed_key_id(sealed):
        raise Tampered("a sealed part names another key")
    try:
        return AESGCM(key).decrypt(sealed[_HEAD : _HEAD + _NONCE_BYTES], sealed[_HEAD + _NONCE_BYTES :], sealed[:_HEAD] + place)
    except InvalidTag:
        raise Tampered("a sealed part was changed, or stands in another place") from None


def place_of(service: str, stream: str, event_id: str, event_type: str, field: str) -> bytes:
    """The associated data of an event's sealed field (architecture, "Keys"). No part of it can hold a newline."""
    return "\n".join((service, stream, event_id, event_type, field)).encode()
