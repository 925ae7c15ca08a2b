"""Checks one event against what was signed of it: envelope, query columns, sealed parts; and that every prune is explained.

Of the whole log it keeps 32 bytes for each pruned part, about 200 for each stream and each account, the cuts (`cut_notes.py`),
the holds (`hold_notes.py`) and what is gone (`gone_notes.py`). It reads nothing itself. Its two ways in are a row of the
database, and an event of an export, which has neither columns nor ciphertext.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

import msgspec

from audit import cut_notes, gone_notes, hold_notes
from audit.cut_notes import CutNotes, CutNotesState, bound, key_of
from audit.fast_path import PlainRows
from audit.findings import Findings, Told
from audit.gone_notes import GoneNotes, GoneNotesState, Run
from audit.hold_notes import IN_FORCE, HoldNotes, HoldNotesState, met_by
from audit.log_rows import SALT_BYTES, LogRow, id_text
from audit.sentences import types_of_services
from audit.stream_order import StreamOrder, StreamPositions
from shared.events import UNREADABLE, Envelope, SealedField, canonical

_decode = msgspec.json.Decoder(Envelope).decode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_HOLES = 10_000
MOST_HOLES_OF_AN_ACCOUNT = 100
"""So many are kept: of an account that is going there may be any number, and they are no findings."""


class ExportedEvent(NamedTuple):
    """An event as an export has it: its place, salt and envelope in one, and of each sealed part whether it is still there."""

    at: int
    salted: bytes
    sealed: tuple[bool, ...]


class Hole(NamedTuple):
    """An event that does not stand after the version before it."""

    at: int
    account: str
    stream: str
    event: str
    version: int


class ChecksState(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks of a part of a log have gathered, to be kept in a file."""

    cuts: CutNotesState
    holds: HoldNotesState
    gone: GoneNotesState
    holes: list[Hole]
    last_of: dict[str, int]
    pruned_keys: bytes
    pruned_at: bytes
    owned: bytes
    streams: StreamPositions


class EventChecks:
    """The checks of one service's events. `cuts` are those that the log's own events tell of.

    `is_moved` says whether signed events were misplaced so far: then a hole in a stream is no news.
    """

    def __init__(
        self, service: str, findings: Findings, is_moved: Callable[[], bool], partial: bool = False,
        begin: ChecksState | None = None,
    ) -> None:  # fmt: skip
        self._service = service
        self._findings = findings
        self._is_moved = is_moved
        self._holes: list[Hole] = list(begin.holes) if begin else []
        self._holes_of = Counter(hole.account for hole in self._holes)
        self._pruned_keys = array("Q", begin.pruned_keys if begin else b"")
        self._pruned_at = array("q", begin.pruned_at if begin else b"")
        self._owned = array("Q", begin.owned if begin else b"")  # owner, place in the two above; as often as there are owners
        self._owners = owner_fields(service)
        self._plain = plain_types(service)
        self._holds = HoldNotes(begin.holds if begin else None)
        self.cuts = CutNotes(begin.cuts if begin else None)
        self.gone = GoneNotes(begin.gone if begin else None)
        self._last_of: dict[str, int] = dict(begin.last_of) if begin else {}
        self._order = StreamOrder(partial, begin.streams if begin else None)
        self.plain = PlainRows(service, self._plain, self._order.versions, self._saw)
        """Takes the rows that `check` would find nothing in and note nothing of."""

    @property
    def pruned(self) -> int:
        """How many sealed parts are gone."""
        return len(self._pruned_at)

    def state(self) -> ChecksState:
        """What was gathered so far."""
        return ChecksState(
            cuts=self.cuts.state(), holds=self._holds.state(), gone=self.gone.state(), holes=self._holes,
            last_of=self._last_of, pruned_keys=self._pruned_keys.tobytes(),
            pruned_at=self._pruned_at.tobytes(), owned=self._owned.tobytes(), streams=self._order.positions(),
        )  # fmt: skip

    def check(self, row: LogRow, waits_as: bytes | None = None) -> None:
        """Checks a row whose commitment is signed, or `waits_as` to be: so long what it says of cuts waits under it."""
        at = row.at
        try:
            envelope = _decode(row.envelope)
        except UNREADABLE:
            self._add(at, "its envelope can't be read", row)
            return
        if canonical(envelope) != row.envelope:
            self._add(at, "its envelope is not in canonical form", row)
        self._saw(id_text(row.account_id), at)
        if wrong := _wrong_columns(row, envelope, self._service):
            self._add(at, f"its row and its envelope differ in: {', '.join(wrong)}", row)
        if len(envelope.sealed) != len(row.sealed):
            self._add(at, f"it has {len(row.sealed)} sealed parts where {len(envelope.sealed)} were signed", row)
        else:
            for field, part in zip(envelope.sealed, row.sealed, strict=True):
                if part is None:
                    self._note_pruned(at, envelope, field)
                elif sha256(part).hexdigest() != field.digest:
                    self._add(at, f"the sealed part {field.field} has not the digest that was signed", row)
        if row.type not in self._plain:
            self._note(envelope, at, waits_as)
        if self._order.due(row.account_id, envelope.stream.encode(), envelope.version) != envelope.version:
            self._add_hole(at, envelope)

    def check_exported(self, event: ExportedEvent) -> None:
        """Checks an exported event whose commitment is the signed one."""
        raw = event.salted[SALT_BYTES:]
        try:
            envelope = _decode(raw)
        except UNREADABLE:
            self._add(event.at, "its envelope can't be read")
            return
        if canonical(envelope) != raw:
            self._add(event.at, "its envelope is not in canonical form", envelope=envelope)
        self._saw(envelope.account, event.at)
        if envelope.service != self._service:
            self._add(event.at, "it is an event of another service", envelope=envelope)
        if len(envelope.sealed) != len(event.sealed):
            text = f"it has {len(event.sealed)} sealed parts where {len(envelope.sealed)} were signed"
            self._add(event.at, text, envelope=envelope)
        else:
            for field, there in zip(envelope.sealed, event.sealed, strict=True):
                if not there:
                    self._note_pruned(event.at, envelope, field)
        if envelope.type.encode() not in self._plain:
            self._note(envelope, event.at)
        if self._order.due(envelope.account.encode(), envelope.stream.encode(), envelope.version) != envelope.version:
            self._add_hole(event.at, envelope)

    def note_unverified(self, salted: bytes | memoryview) -> None:
        """A cut that stands at another place than it was signed at explains a prune, once it is known that it was signed."""
        try:
            envelope, commitment = _decode(salted[SALT_BYTES:]), sha256(salted).digest()
            self.cuts.note(envelope, IN_FORCE, waits_as=commitment)
            self.gone.note(envelope, IN_FORCE, waits_as=commitment)
        except UNREADABLE:
            pass

    def accept(self, signed: Iterable[bytes]) -> None:
        """Counts what events under these commitments say, which are signed."""
        known = list(signed)
        self.cuts.accept(known)
        self.gone.accept(known)

    def awaited(self, missing: Sequence[Run]) -> set[bytes]:
        """The commitments of events, not known to be signed, by which alone pruned parts and missing events would be
        explained."""
        pruned = self.cuts.waiting_for(self.cuts.unexplained(self._pruned_keys))
        return pruned | self.gone.waiting_for(self.gone.unexplained(missing))

    def report(self, missing: Sequence[Run]) -> None:
        """Adds a finding for all that only the whole log shows. `missing`: where events are that no account took with it."""
        self.report_holes(missing)
        self.report_unexplained()
        self.report_cuts_under_hold()
        self.report_events_of_gone()

    def report_holes(self, missing: Sequence[Run]) -> None:
        """Adds a finding for each hole in a stream, unless an event that is missing before it may be what belongs there, or the
        account is going."""
        first = missing[0][0] if missing else IN_FORCE
        for hole in self._holes:
            if hole.at < first and hole.account not in self.gone.accounts:
                text = f"version {hole.version} of the stream does not stand after the one before it"
                self._findings.add("reordered", text, index=hole.at, stream=hole.stream, event_id=hole.event)

    def report_unexplained(self) -> None:
        """Adds a finding for each pruned part whose key no event of the same account calls cut."""
        unexplained = self.cuts.unexplained(self._pruned_keys)
        for key, index in zip(self._pruned_keys, self._pruned_at, strict=True) if unexplained else ():
            if key in unexplained:
                text = "a sealed part is gone, and no event in the log says that its key was cut"
                self._findings.add("unexplained prune", text, index=index)

    def told(self) -> Told:
        """What the log tells that another must tell too."""
        return Told(
            holds_released=self._holds.released, holds_ended=self._holds.decided, accounts_gone=sorted(self.gone.accounts),
            accounts_ended=self.gone.ended,
        )  # fmt: skip

    def report_events_of_gone(self) -> None:
        """Adds a finding for each account that is gone and of which there is a later event than those that went with it, and
        for what contradicts itself in what is said of them."""
        for at, account in self.gone.contradictions():
            text = f"leaves are said to have gone with account {account} after its receipt, or with another account as well"
            self._findings.add("changed", text, index=at if at < IN_FORCE else None)
        for account in self.gone.accounts:
            last = self._last_of.get(account, -1)
            if last >= 0 and last > max((end for _, end in self.gone.named(account)), default=-1):
                self._findings.add("inserted", f"account {account} is gone, and this is an event of it", index=last)

    def report_cuts_under_hold(self) -> None:
        """Adds a finding for each person who was cut while a legal hold was on them, and for each pruned part of such a person
        whose key another event calls cut at that time."""
        holds = self._holds.by_person()
        if not holds:
            return
        reported = set()
        for (account, person), at in self.cuts.persons.items():
            if held := met_by(holds.get(bound(account, person), []), at):
                text = f"person {person} was cut here, and a legal hold that the event at {held.begun} notes had not ended"
                self._findings.add("cut under hold", text, index=at)
                reported.add(at)
        pairs = zip(self._owned[::2], self._owned[1::2], strict=True)
        gone = [(holds[owner], place) for owner, place in pairs if owner in holds]
        cut_at = self.cuts.cut_at({self._pruned_keys[place] for _, place in gone})
        for on_owner, place in gone:
            cut = cut_at.get(self._pruned_keys[place], -1)
            if cut not in reported and (held := met_by(on_owner, cut)):
                text = (
                    f"a sealed part of a person is gone: the event at {cut} calls its key cut, and a legal hold that the event"
                    f" at {held.begun} notes had not ended"
                )
                self._findings.add("cut under hold", text, index=self._pruned_at[place])

    def _saw(self, account: str | None, at: int) -> None:
        """Notes where an account has its last event so far, among those that have an index."""
        if account is not None and at >= 0:
            self._last_of[account] = max(at, self._last_of.get(account, -1))

    def _note(self, envelope: Envelope, at: int, waits_as: bytes | None = None) -> None:
        at = IN_FORCE if at < 0 else at
        self.cuts.note(envelope, at, waits_as)
        self.gone.note(envelope, at, waits_as)
        self._holds.note(envelope, at)

    def _note_pruned(self, at: int, envelope: Envelope, field: SealedField) -> None:
        key = key_of(envelope.account, field.key)
        if key is None:
            self._add(at, f"the sealed part {field.field} names no key", envelope=envelope)
            return
        owners = envelope.data.get(self._owners.get((envelope.type, field.field), ""))
        for owner in owners if isinstance(owners, list) else [owners]:
            if isinstance(owner, str):
                self._owned.extend((bound(envelope.account, owner), len(self._pruned_at)))
        self._pruned_keys.append(key)
        self._pruned_at.append(at)

    def _add_hole(self, at: int, envelope: Envelope) -> None:
        count = self._holes_of.get(envelope.account, 0)
        if not self._is_moved() and count < MOST_HOLES_OF_AN_ACCOUNT and len(self._holes) < MOST_HOLES:
            self._holes_of[envelope.account] = count + 1
            self._holes.append(Hole(at, envelope.account, envelope.stream, envelope.event, envelope.version))

    def _add(self, at: int, text: str, row: LogRow | None = None, envelope: Envelope | None = None) -> None:
        stream = row.stream_name if row else envelope.stream if envelope else None
        event = id_text(row.event_id) if row else envelope.event if envelope else None
        self._findings.add("changed", text, index=at if at >= 0 else None, stream=stream, event_id=event)


def owner_fields(service: str) -> dict[tuple[str, str], str]:
    """(type, sealed field) → the field of the envelope's data that names whose it is, by the service's own declarations."""
    types = types_of_services().get(service)
    if types is None:
        return {}
    return {
        (name, field): personal.person
        for name, kind in types.by_name.items()
        for field, personal in types.personal[kind].items()
        if personal.person is not None
    }


def plain_types(service: str) -> frozenset[bytes]:
    """The types of which no notes are taken: nearly all events are of these."""
    types = types_of_services().get(service)
    return frozenset(
        name.encode()
        for name, kind in (types.by_name.items() if types else ())
        if cut_notes.TOLD_IN not in kind.__struct_fields__
        and name.partition(".")[2] not in hold_notes.TOLD_BY | gone_notes.TOLD_BY
    )


def _microseconds(moment: datetime) -> int:
    """Since 1970, exactly."""
    since = moment - _EPOCH
    return since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds


def _wrong_columns(row: LogRow, envelope: Envelope, service: str) -> Sequence[str]:
    """The names of the query columns that are not what the envelope says."""
    return [
        name
        for name, same in (
            ("account_id", envelope.account == id_text(row.account_id)),
            ("stream", envelope.stream == row.stream_name),
            ("version", envelope.version == row.version),
            ("event_id", envelope.event.replace("-", "") == row.event_id.hex()),
            ("type", envelope.type == row.type.decode(errors="replace")),
            ("schema_version", envelope.schema == row.schema_version),
            ("occurred_at", _microseconds(envelope.time) == row.occurred_at),
            ("service", envelope.service == service),
        )
        if not same
    ]
