"""The invitation: pure state and decisions about becoming a user by a mailed link. No I/O, no keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from services.identity.events import InvitationAccepted, Role, UserInvited
from services.identity.permissions import check, check_grants
from shared.errors import NotFound, Unauthenticated
from shared.events import Event

LIFE: Final = timedelta(days=7)
OPEN_AT_MOST: Final = 500
"""Open invitations of an account."""

State = Literal["open", "accepted", "withdrawn"]


@dataclass(frozen=True)
class Invitation:
    """An invitation as its events make it. `version` is that of its stream."""

    invitation_id: str
    person_id: str
    role: Role
    expires_at: datetime
    state: State
    version: int


def stream_of(invitation_id: str) -> str:
    """The stream of an invitation's events."""
    return f"invitation/{invitation_id}"


def fold(events: Iterable[Event]) -> Invitation | None:
    """The invitation after these events of its stream; None where there is none."""
    invitation: Invitation | None = None
    for event in events:
        if isinstance(event, UserInvited):
            invitation = Invitation(event.invitation_id, event.person_id, event.role, event.expires_at, "open", 1)
            continue
        assert invitation is not None, "a stream begins with UserInvited"
        state: State = "accepted" if isinstance(event, InvitationAccepted) else "withdrawn"
        invitation = replace(invitation, state=state, version=invitation.version + 1)
    return invitation


def check_invites(held: Role | None, role: Role) -> None:
    """Nobody invites to more than they hold. Raises `PermissionRefused`."""
    check_grants(held, "invite a user", role)


def check_withdraws(held: Role | None, invitation: Invitation | None) -> Invitation | None:
    """The invitation to withdraw; None where that was done. Raises `NotFound` where there is none or it was accepted,
    `PermissionRefused`."""
    if invitation is None or invitation.state == "accepted":
        raise NotFound()
    check(held, "withdraw an invitation", to=invitation.role)
    return None if invitation.state == "withdrawn" else invitation


def check_accepts(invitation: Invitation | None, now: datetime) -> Invitation:
    """The invitation, if it can be accepted now. Raises `Unauthenticated`, whatever is wrong: it is said to somebody who
    holds nothing but a link."""
    if invitation is None or invitation.state != "open" or invitation.expires_at <= now:
        raise Unauthenticated("This link is not good any more.")
    return invitation
