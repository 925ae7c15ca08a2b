"""Events about staff access → rows. Uses what the envelope says and the sealed bytes as they are; opens nothing."""

from __future__ import annotations

from collections.abc import Iterator

from services.identity.staff_events import (
    BreakGlassAsked,
    BreakGlassOpened,
    GrantState,
    StaffAccessApproved,
    StaffAccessDenied,
    StaffAccessEnded,
    StaffAccessExpired,
    StaffAccessRequested,
    StaffAccessRevoked,
    StaffSessionOpened,
)
from shared.events import Recorded
from shared.work import Statement


def project_staff(recorded: Recorded) -> Iterator[Statement]:
    """The statements for a grant's events; none for others. Table names are without schema: a replay sets another one."""
    envelope, event = recorded.envelope, recorded.event
    match event:
        case StaffAccessRequested() | BreakGlassAsked():
            basis, state = ("consent", "requested") if isinstance(event, StaffAccessRequested) else ("break-glass", "asked")
            yield Statement(
                "INSERT INTO staff_grant (account_id, grant_id, staff_id, basis, purpose, state, minutes, requested_at,"
                " pending_until, sessions, reference, event_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 0, %s, %s)",
                (
                    envelope.account, event.grant_id, event.staff_id, basis, event.purpose, state, event.minutes,
                    envelope.time, event.pending_until, recorded.sealed.get("reference"), envelope.event,
                ),
            )  # fmt: skip
        case StaffAccessApproved() | BreakGlassOpened():
            decided_by = event.user_id if isinstance(event, StaffAccessApproved) else event.staff_id
            yield Statement(
                "UPDATE staff_grant SET state = 'active', decided_by = %s, decided_at = %s, expires_at = %s"
                " WHERE account_id = %s AND grant_id = %s",
                (decided_by, envelope.time, event.expires_at, envelope.account, event.grant_id),
            )
        case StaffAccessDenied():
            yield Statement(
                "UPDATE staff_grant SET state = 'denied', decided_by = %s, decided_at = %s, closed_at = %s"
                " WHERE account_id = %s AND grant_id = %s",
                (event.user_id, envelope.time, envelope.time, envelope.account, event.grant_id),
            )
        case StaffAccessExpired():
            yield _closed(recorded, event.grant_id, "expired")
        case StaffAccessEnded():
            yield _closed(recorded, event.grant_id, "ended")
        case StaffAccessRevoked():
            yield _closed(recorded, event.grant_id, "revoked")
        case StaffSessionOpened():
            yield Statement(
                "UPDATE staff_grant SET sessions = sessions + 1 WHERE account_id = %s AND grant_id = %s",
                (envelope.account, event.grant_id),
            )
        case _:
            pass


def _closed(recorded: Recorded, grant_id: str, state: GrantState) -> Statement:
    return Statement(
        "UPDATE staff_grant SET state = %s, closed_at = %s WHERE account_id = %s AND grant_id = %s",
        (state, recorded.envelope.time, recorded.envelope.account, grant_id),
    )
