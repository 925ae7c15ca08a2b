"""The facts that erasure publishes: the story of a request, by ids only. What identifies the person is sealed, and goes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from shared.account_end import AccountGone, LeavesGone
from shared.erasing import CategoryName, Count, ErasureReceipted, SubjectCut
from shared.events import ERASED, Envelope, Erased, Event, EventTypes, HexDigest, ServiceName
from shared.ids import StoredId
from shared.legal_holds import KeptItemCut, PersonsHeld, PersonsReleased
from shared.personal import InTransit, Personal
from shared.recovery_events import CutRepeated, RowsLost

State = Literal["held", "erasing", "incomplete", "completed"]
"""*held*: a legal hold keeps the person, so nobody has been told anything yet. It goes on by itself when the hold ends."""
AskedBy = Literal["customer", "user"]
"""The data subject in the portal (mission E2), or somebody who works for the account, whose id the envelope's actor is (E1)."""

Basis = Literal["freedom-of-expression", "legal-obligation", "public-health", "archiving", "legal-claims"]
"""Why a person is kept although their erasure was asked for: the exceptions of GDPR Art. 17(3), in their order."""
HoldEnd = Literal["released", "expired"]

_PURPOSE = "to find everything of the person, and to tell afterwards whether all is gone"


class ErasureRequested(Event, frozen=True, kw_only=True):
    """Somebody asked that a person be erased. Addresses and reason are sealed under an item of the request, which erasure
    cuts itself when the request is completed: until then it must be able to look for them."""

    schema_version = 2

    request_id: StoredId
    person_ids: list[StoredId]
    claim_hash: HexDigest
    asked_by: AskedBy
    """Since version 2: an actor's id alone does not tell whether it is a person's or a user's."""
    addresses: Annotated[
        list[Annotated[str, InTransit(category="e-mail")]] | Erased,
        Personal(category="e-mail", purpose=_PURPOSE, item="request_id", person=None),
    ] = ERASED
    reason: Annotated[
        str | Erased, Personal(category="content", purpose="to account for the request", item="request_id", person=None)
    ] = ERASED


class ErasureHeld(Event, frozen=True, kw_only=True):
    """Legal holds keep a person of the request. It waits: `SubjectErased` follows when the last of them has ended."""

    request_id: StoredId
    hold_ids: list[StoredId]


class AddressesRenewed(Event, frozen=True, kw_only=True):
    """What a request that was held knows of its persons, in the place of what it knew when it was made."""

    request_id: StoredId
    addresses: Annotated[
        list[Annotated[str, InTransit(category="e-mail")]] | Erased,
        Personal(category="e-mail", purpose=_PURPOSE, item="request_id", person=None),
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


class HoldPlaced(Event, frozen=True, kw_only=True):
    """Nothing of these persons may be erased before the hold ends (mission E12). The reference, a free text such as a court's
    file number, is sealed under the hold's own item, which goes with its end."""

    hold_id: StoredId
    person_ids: list[StoredId]
    basis: Basis
    expires_at: datetime
    reference: Annotated[
        str | Erased, Personal(category="content", purpose="to account for the hold", item="hold_id", person=None)
    ] = ERASED


class HoldEnded(Event, frozen=True, kw_only=True):
    """The hold keeps nobody any more: somebody released it, or its time was over."""

    hold_id: StoredId
    person_ids: list[StoredId]
    end: HoldEnd
    keys: list[HexDigest]
    """The hold's own key, cut with this event."""


def _requested_1_to_2(data: dict[str, Any], envelope: Envelope) -> dict[str, Any]:
    """Whoever acted for a person of their own request is that person: no user's id is a person's."""
    asked_by: AskedBy = "customer" if envelope.actor in data["person_ids"] else "user"
    return {**data, "asked_by": asked_by}


class Names:
    """The full names of the types, for reactions and queries."""

    ERASURE_REQUESTED: ClassVar = "erasure.ErasureRequested"
    ADDRESSES_RENEWED: ClassVar = "erasure.AddressesRenewed"
    HOLD_PLACED: ClassVar = "erasure.HoldPlaced"


TYPES = EventTypes(
    "erasure",
    {
        "ErasureRequested": ErasureRequested,
        "ErasureHeld": ErasureHeld,
        "AddressesRenewed": AddressesRenewed,
        "SubjectErased": SubjectErased,
        "ErasureIncomplete": ErasureIncomplete,
        "ErasureCompleted": ErasureCompleted,
        "HoldPlaced": HoldPlaced,
        "HoldEnded": HoldEnded,
        "LeavesGone": LeavesGone,
        "AccountGone": AccountGone,
        "RowsLost": RowsLost,
        "CutRepeated": CutRepeated,
        "PersonsHeld": PersonsHeld,
        "PersonsReleased": PersonsReleased,
        "KeptItemCut": KeptItemCut,
        "SubjectCut": SubjectCut,
        "ErasureReceipted": ErasureReceipted,
    },
    {("erasure.ErasureRequested", 1): _requested_1_to_2},
)
