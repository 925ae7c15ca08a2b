"""The facts that erasure publishes: the story of a request, by ids only. What identifies the person is sealed, and goes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from shared.erasing import CategoryName, Count, ErasureReceipted, SubjectCut
from shared.events import ERASED, Erased, Event, EventTypes, HexDigest, ServiceName
from shared.ids import StoredId
from shared.personal import InTransit, Personal

State = Literal["erasing", "incomplete", "completed"]

_PURPOSE = "to find everything of the person, and to tell afterwards whether all is gone"


class ErasureRequested(Event, frozen=True, kw_only=True):
    """Somebody asked that a person be erased. Addresses and reason are sealed under an item of the request, which erasure
    cuts itself when the request is completed: until then it must be able to look for them."""

    request_id: StoredId
    person_ids: list[StoredId]
    claim_hash: HexDigest
    addresses: Annotated[
        list[Annotated[str, InTransit(category="e-mail")]] | Erased,
        Personal(category="e-mail", purpose=_PURPOSE, item="request_id", person=None),
    ] = ERASED
    reason: Annotated[
        str | Erased, Personal(category="content", purpose="to account for the request", item="request_id", person=None)
    ] = ERASED


class SubjectErased(Event, frozen=True, kw_only=True):
    """Every participant is to erase these persons, and to give a receipt."""

    request_id: StoredId
    person_ids: list[StoredId]


class ErasureIncomplete(Event, frozen=True, kw_only=True):
    """A look at the participants found something left, or one of them did not answer. It is tried again."""

    request_id: StoredId
    unanswered: list[ServiceName]
    traces: dict[ServiceName, dict[CategoryName, Count]]


class ErasureCompleted(Event, frozen=True, kw_only=True):
    """Every participant gave its receipt, and an independent look at each found nothing. The certificate is signed."""

    request_id: StoredId
    requested_at: datetime
    completed_at: datetime
    certificate: HexDigest
    keys: list[HexDigest]
    """The request's own keys, cut with this event."""


class Names:
    """The full names of the types, for reactions and queries."""

    ERASURE_REQUESTED: ClassVar = "erasure.ErasureRequested"


TYPES = EventTypes(
    "erasure",
    {
        "ErasureRequested": ErasureRequested,
        "SubjectErased": SubjectErased,
        "ErasureIncomplete": ErasureIncomplete,
        "ErasureCompleted": ErasureCompleted,
        "SubjectCut": SubjectCut,
        "ErasureReceipted": ErasureReceipted,
    },
)
