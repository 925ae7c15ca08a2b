"""Opens and decodes events that were read in the order of the log, each checked against its leaf and its digests, and gives
them as projections take them.

Faster than `shared/events.py`'s general way: envelope and public data are decoded in one pass by a decoder for the event's
type, and the sealed values are put in afterwards. An older schema version takes the general way. It needs no key itself: it
is given a function from key ids to keys (`item_keys.py` loads them). It must not read the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import defstruct
from msgspec.json import Decoder
from msgspec.structs import force_setattr

from audit.fast_path import digest_of
from audit.log_rows import LogRow
from shared.errors import Tampered
from shared.events import ERASED, UNREADABLE, Envelope, Event, EventTypes, Recorded, decode_envelope
from shared.sealing import open_sealed, place_of

KeyOf = Callable[[bytes], bytes | None] | None
"""The item key of an id (8 bytes), or None where it is cut. Who has no key at all, as the auditor, has None in place of it."""

MOST_CIPHERS = 8_192


class Digest(bytes):
    """The SHA-256 of a sealed value that was compared with its event's: it stands where the value would."""


class _Kind(NamedTuple):
    """What is needed to decode events of one type and schema version: the envelope, and each of its sealed values."""

    name: str
    decode: Callable[[bytes], Any]
    personal: Mapping[str, Callable[[bytes], Any]]


class Opener:
    """Opens the events of one service."""

    def __init__(self, types: EventTypes, key_of: KeyOf) -> None:
        self._types = types
        self._key_of = key_of
        self._service = types.service
        self._ciphers: dict[bytes, AESGCM | None] = {}
        self._kinds: dict[tuple[bytes, int], _Kind] = {}

    def open(self, rows: Iterable[LogRow]) -> Iterator[Recorded]:
        """The event of each of these rows: `event` has its sealed values, where there is a key (what is cut reads as ERASED),
        `sealed` a `Digest` for each part that is there, and `envelope.data` may be the event as well.

        Raises `Tampered`, which names the index, where a byte is not what was signed.
        """
        for row in rows:
            at, leaf, _, schema_version, _, _, _, _, type_, salted, raw, _ = row  # at once: by name each takes as long as all
            if digest_of(salted) != leaf:
                raise Tampered("the event is not the one whose leaf is in the log", index=at)
            kind = self._kinds.get((type_, schema_version)) or self._make_kind(type_, schema_version)
            if kind is None:
                yield self._open_older(row)
                continue
            try:
                envelope = kind.decode(raw)
            except UNREADABLE:
                raise Tampered("an event's data is not of its type", index=at) from None
            if envelope.type != kind.name or envelope.schema != schema_version:
                raise Tampered("the event's row names another type than its envelope", index=at)
            event = envelope.data
            sealed = self._put_values(row, kind, envelope, event) if kind.personal else {}
            yield Recorded(envelope=envelope, event=event, sealed=sealed)

    def _make_kind(self, type_: bytes, schema_version: int) -> _Kind | None:
        """What opens events of a type, made when the first one comes: it takes longer than to open a hundred. None for an older
        version."""
        name = type_.decode()
        kind = self._types.by_name.get(name)
        if kind is None or kind.schema_version != schema_version:
            return None
        personal = self._types.personal[kind]
        made = _Kind(name, _typed_decoder(kind, personal), {one: self._types.value_decoder(name, one) for one in personal})
        self._kinds[type_, schema_version] = made
        return made

    def _put_values(self, row: LogRow, kind: _Kind, envelope: Envelope, event: Event) -> dict[str, bytes | None]:
        """Compares the sealed parts with their digests, which it gives, and puts what can be opened into the event."""
        fields = envelope.sealed
        if len(fields) < len(kind.personal):
            for name in kind.personal.keys() - {field.field for field in fields}:
                force_setattr(event, name, None)
        if len(fields) != len(row.sealed):
            raise Tampered("an event has not the number of sealed parts that it had", index=row.at)
        sealed: dict[str, bytes | None] = {}
        for field, part in zip(fields, row.sealed):  # noqa: B905 - their lengths were compared above
            name = field.field
            if part is None:
                sealed[name] = None
                continue
            digest = sealed[name] = Digest(digest_of(part))
            if digest.hex() != field.digest:
                raise Tampered("a sealed part is not the one that the event was signed with", index=row.at)
            if self._key_of is None:
                continue
            head = bytes(part[:9])
            cipher = self._ciphers.get(head) or self._cipher(head)
            if cipher is None:
                continue
            place = f"{self._service}\n{envelope.stream}\n{envelope.event}\n{envelope.type}\n{name}".encode()
            try:
                plain = cipher.decrypt(part[9:21], part[21:], head + place)
            except InvalidTag:
                raise Tampered("a sealed part was changed, or stands in another place", index=row.at) from None
            force_setattr(event, name, kind.personal[name](plain))
        return sealed

    def _cipher(self, head: bytes) -> AESGCM | None:
        """The cipher of the key that a sealed part names in its first 9 bytes (a version, and the key's id)."""
        if head in self._ciphers:
            return self._ciphers[head]
        if len(self._ciphers) >= MOST_CIPHERS:
            self._ciphers.clear()
        key = self._key_of and self._key_of(head[1:])
        cipher = self._ciphers[head] = None if key is None else AESGCM(key)
        return cipher

    def _open_older(self, row: LogRow) -> Recorded:
        """An event of an older schema version, upcast. Rare, so it takes the way of `shared/events.py`."""
        envelope = decode_envelope(row.envelope)
        values: dict[str, bytes] = {}
        sealed: dict[str, bytes | None] = {}
        for field, part in zip(envelope.sealed, row.sealed, strict=True):
            key = None if part is None or self._key_of is None else self._key_of(bytes(part[1:9]))
            digest = sealed[field.field] = None if part is None else Digest(digest_of(part))
            if digest is not None and digest.hex() != field.digest:
                raise Tampered("a sealed part is not the one that the event was signed with", index=row.at)
            if part is not None and key is not None:
                place = place_of(self._service, envelope.stream, envelope.event, envelope.type, field.field)
                values[field.field] = open_sealed(key, bytes(part), place)
        return Recorded(envelope=envelope, event=self._types.decode(envelope, values), sealed=sealed)


def _typed_decoder(kind: type[Event], personal: Iterable[str]) -> Callable[[bytes], Any]:
    """Decodes an envelope whose data is of one type, in one pass.

    The event is of a subclass of its type in which sealed fields, which never stand in an envelope, may hold anything:
    msgspec can't decode unions such as `Text | Erased`, and their values are put in afterwards.
    """
    open_fields = [(field, Any, ERASED) for field in personal]
    public = defstruct(kind.__name__, open_fields, bases=(kind,), module=kind.__module__, frozen=True, kw_only=True)
    typed = defstruct("TypedEnvelope", [("data", public)], bases=(Envelope,), frozen=True, kw_only=True)
    decode: Callable[[bytes], Any] = Decoder(typed).decode
    return decode
