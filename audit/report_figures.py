"""Counts what a report shows, in one pass over an exported folder.

Memory does not grow with the log: counters by day, service, actor and purpose; the time of each completed erasure (8 bytes);
and the requests and holds that are open. What could grow without bound (readers, late requests) is cut off at a number, and
counted.
"""

from __future__ import annotations

import calendar
from array import array
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from audit.exported import CHECKPOINT, JOURNAL, ExportedLine
from audit.gone_notes import size_of
from audit.sources import FolderSource, Placed
from audit.statutory_month import end_of_month_for
from audit.trail_subjects import RECORDING, happenings_of
from shared.checkpoint import parse_checkpoint
from shared.errors import Tampered
from shared.events import UNREADABLE, Envelope, decode_envelope

MOST_REQUESTS: Final = 200
"""So many requests are listed of those that are open, and of those that were completed."""
MOST_LATE: Final = 500
MOST_HOLDS: Final = 500
MOST_READERS: Final = 10_000
MOST_JOURNAL_LINE_BYTES: Final = 2**20


class Late(NamedTuple):
    """A request that took longer than the month, or is still open after it."""

    request: str
    requested_at: datetime
    due_at: datetime
    completed_at: datetime | None
    is_held: bool
    """A legal hold keeps the person: it waits for the hold's end."""


class Reader(NamedTuple):
    """Who read: a user, or vendor staff, and for which purpose."""

    kind: str
    actor: str
    purpose: str


@dataclass
class Shown:
    """What a reader was shown: how often, and persons and tickets counted once for each time."""

    reads: int = 0
    persons: int = 0
    tickets: int = 0


@dataclass
class LogFigures:
    """One service's log: what the manifest and the checkpoint say of it, and what its events are."""

    service: str
    origin: str
    size: int
    root: str
    checkpoint: str
    """What the checkpoint in the folder says, or what is wrong with it."""
    lines: int
    """What the manifest says of the file of events: a line for each index."""
    events: int = 0
    parts: int = 0
    pruned: int = 0
    keys_cut: int = 0
    accounts_gone: set[str] = field(default_factory=set)
    lost: int = 0
    """Events that the log itself calls lost: its database was put back from a copy."""
    put_back: set[datetime] = field(default_factory=set)
    """When it said so."""
    journal: Counter[str] = field(default_factory=Counter)
    """Entries of the cut journal by kind and reason."""


@dataclass
class Request:
    """A request for erasure that is not completed."""

    requested_at: datetime
    state: str


@dataclass
class Hold:
    """A legal hold."""

    basis: str
    persons: int
    placed_at: datetime
    expires_at: datetime
    ended: str = ""
    """How it ended; empty while it is in force."""
    ended_at: datetime | None = None


class Completed(NamedTuple):
    """A completed erasure."""

    request: str
    requested_at: datetime
    completed_at: datetime


@dataclass
class Figures:
    """All that the report shows."""

    cell: str
    taken_at: datetime
    logs: list[LogFigures] = field(default_factory=list)
    days: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(day, service) → events."""
    open: dict[str, Request] = field(default_factory=dict)
    seconds: array[float] = field(default_factory=lambda: array("d"))
    """From request to certificate, of each completed erasure."""
    latest: deque[Completed] = field(default_factory=lambda: deque(maxlen=MOST_REQUESTS))
    """The erasures that were completed last."""
    late: list[Late] = field(default_factory=list)
    late_in_all: int = 0
    holds: dict[str, Hold] = field(default_factory=dict)
    """Legal holds by id, so many as are listed: those in force rather than others."""
    holds_in_all: int = 0
    holds_in_force: set[str] = field(default_factory=set)
    shown: dict[Reader, Shown] = field(default_factory=dict)
    readers_left_out: int = 0
    """Reads of readers beyond the first 10,000."""

    @property
    def events(self) -> int:
        return sum(one.events for one in self.logs)

    @property
    def states(self) -> Counter[str]:
        """Requests for erasure by their state."""
        counted = Counter({"completed": len(self.seconds)} if self.seconds else {})
        return counted + Counter(one.state for one in self.open.values())


def figures_of(folder: Path) -> Figures:
    """The figures of an exported folder. Raises `InvalidArgument` and `Tampered` as `FolderSource` does."""
    source = FolderSource(folder)
    figures = Figures(source.cell, source.taken_at)
    for service in source.services:
        log = _log(source, service)
        figures.logs.append(log)
        for event in source.events(service):
            _count(figures, log, event)
    for request, one in figures.open.items():
        _note_if_late(figures, request, one.requested_at, None, one.state == "held")
    figures.late.sort(key=lambda one: one.due_at)
    return figures


def _log(source: FolderSource, service: str) -> LogFigures:
    said = source.logs[service]
    log = LogFigures(service, said.origin, said.size, said.root, _checkpoint(source.folder / service), said.events)
    for line in _journal_lines(source.folder / service / JOURNAL):
        cut = line.get("cut")
        if isinstance(cut, dict):
            log.journal[f"{cut.get('kind')} ({cut.get('reason')})"] += 1
    return log


def _checkpoint(folder: Path) -> str:
    try:
        with (folder / CHECKPOINT).open("rb") as file:
            text = file.read(2**16).decode()
        checkpoint = parse_checkpoint(text.split("\n\n")[0] + "\n")
    except FileNotFoundError:
        return "none"
    except (Tampered, UnicodeDecodeError):
        return "can't be read"
    return f"{checkpoint.size} events, root {checkpoint.root.hex()}"


def _journal_lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        while line := file.readline(MOST_JOURNAL_LINE_BYTES):
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except UNREADABLE:
                raise Tampered("a line of the cut journal can't be read") from None


def _count(figures: Figures, log: LogFigures, event: ExportedLine) -> None:
    raw = bytes(event.envelope)
    envelope = decode_envelope(raw)
    log.events += 1
    log.parts += len(event.parts)
    log.pruned += event.parts.count("pruned")
    figures.days[envelope.time.astimezone(UTC).date().isoformat(), log.service] += 1
    data = envelope.data
    if envelope.type.endswith(".LeavesGone"):
        log.accounts_gone.add(str(data.get("account_id")))
    elif envelope.type.endswith(".RowsLost"):
        log.lost += size_of(data.get("ranges", ()))
        log.put_back.add(envelope.time)
    if isinstance(keys := data.get("keys"), list):
        log.keys_cut += len(keys)  # whichever event it is: the one that names the keys explains what is pruned
    if envelope.type in RECORDING:
        for one in happenings_of(Placed(log.service, event.index, raw)):
            if one.read is not None:
                _note_read(figures, Reader("user", one.actor, one.read.purpose), one.read.persons, one.read.tickets)
    elif envelope.type.endswith(".StaffLookedUp"):
        reader = Reader("staff", str(data.get("staff_id")), str(data.get("purpose")))
        _note_read(figures, reader, data.get("person_ids", ()), data.get("ticket_ids", ()))
    elif log.service == "erasure":
        _note_erasure(figures, envelope)


def _note_erasure(figures: Figures, envelope: Envelope) -> None:
    request = str(envelope.data.get("request_id"))
    match envelope.type:
        case "erasure.ErasureRequested":
            figures.open[request] = Request(envelope.time, "erasing")
        case "erasure.ErasureHeld" if request in figures.open:
            figures.open[request].state = "held"
        case "erasure.SubjectErased" if request in figures.open and figures.open[request].state == "held":
            figures.open[request].state = "erasing"
        case "erasure.HoldPlaced" | "erasure.HoldEnded":
            _note_hold(figures, envelope)
        case "erasure.ErasureIncomplete" if request in figures.open:
            figures.open[request].state = "incomplete"
        case "erasure.ErasureCompleted":
            asked = figures.open.pop(request, None)
            requested_at = asked.requested_at if asked else _time(str(envelope.data.get("requested_at")))
            figures.seconds.append((envelope.time - requested_at).total_seconds())
            figures.latest.append(Completed(request, requested_at, envelope.time))
            _note_if_late(figures, request, requested_at, envelope.time)


def _note_hold(figures: Figures, envelope: Envelope) -> None:
    data, hold = envelope.data, str(envelope.data.get("hold_id"))
    if envelope.type == "erasure.HoldEnded":
        figures.holds_in_force.discard(hold)
        if hold in figures.holds:
            figures.holds[hold].ended, figures.holds[hold].ended_at = str(data.get("end")), envelope.time
        return
    figures.holds_in_all += 1
    figures.holds_in_force.add(hold)
    if len(figures.holds) >= MOST_HOLDS:
        over = next((one for one, it in figures.holds.items() if it.ended), None)
        if over is None:
            return
        del figures.holds[over]
    persons, expires_at = data.get("person_ids"), _time(str(data.get("expires_at")))
    count = len(persons) if isinstance(persons, list) else 0
    figures.holds[hold] = Hold(str(data.get("basis")), count, envelope.time, expires_at)


def _note_if_late(
    figures: Figures, request: str, requested_at: datetime, completed_at: datetime | None, is_held: bool = False
) -> None:
    due_at = end_of_month_for(requested_at)
    if (completed_at or figures.taken_at) >= due_at:
        figures.late_in_all += 1
        if len(figures.late) < MOST_LATE:
            figures.late.append(Late(request, requested_at, due_at, completed_at, is_held))


def _note_read(figures: Figures, reader: Reader, persons: Any, tickets: Any) -> None:
    shown = figures.shown.get(reader)
    if shown is None:
        if len(figures.shown) >= MOST_READERS:
            figures.readers_left_out += 1
            return
        shown = figures.shown[reader] = Shown()
    shown.reads += 1
    shown.persons += len(persons)
    shown.tickets += len(tickets)


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Tampered("a time in the folder can't be read") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def by_period(days: Mapping[tuple[str, str], int], most: int) -> tuple[str, dict[str, Counter[str]]]:
    """Events by period and service, with the name of the period: day, month or year, the shortest of which there are at most
    `most` from the first to the last. Periods without an event are there, empty."""
    if not days:
        return "day", {}
    first, last = min(days)[0], max(days)[0]
    name, length = "day", 10
    periods = list(_periods(first, last, length))
    for longer in (("month", 7), ("year", 4)):
        if len(periods) > most:
            name, length = longer
            periods = list(_periods(first, last, length))
    found: dict[str, Counter[str]] = {one: Counter() for one in periods[-most:]}
    for (day, service), count in days.items():
        if day[:length] in found:
            found[day[:length]][service] += count
    return name, found


def _periods(first: str, last: str, length: int) -> Iterator[str]:
    year, month, day = (int(part) for part in first.split("-"))
    while (at := f"{year:04}-{month:02}-{day:02}"[:length]) <= last[:length]:
        yield at
        if length == 10:
            day += 1
            if day > calendar.monthrange(year, month)[1]:
                month, day = month + 1, 1
        elif length == 7:
            month += 1
        else:
            year += 1
        if month > 12:
            year, month = year + 1, 1
