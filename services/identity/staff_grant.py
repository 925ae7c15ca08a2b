"""A grant of access for the vendor's staff: pure state and decisions (mission I7; security.md, "vendor staff access").

    requested ──approve──> active ──end──> ended          asked ──a second staff member──> active
        └─deny─> denied       └─revoke─> revoked           (break-glass; the owners are told)

What waits too long or lasts too long is *expired* from that moment on, whether or not the event that says so is written yet:
every decision looks at the state of now. No I/O, no keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from services.identity.events import Role
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
from shared.errors import Conflict, NotFound, PermissionRefused, Refused
from shared.events import Event
from shared.tokens import MAX_TTL, StaffPurpose

PENDING: Final = timedelta(days=4)
BREAK_GLASS_PENDING: Final = timedelta(hours=1)
"""An emergency is confirmed at once or was none."""

MAX_MINUTES: Final = 8 * 60
MAX_BREAK_GLASS_MINUTES: Final = 60
SESSION_LIFE: Final = MAX_TTL["staff"]


@dataclass(frozen=True)
class StaffGrant:
    """A grant as its events make it. `version` is that of its stream; `expires_at` is None while it was never active."""

    grant_id: str
    staff_id: str
    purpose: StaffPurpose
    minutes: int
    state: GrantState
    pending_until: datetime
    expires_at: datetime | None
    version: int

    def state_at(self, now: datetime) -> GrantState:
        """The state, with what is over by now taken as expired."""
        return state_at(self.state, self.pending_until, self.expires_at, now)


def stream_of(grant_id: str) -> str:
    """The stream of a grant's events."""
    return f"staff-grant/{grant_id}"


def state_at(state: GrantState, pending_until: datetime, expires_at: datetime | None, now: datetime) -> GrantState:
    """What a grant in a state counts as at a moment: from its last moment on it is expired."""
    if state in ("requested", "asked") and now >= pending_until:
        return "expired"
    if state == "active" and (expires_at is None or now >= expires_at):
        return "expired"
    return state


def fold(events: Iterable[Event]) -> StaffGrant | None:
    """The grant after these events of its stream; None where there is none."""
    grant: StaffGrant | None = None
    for event in events:
        if isinstance(event, (StaffAccessRequested, BreakGlassAsked)):
            grant = StaffGrant(
                event.grant_id, event.staff_id, event.purpose, event.minutes,
                "requested" if isinstance(event, StaffAccessRequested) else "asked", event.pending_until, None, 1,
            )  # fmt: skip
            continue
        assert grant is not None, "a stream begins with what was asked for"
        grant = replace(_after(grant, event), version=grant.version + 1)
    return grant


def _after(grant: StaffGrant, event: Event) -> StaffGrant:
    match event:
        case StaffAccessApproved() | BreakGlassOpened():
            return replace(grant, state="active", expires_at=event.expires_at)
        case StaffAccessDenied():
            return replace(grant, state="denied")
        case StaffAccessExpired():
            return replace(grant, state="expired")
        case StaffAccessEnded():
            return replace(grant, state="ended")
        case StaffAccessRevoked():
            return replace(grant, state="revoked")
        case _:
            return grant


def request(
    grant_id: str, staff_id: str, purpose: StaffPurpose, minutes: int, reference: str | None, now: datetime
) -> StaffAccessRequested:
    """Asks the owners; they have four days."""
    return StaffAccessRequested(
        grant_id=grant_id, staff_id=staff_id, purpose=purpose, minutes=min(minutes, MAX_MINUTES),
        pending_until=now + PENDING, reference=reference,
    )  # fmt: skip


def approve(grant: StaffGrant | None, user_id: str, held: Role | None, now: datetime) -> StaffAccessApproved:
    """Lets the staff member in, from now on. `held`: the role that the user has now.

    Raises `NotFound`, `PermissionRefused`, `Refused` where somebody would approve what they asked for, `Conflict` for what is
    not pending (any more).
    """
    grant = _for_owner(grant, held)
    if grant.staff_id == user_id:
        raise Refused("Nobody approves an access that they asked for.", reason="requester and approver are one")
    _check_state(grant, now, "requested")
    return StaffAccessApproved(
        grant_id=grant.grant_id, user_id=user_id, expires_at=now + timedelta(minutes=min(grant.minutes, MAX_MINUTES))
    )


def deny(grant: StaffGrant | None, user_id: str, held: Role | None, now: datetime) -> Sequence[Event]:
    """Says no. Twice is once. Raises as `approve` does."""
    grant = _for_owner(grant, held)
    if grant.state == "denied":
        return []
    _check_state(grant, now, "requested")
    return [StaffAccessDenied(grant_id=grant.grant_id, user_id=user_id)]


def revoke(grant: StaffGrant | None, user_id: str, held: Role | None, now: datetime) -> Sequence[Event]:
    """Takes an active access back, break-glass as well. Twice is once. Raises as `approve` does."""
    grant = _for_owner(grant, held)
    if grant.state == "revoked":
        return []
    _check_state(grant, now, "active")
    return [StaffAccessRevoked(grant_id=grant.grant_id, user_id=user_id)]


def end(grant: StaffGrant | None, staff_id: str, now: datetime) -> Sequence[Event]:
    """Gives an access back, or withdraws what was asked for. Twice is once.

    Raises `NotFound`, `PermissionRefused`, `Conflict`.
    """
    grant = _for_its_holder(grant, staff_id)
    if grant.state == "ended":
        return []
    _check_state(grant, now, "requested", "asked", "active")
    return [StaffAccessEnded(grant_id=grant.grant_id, staff_id=staff_id)]


def expire(grant: StaffGrant | None, now: datetime) -> Sequence[Event]:
    """Notes that a grant's time is over, where it is."""
    if grant is None or grant.state == "expired" or grant.state_at(now) != "expired":
        return []
    assert grant.state in ("requested", "asked", "active")
    return [StaffAccessExpired(grant_id=grant.grant_id, was=grant.state)]


def open_session(grant: StaffGrant | None, staff_id: str, now: datetime) -> StaffSessionOpened:
    """A use of an active grant by its holder: for a minute, and never past the grant's end.

    Raises `NotFound`, `PermissionRefused` for another staff member, `Conflict` where the grant is not active now.
    """
    grant = _for_its_holder(grant, staff_id)
    _check_state(grant, now, "active")
    assert grant.expires_at is not None
    return StaffSessionOpened(
        grant_id=grant.grant_id, staff_id=staff_id, expires_at=min(now + SESSION_LIFE, grant.expires_at)
    )


def ask_break_glass(
    grant_id: str, staff_id: str, purpose: StaffPurpose, minutes: int, reference: str | None, now: datetime
) -> BreakGlassAsked:
    """The first of two people. Opens nothing."""
    if purpose not in ("incident", "legal"):
        raise Refused("This is no purpose for which nobody is asked.", reason="not an emergency")
    return BreakGlassAsked(
        grant_id=grant_id, staff_id=staff_id, purpose=purpose, minutes=min(minutes, MAX_BREAK_GLASS_MINUTES),
        pending_until=now + BREAK_GLASS_PENDING, reference=reference,
    )  # fmt: skip


def confirm_break_glass(grant: StaffGrant | None, staff_id: str, now: datetime) -> BreakGlassOpened:
    """The second of two people. The first one is let in at once, for an hour at most.

    Raises `NotFound`, `Refused` where it is one person, `Conflict` for what is not asked for (any more).
    """
    if grant is None:
        raise NotFound()
    if grant.staff_id == staff_id:
        raise Refused("Break-glass takes two people.", reason="asked and confirmed by one")
    _check_state(grant, now, "asked")
    return BreakGlassOpened(
        grant_id=grant.grant_id, staff_id=staff_id,
        expires_at=now + timedelta(minutes=min(grant.minutes, MAX_BREAK_GLASS_MINUTES)),
    )  # fmt: skip


def _for_owner(grant: StaffGrant | None, held: Role | None) -> StaffGrant:
    """The account's owners alone decide who sees its data: what their row says now, not what their token says."""
    if held != "owner":
        raise PermissionRefused()
    if grant is None:
        raise NotFound()
    return grant


def _for_its_holder(grant: StaffGrant | None, staff_id: str) -> StaffGrant:
    if grant is None:
        raise NotFound()
    if grant.staff_id != staff_id:
        raise PermissionRefused("A grant is its requester's only.")
    return grant


def _check_state(grant: StaffGrant, now: datetime, *allowed: GrantState) -> None:
    state = grant.state_at(now)
    if state not in allowed:
        raise Conflict(f"The access is {state}.", state=state)
