"""One function per command of audit, and what the watch writes down: read, decide (`alert.py`), append. It knows nothing of
nameko.

Nothing here holds a lock over a look. Of several replicas that find the same, the first one's event stands at the version that
the others would append at; they read again, and find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.audit import queries
from services.audit.alert import Suspicion, cleared, of_relation, raised, stream_of
from services.audit.commands import AlertView, ClearAlert, CompareCheckpoint, ComparedCheckpoint, Comparison
from services.audit.events import ClearedBy
from services.audit.published import Published, open_published
from services.audit.queries import Watched
from services.audit.seen import MOST_AWAITED, MOST_CONTRADICTING, outlived
from services.audit.tables import CELL
from shared import logs
from shared.checkpoint import Checkpoint
from shared.database import KeyChanged
from shared.errors import NotFound
from shared.log_consistency import relate
from shared.signed_note import Verifier
from shared.work import SYSTEM_ACTOR, Store, Work

log = logs.get_logger("lethe.audit")


class Evidence(NamedTuple):
    """A signed note that contradicts what was seen."""

    checkpoint: Checkpoint
    note: bytes


def keep_key(store: Store, service: str, verifier: Verifier) -> None:
    """Keeps a log's verifier key as it was first seen; a later one does not take its place."""
    with store.work(CELL) as work:
        work.later(
            "INSERT INTO log_key (account_id, service, verifier, first_seen_at) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (CELL, service, str(verifier), work.now),
        )


def follow(
    store: Store, service: str, checkpoint: Checkpoint, note: bytes, number: int, confirmed: Sequence[Checkpoint]
) -> None:
    """Keeps a checkpoint that extends all that were seen, as number `number`, and lets those go that it outlives. The awaited
    ones that it contains need not be kept any more. Another replica that was first leaves nothing to do."""
    try:
        with store.work(CELL) as work:
            confirm(work, service, confirmed)
            work.later(
                "INSERT INTO seen_checkpoint (account_id, service, size, root, standing, number, note, seen_at)"
                " VALUES (%s, %s, %s, %s, 'followed', %s, %s, %s) ON CONFLICT (account_id, service, size, root)"
                " DO UPDATE SET standing = 'followed', number = excluded.number WHERE seen_checkpoint.number IS NULL",
                (CELL, service, checkpoint.size, checkpoint.root, number, note, work.now),
            )
            if gone := outlived(number):
                work.later(
                    "DELETE FROM seen_checkpoint WHERE account_id = %s AND service = %s AND number = ANY (%s::bigint[])"
                    " AND NOT is_evidence",
                    (CELL, service, gone),
                )
    except KeyChanged:
        pass  # the number is taken: another replica has followed a checkpoint meanwhile, and the next look sees it


def confirm(work: Work, service: str, confirmed: Sequence[Checkpoint]) -> None:
    """Notes that awaited checkpoints are proven to be a part of the published tree. Those that are no evidence go."""
    for one in confirmed:
        place = (CELL, service, one.size, one.root)
        work.later(
            "UPDATE seen_checkpoint SET standing = 'followed' WHERE account_id = %s AND service = %s AND size = %s"
            " AND root = %s AND standing = 'awaited' AND is_evidence",
            place,
        )
        work.later(
            "DELETE FROM seen_checkpoint WHERE account_id = %s AND service = %s AND size = %s AND root = %s"
            " AND standing = 'awaited'",
            place,
        )


def raise_alert(
    store: Store, service: str, suspicion: Suspicion, expected_version: int | None = None, evidence: Evidence | None = None
) -> str | None:
    """Raises an alert unless one of this cause is open; gives the id of the one that is open then.

    `expected_version`: that of the cause's stream when the look began. If somebody has raised or cleared one since, what the
    look found is out of date: nothing is done, and None returned.
    """
    event = raised(service, suspicion)

    def decide(work: Work) -> tuple[str | None, bool]:
        version, is_open = queries.standing_of(work, service, suspicion.cause)
        if is_open is not None:
            _keep_evidence(work, service, suspicion, evidence)
            return is_open, False
        if expected_version is not None and version != expected_version:
            return None, False
        work.append(stream_of(service, suspicion.cause), version, [event])
        _keep_evidence(work, service, suspicion, evidence)
        return event.alert_id, True

    alert_id, is_new = store.run(CELL, decide)
    if is_new:
        log.error(
            "alert raised", origin=f"{store.settings.cell}/{service}", kind=event.cause, reason=event.reason,
            event_id=event.alert_id, size=event.size, root_hash=event.root,
        )  # fmt: skip
    return alert_id


def end_alert(store: Store, alert_id: str, by: ClearedBy, actor: str = SYSTEM_ACTOR) -> AlertView:
    """Clears an alert; done already is done. Raises `NotFound`."""

    def decide(work: Work) -> bool:
        alert, version = queries.alert_of(work, alert_id)
        if alert.cleared_at is None:
            work.append(stream_of(alert.service, alert.cause), version, [cleared(alert_id, by)])
        return alert.cleared_at is None

    if store.run(CELL, decide, actor=actor):
        log.info("alert cleared", event_id=alert_id, reason=by)
    with store.work(CELL) as work:
        return queries.alert_of(work, alert_id)[0]


def clear_alert(store: Store, actor: str, command: ClearAlert) -> AlertView:
    """An operator says that an alert was looked into."""
    return end_alert(store, command.alert_id, "operator", actor)


def compare_checkpoint(store: Store, command: CompareCheckpoint) -> ComparedCheckpoint:
    """Compares a checkpoint that somebody outside has seen with those seen here, and raises an alert where they belong to two
    histories, or where the log was cut short since. What the log's key did not sign says nothing about the log."""
    service, note = command.service, command.note.encode()
    queries.check_service(service)
    known = queries.watched(store)[service]
    if known.key is None:
        raise NotFound("This log has published nothing yet.")
    told = open_published(note, known.key, known.origin)
    if told is None:
        return _answer(service, known, "not signed", None, None)
    published = Published(store.settings, service)
    comparison, suspicion = _compare(store, published, known, told)
    alert_id = None
    if suspicion is not None and comparison == "contradicts":
        alert_id = raise_alert(store, service, suspicion, evidence=Evidence(told, note))
    elif comparison == "ahead":
        _await(store, service, Evidence(told, note))
        alert_id = known.open.get("truncated")
    return _answer(service, known, comparison, told.size, alert_id)


def _compare(store: Store, published: Published, known: Watched, told: Checkpoint) -> tuple[Comparison, Suspicion | None]:
    if known.seen is not None:
        with store.work(CELL) as work:
            root = queries.kept_root(work, published.service, told.size)
        if root is not None and root != told.root:
            kept = Checkpoint(known.origin, told.size, root)
            return "contradicts", Suspicion("other-root", kept, told, handed_in=True)
        if root is not None:
            return "agrees", None
    # The files last: what is published by now contains whatever anybody can have got from us before
    note, key = published.note(), known.key
    newest = open_published(note, key, known.origin) if note is not None and key is not None else None
    larger = [one for one in (known.seen, newest) if one is not None and one.size >= told.size]
    for one in larger:
        suspicion = of_relation(relate(published.read, told, one), one, told)
        if suspicion is None:
            return "agrees", None
        if suspicion.cause == "forked":
            return "contradicts", suspicion
    return ("unknown" if larger else "ahead"), None


def _answer(
    service: str, known: Watched, comparison: Comparison, size: int | None, alert_id: str | None
) -> ComparedCheckpoint:
    seen = known.seen.size if known.seen is not None else None
    return ComparedCheckpoint(service=service, comparison=comparison, size=size, seen_size=seen, alert_id=alert_id)


def _await(store: Store, service: str, evidence: Evidence) -> None:
    """Keeps a checkpoint that is larger than what is published, which has to contain it one day. The watch raises the alert."""
    with store.work(CELL) as work:
        _keep(work, service, evidence, "awaited", MOST_AWAITED, is_evidence=False)


def _keep_evidence(work: Work, service: str, suspicion: Suspicion, evidence: Evidence | None) -> None:
    """Keeps both signed notes of a contradiction: whoever has them can show to anybody that the log's key signed both."""
    if suspicion.seen is not None:
        work.later(
            "UPDATE seen_checkpoint SET is_evidence = true WHERE account_id = %s AND service = %s AND size = %s AND root = %s",
            (CELL, service, suspicion.seen.size, suspicion.seen.root),
        )
    if evidence is not None:
        _keep(work, service, evidence, "contradicting", MOST_CONTRADICTING, is_evidence=True)


def _keep(work: Work, service: str, evidence: Evidence, standing: str, most: int, *, is_evidence: bool) -> None:
    (count,) = work.fetch(
        "SELECT count(*) FROM seen_checkpoint WHERE account_id = %s AND service = %s AND standing = %s",
        (CELL, service, standing),
    )[0]
    if count < most:
        work.later(
            "INSERT INTO seen_checkpoint (account_id, service, size, root, standing, is_evidence, note, seen_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (account_id, service, size, root) DO UPDATE"
            " SET standing = CASE seen_checkpoint.standing WHEN 'followed' THEN 'followed' ELSE excluded.standing END,"
            " is_evidence = seen_checkpoint.is_evidence OR excluded.is_evidence",
            (
                CELL, service, evidence.checkpoint.size, evidence.checkpoint.root, standing, is_evidence, evidence.note,
                work.now,
            ),
        )  # fmt: skip
