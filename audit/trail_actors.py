"""Who acted, and by which door, as far as envelopes tell.

An envelope names an actor by an opaque id. What they were then (owner, admin, agent, customer, staff) stands in identity's log.
It names the door as well, with the id of the credential that was shown; where it does not, what the event followed from and its
type tell. The address somebody came from is personal data, which travels sealed, in the event that began a session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from audit.sources import Placed, Source
from audit.trail_subjects import Happening
from shared.door import Door, DoorKind
from shared.events import Envelope, decode_envelope
from shared.ids import StoredId
from shared.personal import NotPersonal
from shared.work import SYSTEM_ACTOR

ActorKind = Literal["user", "customer", "staff", "service", "unknown"]
By = Literal["reaction", "own", "portal", "call", DoorKind]
"""How it came in. *reaction*: it followed from another event. *own*: the service's own doing, by a timer, or a call of another
service. A door: what the actor showed (`shared/door.py`). *portal*, *call*: of a customer or a user before they had shown
anything (they were just logging in), or from before events said by which door."""

_ROLES: Final = ("identity.UserAdded", "identity.RoleChanged")
_STAFF: Final = ("identity.StaffAccessRequested", "identity.BreakGlassAsked", "identity.BreakGlassOpened")
_CUSTOMERS: Final = ("identity.PortalSignedIn",)


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Who acted. `id` is None for a service, and for an operator, who has no id in envelopes; `role` is a user's then."""

    kind: ActorKind
    id: StoredId | None
    role: Annotated[str | None, NotPersonal("a word from a fixed list")] = None


class Actors:
    """What identity's log says of some actors."""

    def __init__(self, source: Source, account: str | None, wanted: Iterable[str]) -> None:
        self._wanted = set(wanted) - {SYSTEM_ACTOR}
        self._roles: dict[str, list[tuple[datetime, str]]] = {}
        self._staff: set[str] = set()
        self._customers: set[str] = set()
        if self._wanted and "identity" in source.services:
            for placed in source.envelopes("identity", account=account, types=(*_ROLES, *_STAFF, *_CUSTOMERS)):
                self._note(placed)

    def _note(self, placed: Placed) -> None:
        envelope = decode_envelope(placed.envelope)
        data = envelope.data
        user, staff, person = (str(data.get(name)) for name in ("user_id", "staff_id", "person_id"))
        if envelope.type in _ROLES and user in self._wanted:
            self._roles.setdefault(user, []).append((envelope.time, str(data.get("role"))))
        elif envelope.type in _STAFF and staff in self._wanted:
            self._staff.add(staff)
        elif envelope.type in _CUSTOMERS and person in self._wanted:
            self._customers.add(person)

    def who(self, one: Happening) -> Who:
        """Who did this."""
        actor = one.actor
        if actor == SYSTEM_ACTOR:
            return Who(kind="service", id=None)
        if actor in self._roles:
            held = [role for since, role in sorted(self._roles[actor]) if since <= one.at]
            return Who(kind="user", id=actor, role=held[-1] if held else None)
        if actor in self._staff or (one.envelope.type.endswith(".StaffLookedUp") and one.read is None):
            return Who(kind="staff", id=actor)
        if actor in self._customers or actor in _persons_of(one.envelope):
            return Who(kind="customer", id=actor)  # who acts as a person is that person: `shared/tokens.py`
        return Who(kind="unknown", id=actor)


def door_of(one: Happening) -> Door | None:
    """The door that the actor came by, where that is said."""
    if one.read is not None:
        return one.read.door
    return one.envelope.door or None


def how_it_came(one: Happening, who: Who) -> By:
    """How it came in, as far as the envelope tells."""
    envelope = one.envelope
    if (door := door_of(one)) is not None:
        return door.kind
    if one.read is not None:
        return "call"
    if envelope.causation is not None:
        return "reaction"
    if who.kind == "staff":
        return "staff grant"
    name = envelope.type.partition(".")[2]
    if who.kind == "customer" or name.startswith(("Portal", "SavedSearch", "AppGrant")):
        return "portal"
    return "own" if who.kind == "service" else "call"


def _persons_of(envelope: Envelope) -> Iterator[str]:
    for name, value in envelope.data.items():
        if name == "person_id" and isinstance(value, str):
            yield value
        elif name == "person_ids" and isinstance(value, list):
            yield from value
