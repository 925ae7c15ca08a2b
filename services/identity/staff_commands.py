"""What identity can be asked about access for the vendor's staff (mission I7): validated arguments and the answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from services.identity.staff_events import BreakGlassPurpose, GrantState
from services.identity.staff_grant import MAX_BREAK_GLASS_MINUTES, MAX_MINUTES
from shared.ids import Id
from shared.personal import Erased, InTransit
from shared.tokens import StaffPurpose

Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=200), InTransit(category="content")]
"""A case number or a few words. It holds no mail address and no phone number: whom it is about is looked up under the grant."""

Basis = Literal["consent", "break-glass"]


class RequestStaffAccess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks the account's owners to be let in, for so many minutes from their approval (8 hours at most)."""

    purpose: StaffPurpose
    minutes: Annotated[int, msgspec.Meta(ge=1, le=MAX_MINUTES)] = 60
    reference: Reference | None = None


class BreakGlass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for access in an emergency, without an owner's decision, for an hour at most. A second staff member confirms it."""

    purpose: BreakGlassPurpose
    minutes: Annotated[int, msgspec.Meta(ge=1, le=MAX_BREAK_GLASS_MINUTES)] = MAX_BREAK_GLASS_MINUTES
    reference: Reference | None = None


class OfStaffGrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names the grant that is decided on, ended, used or looked at."""

    grant_id: Id


class ListStaffGrants(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of grants, the newest first. `only_open`: those that wait for a decision or are active."""

    only_open: bool = False
    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class StaffGrantView(msgspec.Struct, frozen=True, kw_only=True):
    """A grant. `reference` is None where there is none, or where it is not the asker's to read."""

    grant_id: Id
    staff_id: Id
    basis: Basis
    purpose: StaffPurpose
    reference: Annotated[str | Erased | None, InTransit(category="content")]
    state: GrantState
    minutes: int
    requested_at: datetime
    pending_until: datetime
    decided_by: Id | None
    """The owner who approved or denied, or the staff member who confirmed."""
    decided_at: datetime | None
    expires_at: datetime | None
    closed_at: datetime | None
    sessions: int
    """How often the grant was used to get a token."""


class StaffGrantPage(msgspec.Struct, frozen=True, kw_only=True):
    grants: list[StaffGrantView]
    next_after: Id | None


class StaffSession(msgspec.Struct, frozen=True, kw_only=True):
    """A token that reads, for a minute. It is shown here and kept nowhere."""

    token: Annotated[str, InTransit(category="credential")]
    grant_id: Id
    expires_at: datetime
