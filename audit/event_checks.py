"""Checks one event against what was signed of it: envelope, query columns, sealed parts; and that every prune is explained.

Of the whole log it keeps 8 bytes for each cut key and 16 for each pruned part. It reads nothing itself.
"""

from __future__ import annotations

from array import array
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from audit.findings import Findings
from audit.reading import LogRow
from shared.errors import Tampered
from shared.events import Envelope, canonical, decode_envelope

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def id_text(octets: bytes) -> str | None:
    """An id as people write it, from its 16 bytes."""
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}" if text else None


class EventChecks:
    """The checks of one service's events. `cuts` are the persons that the log's own events call cut: (account, person)."""

    def __init__(self, service: str, findings: Findings) -> None:
        self._service = service
        self._findings = findings
        self._cut_keys = array("Q")
        self._pruned_keys = array("Q")
        self._pruned_at = array("q")
        self.cuts: dict[tuple[str, str], datetime] = {}

    @property
    def pruned(self) -> int:
        """How many sealed parts are gone."""
        return len(self._pruned_at)

    def check(self, row: LogRow) -> None:
        """Checks an event whose commitment is the signed one."""
        try:
            envelope = decode_envelope(row.envelope)
        except Tampered:
            self._add(row, "its envelope can't be read")
            return
        if canonical(envelope) != row.envelope:
            self._add(row, "its envelope is not in canonical form")
        if wrong := _wrong_columns(row, envelope, self._service):
            self._add(row, f"its row and its envelope differ in: {', '.join(wrong)}")
        self._check_parts(row, envelope)
        self.note(envelope)

    def note(self, envelope: Envelope) -> None:
        """Takes in what an event says of cuts."""
        keys = envelope.data.get("keys")
        if isinstance(keys, list):
            self._cut_keys.extend(int(name, 16) for name in keys if isinstance(name, str) and len(name) == 16)
        if envelope.type.endswith(".SubjectCut"):
            self.cuts[envelope.account, str(envelope.data.get("person_id"))] = envelope.time

    def report_unexplained(self) -> None:
        """Adds a finding for each pruned part whose key no event calls cut."""
        explained = set(self._cut_keys)
        for key, index in zip(self._pruned_keys, self._pruned_at, strict=True):
            if key not in explained:
                text = f"a sealed part is gone, and no event in the log says that its key {key:016x} was cut"
                self._findings.add("unexplained prune", text, index=index)

    def _check_parts(self, row: LogRow, envelope: Envelope) -> None:
        if len(envelope.sealed) != len(row.sealed):
            self._add(row, f"it has {len(row.sealed)} sealed parts where {len(envelope.sealed)} were signed")
            return
        for field, part in zip(envelope.sealed, row.sealed, strict=True):
            if part is None:
                self._pruned_keys.append(int(field.key, 16))
                self._pruned_at.append(row.at)
            elif sha256(part).hexdigest() != field.digest:
                self._add(row, f"the sealed part {field.field} has not the digest that was signed")

    def _add(self, row: LogRow, text: str) -> None:
        self._findings.add(
            "changed", text, index=row.at if row.at >= 0 else None, stream=row.stream, event_id=id_text(row.event_id)
        )


def _wrong_columns(row: LogRow, envelope: Envelope, service: str) -> list[str]:
    """The names of the query columns that are not what the envelope says."""
    return [
        name
        for name, same in (
            ("account_id", envelope.account.replace("-", "") == row.account_id.hex()),
            ("stream", envelope.stream == row.stream),
            ("version", envelope.version == row.version),
            ("event_id", envelope.event.replace("-", "") == row.event_id.hex()),
            ("type", envelope.type == row.type),
            ("schema_version", envelope.schema == row.schema_version),
            ("occurred_at", (envelope.time - _EPOCH) // _MICROSECOND == row.occurred_at),
            ("service", envelope.service == service),
        )
        if not same
    ]
