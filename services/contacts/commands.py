"""What contacts can be asked: validated arguments and the answers. Personal data passes here in sealed RPC bodies only."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from services.contacts.events import Origin
from shared.ids import Id
from shared.personal import Erased, InTransit
from shared.resolving import Address, Name

Who = Annotated[str, msgspec.Meta(min_length=1, max_length=998), InTransit(category="e-mail")]
"""A person: by id or by address."""


class ListPersons(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of persons in the order in which they became known."""

    query: Annotated[str, msgspec.Meta(max_length=200), InTransit(category="name")] = ""
    include_quoted: bool = False
    after: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


class ShowPerson(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    who: Who


class PersonView(msgspec.Struct, frozen=True, kw_only=True):
    """A person as an agent sees them."""

    person_id: Id
    origin: Origin
    added_at: datetime
    name: Name | Erased | None
    addresses: list[Address | Erased]


class PersonPage(msgspec.Struct, frozen=True, kw_only=True):
    persons: list[PersonView]
    next_after: Id | None


class AddMailbox(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address of the account's own: it is nobody's, and what comes from it is an answer."""

    address: Address


class AddOrganisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000), InTransit(category="name")]


class AddedThing(msgspec.Struct, frozen=True, kw_only=True):
    """The id of what was added, or of what was there already."""

    id: Id


class AddUserPerson(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The person behind a user of the account. With `person_id` an address that nobody has becomes a further one of theirs."""

    address: Address
    name: Name
    person_id: Id | None = None


class FindSubjects(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a request for erasure means: by person id or address, and further addresses of the same human."""

    who: Who
    addresses: Annotated[list[Address], msgspec.Meta(max_length=100)] = []


class PersonOfAddress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose an address is, for somebody who wants to sign in with it. As typed: it need not be one."""

    address: Annotated[str, msgspec.Meta(max_length=998), InTransit(category="e-mail")]


class PersonOfAddressAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The one person whose address it is, and the address as it is known here, which is the one to write to: what was typed
    may only look like it. None of both where it is nobody's, or not one person's alone."""

    person_id: Id | None
    address: Address | None


class SubjectsFound(msgspec.Struct, frozen=True, kw_only=True):
    """The persons, and every identifier that is theirs (also those that they share)."""

    person_ids: list[Id]
    addresses: list[Address]
