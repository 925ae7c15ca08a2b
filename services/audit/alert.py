"""The alert: pure decisions about what is wrong with a log, and when that is an alert. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from services.audit.events import AlertCleared, AlertRaised, Cause, ClearedBy, Reason
from shared.checkpoint import Checkpoint
from shared.ids import new_id
from shared.log_consistency import Relation

CAUSES: Final[dict[Reason, Cause]] = {
    "other-root": "forked",
    "does-not-extend": "forked",
    "older": "truncated",
    "missing": "truncated",
    "not-signed": "unsigned",
    "other-tiles": "changed",
    "events-wait": "stalled",
    "no-relay-leads": "stalled",
}
TEXTS: Final[dict[Reason, str]] = {
    "other-root": "the log's key signed two trees of one size",
    "does-not-extend": "what is signed does not contain the tree that was signed before",
    "older": "the published checkpoint is older than one that was seen",
    "missing": "the published checkpoint is gone or can't be read",
    "not-signed": "the published checkpoint is not signed by the log's key",
    "other-tiles": "the tiles are missing or are not those of the signed tree",
    "events-wait": "committed events do not get into a signed checkpoint",
    "no-relay-leads": "no relay holds the lease",
}
"""What is said of each to people."""

FOR_GOOD: Final[frozenset[Cause]] = frozenset({"forked"})
"""Two signed trees that contradict each other stay signed: only an operator ends such an alert."""

GRACE_SECONDS: Final[dict[Cause, float]] = {"forked": 0.0, "truncated": 3.0, "unsigned": 3.0, "changed": 3.0, "stalled": 0.0}
"""For how long something must be seen before it is an alert. After a power cut readers see an older checkpoint until the relay
has written the one that its record names; a stall has its own bound (`progress.py`). A contradiction needs no second look."""

_OF_RELATION: Final[dict[Relation, Reason]] = {
    "other root": "other-root", "does not extend": "does-not-extend", "other tiles": "other-tiles",
}  # fmt: skip
_STREAMS = uuid.UUID("6f6a0a2e-5a37-4f0a-9c0e-6f2d6e1c1b7a")


class Suspicion(NamedTuple):
    """What a look found wrong: the tree that was seen before, and what contradicts it."""

    reason: Reason
    seen: Checkpoint | None = None
    other: Checkpoint | None = None
    handed_in: bool = False

    @property
    def cause(self) -> Cause:
        return CAUSES[self.reason]


class Judgement(NamedTuple):
    """What one look at the published checkpoint says: what is wrong (one suspicion a cause), and which awaited checkpoints are
    proven to be a part of the published tree."""

    suspicions: list[Suspicion]
    confirmed: list[Checkpoint]


def judge(
    seen: Checkpoint | None, awaited: Sequence[Checkpoint], published: Checkpoint | None,
    relate: Callable[[Checkpoint, Checkpoint], Relation], empty: Checkpoint,
) -> Judgement:  # fmt: skip
    """Compares the published checkpoint (None where it is gone) with those that it must extend: the last one seen, and those
    that were handed in and were larger than what was published then. `empty` is the log's tree of no leaf."""
    earlier = [*([seen] if seen is not None else []), *awaited]
    if published is None:
        largest = max(earlier, key=lambda one: one.size, default=None)
        gone = largest is not None and largest.size > 0
        return Judgement([Suspicion("missing", largest)] if gone else [], [])
    found: dict[Cause, Suspicion] = {}
    confirmed: list[Checkpoint] = []
    for one in earlier or [empty]:
        if one.size > published.size:
            found.setdefault("truncated", Suspicion("older", one, published, handed_in=one in awaited))
            continue
        relation = relate(one, published)
        if relation == "extends":
            confirmed += [one] if one in awaited else []
        else:
            suspicion = Suspicion(_OF_RELATION[relation], one, published, handed_in=one in awaited)
            found.setdefault(suspicion.cause, suspicion)
    return Judgement(list(found.values()), confirmed)


def of_relation(relation: Relation, seen: Checkpoint, other: Checkpoint) -> Suspicion | None:
    """What a checkpoint that was handed in amounts to, which stands so to a tree that was seen; None where they agree."""
    return None if relation == "extends" else Suspicion(_OF_RELATION[relation], seen, other, handed_in=True)


def raised(service: str, suspicion: Suspicion) -> AlertRaised:
    """The event that begins an alert."""
    seen, other = suspicion.seen, suspicion.other
    return AlertRaised(
        alert_id=new_id(), service=service, cause=suspicion.cause, reason=suspicion.reason, handed_in=suspicion.handed_in,
        seen_size=seen.size if seen else None, seen_root=seen.root.hex() if seen else None,
        size=other.size if other else None, root=other.root.hex() if other else None,
    )  # fmt: skip


def cleared(alert_id: str, by: ClearedBy) -> AlertCleared:
    """The event that ends it."""
    return AlertCleared(alert_id=alert_id, cleared_by=by)


def stream_of(service: str, cause: Cause) -> str:
    """The one stream of a cause in a service's log: of several replicas, whoever appends second meets the first one's event."""
    return f"alerts/{uuid.uuid5(_STREAMS, f'{service}/{cause}')}"
