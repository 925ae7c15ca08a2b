"""Takes the rows of a log that are in every respect as they were signed and tell nothing that has to be noted: nearly all.

The hot path of a verification, so it is one loop over the bytes of rows, without a call of ours or an object for a row. It
finds nothing wrong: at the first row that is not plain it stops, and `EventChecks.check` says what is the matter with that
one, if anything is. All that `check` would find fault with must end the loop here; a test flips every bit of a row.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from audit.reading import FIXED, ONE_PART, SALT_BYTES, id_text, sealed_parts
from shared.events import UNREADABLE, Envelope, SealedField, canonical_into

_decode = msgspec.json.Decoder(Envelope).decode
_FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)
"""From which PostgreSQL counts."""
_digest = sha256().copy
"""A new hash costs a tenth less as a copy of an empty one."""
_unpack = FIXED.unpack_from
_unpack_part = ONE_PART.unpack_from

Saw = Callable[[str, int], object]
"""Is told an account and the index of an event of it, which none of its events before comes after."""


class PlainRows:
    """The plain rows of one service's log. `plain`: the event types that tell nothing which has to be noted. `versions`: the
    last version of each stream, under account and name, which is kept here as well."""

    def __init__(self, service: str, plain: frozenset[bytes], versions: dict[bytes, int], saw: Saw) -> None:
        self._service = service
        self._plain = {name: name.decode() for name in plain}
        self._versions = versions
        self._saw = saw
        self._form = bytearray()

    def take(self, rows: Sequence[bytes], entries: Sequence[bytes], at: int) -> int:
        """Takes rows as long as each is plain and its commitment the signed entry beside it; `at` is the first one's index.
        How many were."""
        service, plain, versions, form = self._service, self._plain, self._versions, self._form
        begin = at
        account_id: bytes = b""
        account: str | None = None
        for row, signed in zip(rows, entries):  # noqa: B905 - whichever ends first
            try:
                (
                    index, leaf, version, schema_version, occurred_at, event_id, of_account,
                    stream_bytes, type_bytes, envelope_bytes,
                ) = _unpack(row)  # fmt: skip
            except struct.error:
                break
            stream = FIXED.size + 4
            type_ = stream + stream_bytes + 4
            salted = type_ + type_bytes + 4
            clear = salted + SALT_BYTES
            end = clear + envelope_bytes
            view = memoryview(row)
            (hashed := _digest()).update(view[salted:end])
            if not (index == at and leaf == signed and hashed.digest() == signed):
                break
            part = end + ONE_PART.size
            _, dimensions, count, lower, length = _unpack_part(row, end) if 0 < end < part < len(row) else (0,) * 5
            is_one = dimensions == count == lower == 1 and part + length == len(row)
            raw = row[clear:end]
            try:
                envelope = _decode(raw)
            except UNREADABLE:
                break
            canonical_into(envelope, form)
            fields = envelope.sealed
            if form != raw:
                break
            if is_one and len(fields) == 1:
                (hashed := _digest()).update(view[part:])
                if hashed.hexdigest() != fields[0].digest:
                    break
            elif not _are_sealed(fields, sealed_parts(row, end)):
                break
            of = account if of_account == account_id else id_text(of_account)
            name = row[stream : type_ - 4]
            key = of_account + name
            since = envelope.time - _FIRST_DAY
            if not (
                envelope.stream.encode() == name
                and envelope.version == version
                and envelope.type == plain.get(row[type_ : salted - 4])
                and envelope.event.replace("-", "") == event_id.hex()
                and envelope.account == of
                and envelope.schema == schema_version
                and since.microseconds + 1_000_000 * (since.seconds + 86_400 * since.days) == occurred_at
                and envelope.service == service
                and versions.get(key, 0) + 1 == version
            ):
                break
            versions[key] = version
            if of_account != account_id:  # events of one account often stand together
                if account is not None:
                    self._saw(account, at - 1)
                account_id, account = of_account, of
            at += 1
        if account is not None:
            self._saw(account, at - 1)
        return at - begin


def _are_sealed(fields: Sequence[SealedField], parts: Sequence[memoryview | None] | None) -> bool:
    """Whether these are the parts that were signed, all of them, and none is pruned."""
    return (
        parts is not None
        and len(parts) == len(fields)
        and all(
            part is not None and sha256(part).hexdigest() == field.digest for field, part in zip(fields, parts, strict=True)
        )
    )
