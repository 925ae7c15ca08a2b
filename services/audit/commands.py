"""What audit can be asked: validated arguments and the answers. All of it is the cell's, none of it an account's."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from services.audit.events import Cause, ClearedBy, Reason
from shared.events import HexDigest, ServiceName
from shared.ids import Id
from shared.personal import NotPersonal

MOST_NOTE_BYTES = 16_384
"""A checkpoint has three lines and a signature, or some when it was witnessed: a few hundred bytes."""

WatchedService = Annotated[str, msgspec.Meta(min_length=1, max_length=40), NotPersonal("the name of a service")]
SignedNote = Annotated[str, NotPersonal("a signed checkpoint: the name of a log, a number and hashes")]
Standing = Literal["followed", "awaited", "contradicting"]
"""followed: published, and it extends all that was followed before. awaited: somebody outside has it, and it is larger than
what is published. contradicting: it bears the log's signature and is no part of what was seen."""

Comparison = Literal["agrees", "contradicts", "ahead", "not signed", "unknown"]
"""agrees: a part of what was seen, or what was seen is a part of it. contradicts: two signed trees of different histories.
ahead: larger than what is published, so the log was cut short. not signed: not by this log's key. unknown: the tiles that would
tell are missing or changed."""


class ListAlerts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of alerts, the newest first. `only_open`: those that are not over."""

    only_open: bool = True
    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """An alert: which log, what is wrong with it, the tree seen before and the one that contradicts it."""

    alert_id: Id
    service: ServiceName
    cause: Cause
    reason: Reason
    handed_in: bool
    seen_size: int | None
    seen_root: HexDigest | None
    size: int | None
    root: HexDigest | None
    raised_at: datetime
    cleared_at: datetime | None
    cleared_by: ClearedBy | None


class AlertPage(msgspec.Struct, frozen=True, kw_only=True):
    alerts: list[AlertView]
    open: int
    """How many alerts are open in all."""
    next_after: Id | None


class ClearAlert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says that an alert was looked into. If its cause is still there, it is raised anew."""

    alert_id: Id


class ListSeenCheckpoints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of the checkpoints that are kept of one log, the largest first; `below`: smaller ones than this."""

    service: WatchedService
    below: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class SeenCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint that was seen, with the signed note itself."""

    service: ServiceName
    size: int
    root: HexDigest
    standing: Standing
    is_evidence: bool
    """Whether an alert is about it; then it is kept for good."""
    seen_at: datetime
    note: SignedNote


class SeenCheckpointPage(msgspec.Struct, frozen=True, kw_only=True):
    checkpoints: list[SeenCheckpoint]
    next_below: int | None


class CompareCheckpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hands in a checkpoint of a service's log that somebody outside has seen."""

    service: WatchedService
    note: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_NOTE_BYTES), NotPersonal("a signed checkpoint")]


class ComparedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands to what was seen here, and the alert that it led to."""

    service: ServiceName
    comparison: Comparison
    size: int | None
    """Of the checkpoint that was handed in; None where it is not this log's."""
    seen_size: int | None
    """Of the newest checkpoint that was seen here."""
    alert_id: Id | None
