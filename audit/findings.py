"""What a verification says: findings, each of a named kind, and the verdict on one service's log.

Findings hold ids, indices and times only, so a verdict may be printed, mailed and kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import msgspec

from shared.ids import StoredId
from shared.personal import NotPersonal

Kind = Literal[
    "changed", "dropped", "inserted", "swapped", "truncated", "reordered", "forked", "unexplained prune", "cut under hold",
    "journal",
]  # fmt: skip
"""changed: an event, a part of it, or a row that belongs to it is not what was signed. dropped: a signed event is gone.
inserted: an event that was never signed. swapped: two events changed places. truncated: the end of the log is gone, or an
older checkpoint was put in the place of a newer one. reordered: events stand at other places than they were signed at.
forked: what is signed now does not extend what was signed before, or is not signed by the log's key. unexplained prune: the
bytes of a sealed part are gone, and no event says that its key was cut. cut under hold: one does, while a legal hold was on the
person. journal: the cut journal and the log do not tell the same, or a suppression list is not what it was."""

MOST_FINDINGS = 1_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was signed."""

    kind: Kind
    index: int | None = None
    """Where in the log, counted from 0; None where it has no place in it."""
    stream: Annotated[str | None, NotPersonal("a noun and an opaque id")] = None
    event_id: Annotated[str | None, NotPersonal("an opaque id")] = None
    text: Annotated[str, NotPersonal("written here, with ids and numbers only")]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a log tells that the log of another service must tell too (`log_agreement.py`)."""

    holds_released: list[tuple[StoredId, StoredId, int]]
    """Account, hold, and the index of the event that says so."""
    holds_ended: list[tuple[StoredId, StoredId]]
    """In the log of the service that ends them: account and hold."""
    accounts_gone: list[StoredId]
    accounts_ended: list[StoredId]
    """In the log of the service that ends them."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked of one service's log, and what was found. Without findings the log is whole."""

    service: Annotated[str, NotPersonal("the name of a service")]
    origin: Annotated[str, NotPersonal("the name of a log")]
    size: int
    """How many events the published checkpoint covers."""
    root: Annotated[str, NotPersonal("a hash, in hexadecimal")]
    kept_size: int | None
    """The size of the checkpoint that the auditor kept; None where there was none to compare with."""
    since: int = 0
    """Where the events begin that were looked at; of those before only hashes were compared with the kept checkpoint."""
    resumed_at: int = 0
    """Up to where an earlier, interrupted run had come: what was there is said as of then."""
    checked: int
    """Events compared with their leaves."""
    pruned: int
    """Sealed parts that are gone, each explained by an event in the log unless a finding says otherwise."""
    gone: int = 0
    """Leaves that nobody can open any more, each accounted for by an account that is gone."""
    lost: int = 0
    """The same of events that were lost when the database was put back from a copy, as the log itself says."""
    pending: int
    """Committed events that no checkpoint covers yet; normal for a moment."""
    findings: list[Finding]
    told: Told | None = None
    left_out: int = 0
    """Findings beyond the first 1,000, counted only."""

    @property
    def good(self) -> bool:
        return not self.findings


class Findings:
    """Gathers findings: the first 1,000 are kept, the others counted by kind."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.counts: Counter[str] = Counter()

    def extend(self, kept: Iterable[Finding], counts: Mapping[str, int]) -> None:
        """Takes in what was found before: the findings kept of it, and how many there were of each kind."""
        self.kept.extend(kept)
        self.counts.update(counts)

    def add(
        self, kind: Kind, text: str, *, index: int | None = None, stream: str | None = None, event_id: str | None = None
    ) -> None:
        """Notes a finding."""
        self.counts[kind] += 1
        if len(self.kept) < MOST_FINDINGS:
            self.kept.append(Finding(kind=kind, index=index, stream=stream, event_id=event_id, text=text))

    def unnamed(self) -> set[int]:
        """The indices of findings of which it is not said which event stands there."""
        return {one.index for one in self.kept if one.index is not None and one.event_id is None and one.kind != "dropped"}

    def name(self, events: Mapping[int, tuple[str, str]]) -> None:
        """Says of such findings which event stands at their index: its stream and id."""
        self.kept = [
            one if one.event_id is not None or one.index is None or one.index not in events
            else msgspec.structs.replace(one, stream=events[one.index][0], event_id=events[one.index][1])
            for one in self.kept
        ]  # fmt: skip

    @property
    def left_out(self) -> int:
        return self.counts.total() - len(self.kept)

    def in_order(self) -> list[Finding]:
        """The kept findings: those without a place first, the others in the order of the log."""
        return sorted(self.kept, key=lambda finding: (-1 if finding.index is None else finding.index, finding.kind))
