"""The facts that audit publishes: alerts about the logs that it watches. Ids, sizes and roots, nothing of anybody."""

from __future__ import annotations

from typing import Literal

from shared.events import Event, EventTypes, HexDigest, ServiceName
from shared.ids import StoredId
from shared.recovery_events import RowsLost

Cause = Literal["forked", "truncated", "unsigned", "changed", "stalled"]
"""forked: two trees that the log's key signed contradict each other. truncated: the published checkpoint is older than one
that was seen, or gone. unsigned: what is published is not signed by the log's key. changed: the tiles are not those of the
signed tree. stalled: committed events do not get into a signed checkpoint."""

Reason = Literal[
    "other-root", "does-not-extend", "older", "missing", "not-signed", "other-tiles", "events-wait", "no-relay-leads"
]
"""What exactly was found; each belongs to one cause (`alert.py`)."""

ClearedBy = Literal["itself", "operator"]
"""Whether what was found is no more, or somebody says that it was looked into."""


class AlertRaised(Event, frozen=True, kw_only=True):
    """Something is wrong with a service's log. `seen_…` is the tree that was seen before, the other one what contradicts it;
    None where there is none. `handed_in`: the contradiction came from somebody outside, with a checkpoint that they kept."""

    alert_id: StoredId
    service: ServiceName
    cause: Cause
    reason: Reason
    handed_in: bool
    seen_size: int | None
    seen_root: HexDigest | None
    size: int | None
    root: HexDigest | None


class AlertCleared(Event, frozen=True, kw_only=True):
    """An alert is over."""

    alert_id: StoredId
    cleared_by: ClearedBy


TYPES = EventTypes("audit", {"AlertRaised": AlertRaised, "AlertCleared": AlertCleared, "RowsLost": RowsLost})
