"""Events → rows of audit. Uses what the envelope says; nothing is sealed here."""

from __future__ import annotations

from collections.abc import Iterator

from services.audit.events import AlertCleared, AlertRaised
from shared.events import Recorded
from shared.work import Statement


def project(recorded: Recorded) -> Iterator[Statement]:
    """The statements that bring the read model up to an event. Table names are without schema: a replay sets another one."""
    envelope, event = recorded.envelope, recorded.event
    match event:
        case AlertRaised():
            yield Statement(
                "INSERT INTO alert (account_id, alert_id, service, cause, reason, handed_in, seen_size, seen_root, size, root,"
                " raised_at, version) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    envelope.account, event.alert_id, event.service, event.cause, event.reason, event.handed_in,
                    event.seen_size, event.seen_root, event.size, event.root, envelope.time, envelope.version,
                ),
            )  # fmt: skip
        case AlertCleared():
            yield Statement(
                "UPDATE alert SET cleared_at = %s, cleared_by = %s, version = %s WHERE account_id = %s AND alert_id = %s",
                (envelope.time, event.cleared_by, envelope.version, envelope.account, event.alert_id),
            )
        case _:
            pass
