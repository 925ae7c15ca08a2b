"""The facts about grants of access for the vendor's staff (mission I7): one stream a grant, `staff-grant/<id>`.

Staff members and users stand in them by opaque ids. The reference, a free text, may name somebody: it is sealed under the
grant's own item, which belongs to the account and to no person.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from shared.events import ERASED, Erased, Event
from shared.ids import StoredId
from shared.personal import Personal
from shared.tokens import StaffPurpose

BreakGlassPurpose = Literal["incident", "legal"]
OpenState = Literal["requested", "asked", "active"]
GrantState = Literal["requested", "asked", "active", "denied", "expired", "ended", "revoked"]
"""*requested*: an owner is to decide. *asked*: break-glass, and a second staff member is to confirm it."""

Minutes = Annotated[int, msgspec.Meta(ge=1)]
Reference = Annotated[
    str | Erased | None,
    Personal(
        category="content", purpose="to tell the account what the access is for", item="grant_id", person=None,
        retention="account",
    ),
]  # fmt: skip


class StaffAccessRequested(Event, frozen=True, kw_only=True):
    """A staff member asks an account's owners to be let in, for a purpose and so many minutes."""

    grant_id: StoredId
    staff_id: StoredId
    purpose: StaffPurpose
    minutes: Minutes
    pending_until: datetime
    reference: Reference = ERASED


class StaffAccessApproved(Event, frozen=True, kw_only=True):
    """An owner lets the staff member in, until then."""

    grant_id: StoredId
    user_id: StoredId
    expires_at: datetime


class StaffAccessDenied(Event, frozen=True, kw_only=True):
    """An owner says no."""

    grant_id: StoredId
    user_id: StoredId


class StaffAccessExpired(Event, frozen=True, kw_only=True):
    """Nobody decided in time, or the time that was granted is over."""

    grant_id: StoredId
    was: OpenState


class StaffAccessEnded(Event, frozen=True, kw_only=True):
    """The staff member needs it no longer, or withdraws what they asked for."""

    grant_id: StoredId
    staff_id: StoredId


class StaffAccessRevoked(Event, frozen=True, kw_only=True):
    """An owner takes it back before its time is over."""

    grant_id: StoredId
    user_id: StoredId


class StaffSessionOpened(Event, frozen=True, kw_only=True):
    """The staff member used the grant: they got a token that is good until then."""

    grant_id: StoredId
    staff_id: StoredId
    expires_at: datetime


class BreakGlassAsked(Event, frozen=True, kw_only=True):
    """A staff member asks for access in an emergency, without an owner's decision. By itself it opens nothing."""

    grant_id: StoredId
    staff_id: StoredId
    purpose: BreakGlassPurpose
    minutes: Minutes
    pending_until: datetime
    reference: Reference = ERASED


class BreakGlassOpened(Event, frozen=True, kw_only=True):
    """A second staff member confirmed: the first is let in until then, and the account's owners are told."""

    grant_id: StoredId
    staff_id: StoredId
    expires_at: datetime


STAFF_TYPES: dict[str, type[Event]] = {
    "StaffAccessRequested": StaffAccessRequested,
    "StaffAccessApproved": StaffAccessApproved,
    "StaffAccessDenied": StaffAccessDenied,
    "StaffAccessExpired": StaffAccessExpired,
    "StaffAccessEnded": StaffAccessEnded,
    "StaffAccessRevoked": StaffAccessRevoked,
    "StaffSessionOpened": StaffSessionOpened,
    "BreakGlassAsked": BreakGlassAsked,
    "BreakGlassOpened": BreakGlassOpened,
}
