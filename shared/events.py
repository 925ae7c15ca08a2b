"""Events as structs and as bytes: the envelope (public, canonical, hashed) and the sealed fields beside it.

A service's `events.py` declares its facts as subclasses of `Event` and names them in an `EventTypes`. Here they become
canonical bytes (RFC 8785) and come back. Type names never change; an older schema version is upcast on reading.
This module does no I/O and knows no key: it is given a function that opens.
"""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from shared.door import Door
from shared.errors import Tampered
from shared.ids import StoredId
from shared.personal import ERASED, Erased, NotPersonal, Personal, hints_of, personal_fields, undeclared_fields

TypeName = Annotated[str, NotPersonal("the name of an event type")]
StreamName = Annotated[str, NotPersonal("a noun and an opaque id")]
HexDigest = Annotated[str, NotPersonal("a digest of ciphertext, or the id of a key, in hexadecimal")]
ServiceName = Annotated[str, NotPersonal("the name of a service")]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact. Fields declared `Personal` have the type `T | Erased` and the default ERASED: they travel sealed."""

    schema_version: ClassVar[int] = 1


class SealedField(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the envelope says of a sealed field: which one, under which item's key, and the digest of its bytes."""

    digest: HexDigest
    field: Annotated[str, NotPersonal("the name of a field")]
    item: StoredId
    key: HexDigest


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The public part of an event. Ids, types and times only; still pseudonymous data."""

    account: StoredId
    actor: StoredId
    causation: StoredId | None
    data: dict[str, Any]
    door: Door | UnsetType = UNSET
    """By which the actor came; not there where nobody did, and in events from before there were doors."""
    event: StoredId
    schema: int
    sealed: list[SealedField]
    service: ServiceName
    stream: StreamName
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    type: TypeName
    version: int


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it stands in the log: envelope, decoded event, and its sealed bytes (None once pruned)."""

    envelope: Envelope
    event: Event
    sealed: dict[str, bytes | None]


Upcast = Callable[[dict[str, Any], Envelope], dict[str, Any]]
"""Makes the public data of one schema version from that of the version before, and from what else the envelope says."""

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding bytes that somebody else wrote may raise."""

_value_encoder = msgspec.msgpack.Encoder()
_envelope_decoder = msgspec.json.Decoder(Envelope)


_encoder = msgspec.json.Encoder(order="deterministic")
canonical_into: Callable[[Envelope, bytearray], None] = _encoder.encode_into
"""Makes a buffer hold what `canonical` gives, which is faster where it is only compared."""
canonical: Callable[[Envelope], bytes] = _encoder.encode
"""The canonical bytes of an envelope. For what an envelope may hold (ASCII keys, integers, text, booleans, no floating point)
msgspec's deterministic order is RFC 8785's; a test holds the two together."""


def decode_envelope(raw: bytes) -> Envelope:
    """The envelope in canonical bytes. Raises `Tampered` on anything else."""
    try:
        return _envelope_decoder.decode(raw)
    except UNREADABLE:
        raise Tampered("an envelope can't be read") from None


def commitment(salt: bytes, envelope: bytes) -> bytes:
    """The Merkle log's entry: SHA-256 over 16 random bytes and the canonical envelope. It tells nothing by itself."""
    return hashlib.sha256(salt + envelope).digest()


def sealed_digest(sealed: bytes) -> str:
    """The digest of sealed bytes, as the envelope holds it. Never of plaintext."""
    return hashlib.sha256(sealed).hexdigest()


class EventTypes:
    """The event types of one service: names to structs and back, with their personal fields and upcasts."""

    def __init__(
        self,
        service: str,
        types: Mapping[str, type[Event]],
        upcasts: Mapping[tuple[str, int], Upcast] | None = None,
    ) -> None:
        self.service = service
        self.by_name = {f"{service}.{name}": kind for name, kind in types.items()}
        self._names = {kind: name for name, kind in self.by_name.items()}
        self._upcasts = dict(upcasts or {})
        self.personal: dict[type[Event], dict[str, Personal]] = {kind: personal_fields(kind) for kind in types.values()}
        self._public = {kind: _public_part(kind, fields) for kind, fields in self.personal.items()}
        self._value_decoders = {
            (kind, field): msgspec.msgpack.Decoder(_without_erased(hints_of(kind)[field]))
            for kind, fields in self.personal.items()
            for field in fields
        }

    def name_of(self, event: Event) -> str:
        """The event's type name, for example `tickets.TicketOpened`."""
        return self._names[type(event)]

    def holds_personal_data(self) -> bool:
        """Whether the service takes part in every erasure (architecture, "Erasure", 5)."""
        return any(self.personal.values())

    def undeclared(self) -> list[str]:
        """The fields that are declared neither personal nor not personal. A test wants this empty."""
        return [name for kind in self._names for name in undeclared_fields(kind)]

    def public_data(self, event: Event) -> dict[str, Any]:
        """The fields that stand in the envelope, as plain data."""
        sealed = self.personal[type(event)]
        return {
            name: msgspec.to_builtins(getattr(event, name)) for name in event.__struct_fields__ if name not in sealed
        }

    def encode_value(self, event: Event, field: str) -> bytes | None:
        """The bytes of a personal field before sealing; None where it holds nothing to seal."""
        value = getattr(event, field)
        return None if value is None or isinstance(value, Erased) else _value_encoder.encode(value)

    def decode(self, envelope: Envelope, values: Mapping[str, bytes] | None = None) -> Event:
        """The event of an envelope, with the opened `values` of its personal fields; those not given read as ERASED."""
        kind = self.by_name.get(envelope.type)
        if kind is None:
            raise Tampered("an event has a type that this service never had", type=envelope.type)
        data = envelope.data
        if not 1 <= envelope.schema <= kind.schema_version:
            raise Tampered("an event has a schema version that this service never had", type=envelope.type)
        for version in range(envelope.schema, kind.schema_version):
            data = self._upcasts[envelope.type, version](data, envelope)
        sealed_now = {part.field for part in envelope.sealed}
        fields: dict[str, Any] = {field: None for field in self.personal[kind] if field not in sealed_now}
        for field, value in (values or {}).items():
            fields[field] = self._value_decoders[kind, field].decode(value)
        try:
            public = msgspec.convert(data, self._public[kind], strict=True)
        except msgspec.ValidationError:
            raise Tampered("an event's data is not of its type", type=envelope.type) from None
        return kind(**{name: getattr(public, name) for name in public.__struct_fields__}, **fields)

    def decode_value(self, event_type: str, field: str, value: bytes) -> Any:
        """The value of one personal field of a type, from its opened bytes."""
        return self.value_decoder(event_type, field)(value)

    def value_decoder(self, event_type: str, field: str) -> Callable[[bytes], Any]:
        """What makes the value of one personal field of a type from its opened bytes."""
        decode: Callable[[bytes], Any] = self._value_decoders[self.by_name[event_type], field].decode
        return decode


def _public_part(kind: type[Event], personal: Mapping[str, Personal]) -> type[msgspec.Struct]:
    """The struct of an event's fields in the envelope. (The sealed ones can't be part of it: msgspec reads no union of two
    structs without tags, and `T | Erased` is one.)"""
    hints = hints_of(kind)
    public = [field for field in msgspec.structs.fields(kind) if field.name not in personal]
    fields: list[Any] = [(one.name, hints[one.name], *(() if one.required else (one.default,))) for one in public]
    return msgspec.defstruct(f"Public{kind.__name__}", fields, frozen=True, kw_only=True)


def _without_erased(hint: Any) -> Any:
    bare = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
    kept = [kind for kind in (typing.get_args(bare) or (bare,)) if kind not in (Erased, type(None))]
    if len(kept) == 1 and typing.get_origin(bare) is not None and type(None) not in kept and _is_union(bare):
        return kept[0]
    return bare


def _is_union(hint: Any) -> bool:
    import types

    return typing.get_origin(hint) in (typing.Union, types.UnionType)


__all__ = [
    "ERASED", "Envelope", "Erased", "Event", "EventTypes", "Recorded", "SealedField",
    "canonical", "commitment", "decode_envelope", "sealed_digest",
]  # fmt: skip
