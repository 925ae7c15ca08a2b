"""What erasure can be asked: validated arguments and the answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from services.erasure.events import AskedBy, Basis, HoldEnd, State
from shared.erasing import CategoryName, Count, Retained
from shared.events import ServiceName
from shared.ids import Id
from shared.personal import InTransit, NotPersonal

Who = Annotated[str, msgspec.Meta(min_length=1, max_length=998), InTransit(category="e-mail")]
Address = Annotated[str, msgspec.Meta(min_length=3, max_length=998), InTransit(category="e-mail")]
Article = Annotated[str, NotPersonal("an article of the GDPR, in words from a fixed list")]


class RequestErasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Erase a person: named by id or by an exact identifier, with further addresses of the same human."""

    who: Who
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000), InTransit(category="content")]
    addresses: Annotated[list[Address], msgspec.Meta(max_length=100)] = []


class RequestOwnErasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer asks for their own erasure (mission E2). They need not say why."""

    reason: Annotated[str, msgspec.Meta(max_length=2_000), InTransit(category="content")] = ""


class ListOwnErasures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer's own requests, as long as they have a session."""


class ClaimErasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of a request, for who has its claim code and nothing else any more."""

    request_id: Id
    claim_code: Annotated[str, msgspec.Meta(min_length=1, max_length=100), NotPersonal("a random code")]


class HoldInForce(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a person: on which basis, and at the latest until when. Why in particular is for those who placed it."""

    hold_id: Id
    basis: Basis
    article: Article
    expires_at: datetime


class ClaimedErasure(msgspec.Struct, frozen=True, kw_only=True):
    """Where the request stands, and the signed certificate once it is completed."""

    request_id: Id
    state: State
    requested_at: datetime
    completed_at: datetime | None
    document: Annotated[bytes, NotPersonal("a certificate holds no personal data")] | None
    holds: list[HoldInForce]
    """What the request waits for, where its state is `held`."""


class RequestedErasure(msgspec.Struct, frozen=True, kw_only=True):
    """The claim code fetches the certificate when no session or address is left. It is shown once; only a hash is kept."""

    request_id: Id
    person_ids: list[Id]
    claim_code: Annotated[str, NotPersonal("a random code")] | None


class PreviewErasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an erasure would remove and what not (mission E12). Changes nothing."""

    who: Who
    addresses: Annotated[list[Address], msgspec.Meta(max_length=100)] = []


class PreviewOfService(msgspec.Struct, frozen=True, kw_only=True):
    service: ServiceName
    counts: dict[CategoryName, Count]
    retained: list[Retained]


class PreviewedErasure(msgspec.Struct, frozen=True, kw_only=True):
    """`holds`: those in force. As long as there are any a request would wait, and nothing be erased."""

    person_ids: list[Id]
    services: list[PreviewOfService]
    holds: list[HoldInForce]


class ShowErasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    request_id: Id


class ParticipantView(msgspec.Struct, frozen=True, kw_only=True):
    """Where one participant stands (mission E8)."""

    service: ServiceName
    outcome: Literal["erased", "retained", "nothing held", "pending", "failed"]
    counts: dict[CategoryName, Count]
    retained: list[Retained]
    traces: dict[CategoryName, Count]


class ErasureView(msgspec.Struct, frozen=True, kw_only=True):
    request_id: Id
    state: State
    asked_by: AskedBy
    requested_at: datetime
    completed_at: datetime | None
    person_ids: list[Id]
    participants: list[ParticipantView]
    holds: list[HoldInForce]
    """What the request waits for, where its state is `held`."""


class ListErasures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of requests, the newest first."""

    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


class ErasureList(msgspec.Struct, frozen=True, kw_only=True):
    requests: list[ErasureView]
    next_after: Id | None


class PlaceHold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keep a person from being erased (GDPR Art. 17(3), mission E12): on which basis, for which matter, and until when."""

    who: Who
    basis: Basis
    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=500), InTransit(category="content")]
    """The matter: a file number, for example. No mail address and no phone number."""
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)]
    """In the future, at most ten years ahead."""
    addresses: Annotated[list[Address], msgspec.Meta(max_length=100)] = []


class PlacedHold(msgspec.Struct, frozen=True, kw_only=True):
    hold_id: Id
    person_ids: list[Id]


class OfHold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    hold_id: Id


class ListHolds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of holds, the newest first: those in force, or with `include_ended` all that ever were."""

    include_ended: bool = False
    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


class HoldView(msgspec.Struct, frozen=True, kw_only=True):
    """A hold. Its reference is gone once it has ended. `requests` wait for it: requests for erasure in the state `held`."""

    hold_id: Id
    person_ids: list[Id]
    basis: Basis
    article: Article
    reference: Annotated[str, InTransit(category="content")] | None
    placed_at: datetime
    placed_by: Id
    expires_at: datetime
    ended_at: datetime | None
    end: HoldEnd | None
    requests: list[Id]
    noted_by: list[ServiceName]
    """The participants that cut nothing of the persons from now on: all of them, a moment after it was placed."""


class HoldList(msgspec.Struct, frozen=True, kw_only=True):
    holds: list[HoldView]
    next_after: Id | None


class CertificateDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The signed file, as it was made."""

    document: Annotated[bytes, NotPersonal("a certificate holds no personal data")]


class AccountKept(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps an account from ending: holds in force, and requests that are not completed."""

    holds: Count
    erasures: Count


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing more to say."""
