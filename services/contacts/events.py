"""The facts that contacts publishes. Persons are named by opaque ids; what identifies them travels sealed."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from shared.account_end import AccountGone, LeavesGone
from shared.erasing import ErasureReceipted, SubjectCut
from shared.events import ERASED, Erased, Event, EventTypes
from shared.ids import StoredId
from shared.legal_holds import KeptItemCut, PersonsHeld, PersonsReleased
from shared.personal import Personal
from shared.read_records import ReadsRecorded, reads_1_to_2
from shared.recovery_events import CutRepeated, RowsLost
from shared.resolving import IdentifierKind, Owner
from shared.staff_lookups import StaffLookedUp

Origin = Literal["correspondent", "quoted", "user"]
"""How we know a person: took part in a correspondence, was only named in somebody's text, or works for the account."""

_ANSWERING = "to recognise who writes, and to answer"


class PersonAdded(Event, frozen=True, kw_only=True):
    """Somebody whose personal data is held from now on."""

    person_id: StoredId
    origin: Origin


class PersonNamed(Event, frozen=True, kw_only=True):
    """A person's name became known, or another one."""

    person_id: StoredId
    name: Annotated[
        str | Erased, Personal(category="name", purpose=_ANSWERING, item="person_id", person="person_id")
    ] = ERASED


class PersonRecognised(Event, frozen=True, kw_only=True):
    """Somebody who was only quoted so far has written, or was written to."""

    person_id: StoredId
    origin: Origin


class OrganisationAdded(Event, frozen=True, kw_only=True):
    """An organisation: not a data subject (mission E6), so sealed under an item of the account."""

    organisation_id: StoredId
    name: Annotated[
        str | Erased,
        Personal(category="name", purpose=_ANSWERING, item="organisation_id", person=None, retention="account"),
    ] = ERASED


class IdentifierAdded(Event, frozen=True, kw_only=True):
    """An exact identifier (mail address, phone number), normalised, with the persons that it belongs to."""

    identifier_id: StoredId
    person_ids: list[StoredId]
    kind: IdentifierKind
    owner: Owner
    address: Annotated[
        str | Erased, Personal(category="e-mail", purpose=_ANSWERING, item="identifier_id", person="person_ids")
    ] = ERASED


class IdentifierShared(Event, frozen=True, kw_only=True):
    """A further person uses the identifier. It is cut with its last person."""

    identifier_id: StoredId
    person_id: StoredId


class IdentifierMarkedAsList(Event, frozen=True, kw_only=True):
    """An address turned out to be a mailing list's: nobody's."""

    identifier_id: StoredId


class SpellingAdded(Event, frozen=True, kw_only=True):
    """One way in which an identifier stood in a text or a header, to the letter. A reference names it."""

    identifier_id: StoredId
    spelling_id: StoredId
    person_ids: list[StoredId]
    text: Annotated[
        str | Erased,
        Personal(
            category="e-mail", purpose="to show a text as it was written", item="identifier_id", person="person_ids"
        ),
    ] = ERASED


class Names:
    """The full names of the types, for reactions and queries."""

    PERSON_NAMED: ClassVar = "contacts.PersonNamed"
    IDENTIFIER_ADDED: ClassVar = "contacts.IdentifierAdded"
    SPELLING_ADDED: ClassVar = "contacts.SpellingAdded"
    ORGANISATION_ADDED: ClassVar = "contacts.OrganisationAdded"


TYPES = EventTypes(
    "contacts",
    {
        "PersonAdded": PersonAdded,
        "PersonNamed": PersonNamed,
        "PersonRecognised": PersonRecognised,
        "OrganisationAdded": OrganisationAdded,
        "IdentifierAdded": IdentifierAdded,
        "IdentifierShared": IdentifierShared,
        "IdentifierMarkedAsList": IdentifierMarkedAsList,
        "SpellingAdded": SpellingAdded,
        "ReadsRecorded": ReadsRecorded,
        "LeavesGone": LeavesGone,
        "AccountGone": AccountGone,
        "RowsLost": RowsLost,
        "CutRepeated": CutRepeated,
        "PersonsHeld": PersonsHeld,
        "PersonsReleased": PersonsReleased,
        "KeptItemCut": KeptItemCut,
        "SubjectCut": SubjectCut,
        "ErasureReceipted": ErasureReceipted,
        "StaffLookedUp": StaffLookedUp,
    },
    {("contacts.ReadsRecorded", 1): reads_1_to_2},
)
