"""Seals what services say to each other: a broker writes what it pleases to disk, so it sees ciphertext only.

A body is msgpack, then AES-256-GCM under the transport key of the current epoch: one byte of format, four of
key epoch, 12 of nonce, then ciphertext and tag. Bodies of an older epoch open as long as that epoch's key
exists. `register_serializer` makes this the kombu serializer "lethe-sealed". Events are not sealed: they
carry ids only. This module must not log, and its errors say nothing about a body.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.errors import InvalidArgument, Tampered
from shared.file_version import Version, file_version
from shared.root_keys import RootKeys

SERIALIZER: Final = "lethe-sealed"
CONTENT_TYPE: Final = "application/x-lethe-sealed"
CONTENT_ENCODING: Final = "binary"
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""The largest body: a mail with a large attachment travels in one call. RabbitMQ 3 takes 128 MiB; RabbitMQ 4 takes 16 MiB
unless `max_message_size` is set, which the local stack and the operator's page do."""

_FORMAT = 1
_HEADER = struct.Struct(">BI")
_NONCE_BYTES = 12
_TAG_BYTES = 16
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


class _Keys(NamedTuple):
    """What is held in memory: the version of the folder, the epoch to seal under, and the keys used so far."""

    version: Version | None
    epoch: int
    ciphers: dict[int, AESGCM]


class Transport:
    """Seals and opens bodies under the transport keys in `<root_keys_dir>/transport/`.

    Keys are held in memory until the folder changes, so a rotation counts from the next message on, and the
    key of an epoch that was destroyed is forgotten.
    """

    def __init__(self, root_keys_dir: Path) -> None:
        self._folder = root_keys_dir / "transport"
        self._root_keys = RootKeys(root_keys_dir, "transport")
        self._held = _Keys(None, -1, {})

    def seal(self, body: Any) -> bytes:
        """The sealed form of plain data or structs. Raises `InvalidArgument` if it is larger than
        `MAX_BODY_BYTES`.
        """
        plain = _encoder.encode(body)
        if len(plain) > MAX_BODY_BYTES:
            raise InvalidArgument(field="argument", rule=f"is at most {MAX_BODY_BYTES} bytes in one call")
        keys = self._keys()
        header = _HEADER.pack(_FORMAT, keys.epoch)
        nonce = os.urandom(_NONCE_BYTES)
        return header + nonce + self._cipher(keys, keys.epoch).encrypt(nonce, plain, header)

    def open(self, sealed: bytes | None) -> Any:
        """The plain data again. Raises `Tampered`, without details, if it does not open."""
        octets = bytes(sealed or b"")  # an empty message has the body None in py-amqp
        if len(octets) < _HEADER.size + _NONCE_BYTES + _TAG_BYTES:
            raise Tampered("a message does not open")
        header = octets[: _HEADER.size]
        version, epoch = _HEADER.unpack(header)
        try:
            nonce = octets[_HEADER.size : _HEADER.size + _NONCE_BYTES]
            plain = self._cipher(self._keys(), epoch).decrypt(
                nonce, octets[_HEADER.size + _NONCE_BYTES :], header
            )
            if version != _FORMAT:
                raise Tampered("a message does not open")
            return _decoder.decode(plain)
        except (InvalidTag, OSError, ValueError, msgspec.MsgspecError):
            raise Tampered("a message does not open") from None

    def _keys(self) -> _Keys:
        version = file_version(self._folder)
        if version is None or version != self._held.version:
            self._held = _Keys(version, self._root_keys.current(), {})
        return self._held

    def _cipher(self, keys: _Keys, epoch: int) -> AESGCM:
        cipher = keys.ciphers.get(epoch)
        if cipher is None:
            cipher = keys.ciphers[epoch] = AESGCM(self._root_keys.load(epoch))
        return cipher


_transports: dict[Path, Transport] = {}


def transport(root_keys_dir: Path | None = None) -> Transport:
    """The transport of a folder of root keys; by default of this process's `LETHE_HOME`."""
    folder = root_keys_dir or Path(os.environ.get("LETHE_HOME", ".lethe")) / "root-keys"
    if folder not in _transports:
        _transports[folder] = Transport(folder)
    return _transports[folder]


def register_serializer() -> None:
    """Makes "lethe-sealed" known to kombu, and so to nameko. Doing it twice does no harm."""
    # not at the top: clients that speak AMQP directly start faster without kombu
    from kombu.serialization import registry

    registry.register(  # type: ignore[no-untyped-call]
        SERIALIZER,
        lambda body: transport().seal(body),
        lambda sealed: transport().open(sealed),
        content_type=CONTENT_TYPE,
        content_encoding=CONTENT_ENCODING,
    )
