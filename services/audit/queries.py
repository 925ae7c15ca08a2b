"""Rows → answers of audit, and what the watch knows at the beginning of a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.audit.commands import (
    AlertPage,
    AlertView,
    ListAlerts,
    ListSeenCheckpoints,
    SeenCheckpoint,
    SeenCheckpointPage,
)
from services.audit.events import Cause
from services.audit.tables import CELL
from shared.checkpoint import Checkpoint
from shared.errors import InvalidArgument, NotFound
from shared.settings import SERVICES
from shared.signed_note import Verifier
from shared.work import Store, Work

_ALERT = (
    "alert_id, service, cause, reason, handed_in, seen_size, seen_root, size, root, raised_at, cleared_at, cleared_by"
)
_SEEN = "size, root, standing, is_evidence, seen_at, note"


@dataclass
class Watched:
    """What is known of one log: its key, the last checkpoint that was followed with its number, those that are awaited, and
    of each cause the stream's version and the alert that is open."""

    origin: str
    key: Verifier | None = None
    seen: Checkpoint | None = None
    number: int = 0
    awaited: list[Checkpoint] = field(default_factory=list)
    versions: dict[Cause, int] = field(default_factory=dict)
    open: dict[Cause, str] = field(default_factory=dict)


def watched(store: Store) -> dict[str, Watched]:
    """What is known of every service's log, of one moment. Read before the files are, which are then no older."""
    found = {service: Watched(f"{store.settings.cell}/{service}") for service in SERVICES}
    with store.work(CELL) as work:
        for service, verifier in work.fetch("SELECT service, verifier FROM log_key WHERE account_id = %s", (CELL,)):
            if service in found:
                found[service].key = Verifier.parse(verifier)
        rows = work.fetch(
            "SELECT s.service, s.size, s.root, s.standing, s.number FROM seen_checkpoint s WHERE s.account_id = %s"
            " AND (s.standing = 'awaited' OR s.number = (SELECT max(number) FROM seen_checkpoint last"
            " WHERE last.account_id = %s AND last.service = s.service)) ORDER BY s.size",
            (CELL, CELL),
        )
        for service, size, root, standing, number in rows:
            if service not in found:
                continue
            checkpoint = Checkpoint(found[service].origin, size, bytes(root))
            if standing == "awaited":
                found[service].awaited.append(checkpoint)
            else:
                found[service].seen, found[service].number = checkpoint, number
        for service, cause, version, open_alert in _standings(work):
            if service in found:
                found[service].versions[cause] = version
                if open_alert is not None:
                    found[service].open[cause] = open_alert
    return found


def _standings(work: Work) -> list[tuple[Any, ...]]:
    return work.fetch(
        "SELECT service, cause, max(version), max(alert_id::text) FILTER (WHERE cleared_at IS NULL) FROM alert"
        " WHERE account_id = %s GROUP BY service, cause",
        (CELL,),
    )


def standing_of(work: Work, service: str, cause: Cause) -> tuple[int, str | None]:
    """The version of a cause's stream in a service's log, and the id of the alert that is open."""
    row = work.fetch_one(
        "SELECT max(version), max(alert_id::text) FILTER (WHERE cleared_at IS NULL) FROM alert"
        " WHERE account_id = %s AND service = %s AND cause = %s",
        (CELL, service, cause),
    )
    assert row is not None
    return row[0] or 0, row[1]


def alert_of(work: Work, alert_id: str) -> tuple[AlertView, int]:
    """An alert and the version of its stream. Raises `NotFound`."""
    row = work.fetch_one(
        f"SELECT {_ALERT}, version FROM alert WHERE account_id = %s AND alert_id = %s", (CELL, alert_id)
    )
    if row is None:
        raise NotFound()
    return _alert_view(row), row[-1]


def list_alerts(store: Store, query: ListAlerts) -> AlertPage:
    """A page of alerts, the newest first."""
    clauses, values = ["account_id = %s"], [CELL]
    if query.only_open:
        clauses.append("cleared_at IS NULL")
    if query.after is not None:
        clauses.append(
            "(raised_at, alert_id) < (SELECT raised_at, alert_id FROM alert WHERE account_id = %s AND alert_id = %s)"
        )
        values += [CELL, query.after]
    with store.work(CELL) as work:
        rows = work.fetch(
            f"SELECT {_ALERT} FROM alert WHERE {' AND '.join(clauses)} ORDER BY raised_at DESC, alert_id DESC LIMIT %s",
            (*values, query.limit + 1),
        )
        (count,) = work.fetch("SELECT count(*) FROM alert WHERE account_id = %s AND cleared_at IS NULL", (CELL,))[0]
    views = [_alert_view(row) for row in rows[: query.limit]]
    return AlertPage(alerts=views, open=count, next_after=views[-1].alert_id if len(rows) > query.limit else None)


def list_seen_checkpoints(store: Store, query: ListSeenCheckpoints) -> SeenCheckpointPage:
    """A page of the checkpoints that are kept of a log, the largest first. Two of one size are never on two pages."""
    check_service(query.service)
    below = 2**62 if query.below is None else query.below
    with store.work(CELL) as work:
        rows = work.fetch(
            f"SELECT {_SEEN} FROM seen_checkpoint WHERE account_id = %s AND service = %s AND size < %s"
            " ORDER BY size DESC, root FETCH FIRST %s ROWS WITH TIES",
            (CELL, query.service, below, query.limit),
        )
    if not rows:
        return SeenCheckpointPage(checkpoints=[], next_below=None)
    views = [_seen_view(query.service, row) for row in rows]
    return SeenCheckpointPage(checkpoints=views, next_below=views[-1].size if len(rows) >= query.limit else None)


def kept_root(work: Work, service: str, size: int) -> bytes | None:
    """The root of the checkpoint of this size that was followed; None where none is kept."""
    row = work.fetch_one(
        "SELECT root FROM seen_checkpoint WHERE account_id = %s AND service = %s AND size = %s AND standing = 'followed'",
        (CELL, service, size),
    )
    return bytes(row[0]) if row is not None else None


def check_service(name: str) -> None:
    """Raises `InvalidArgument` for what is no service's name."""
    if name not in SERVICES:
        raise InvalidArgument(field="service", rule=f"is one of {', '.join(SERVICES)}")


def _alert_view(row: Sequence[Any]) -> AlertView:
    return AlertView(
        alert_id=row[0], service=row[1], cause=row[2], reason=row[3], handed_in=row[4], seen_size=row[5], seen_root=row[6],
        size=row[7], root=row[8], raised_at=row[9], cleared_at=row[10], cleared_by=row[11],
    )  # fmt: skip


def _seen_view(service: str, row: Sequence[Any]) -> SeenCheckpoint:
    return SeenCheckpoint(
        service=service, size=row[0], root=bytes(row[1]).hex(), standing=row[2], is_evidence=row[3], seen_at=row[4],
        note=bytes(row[5]).decode(),
    )  # fmt: skip
