"""What a log's own events say of legal holds: which person was held, from which index to which. Pure.

By it each cut is judged: nothing of a person is cut between the event that notes a hold and the one that notes its end. The two
and every cut happen under the person's lock, so the order of the log is the order in which they took effect.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from audit.cut_notes import bound
from shared.events import Envelope

IN_FORCE = 2**62
"""The end of a hold that has not ended: beyond every index. Also the place of an event that has no index yet."""


class Held(NamedTuple):
    """A person (account and id bound in 8 bytes), and the indices of the events by which a hold began and ended."""

    person: int
    begun: int
    ended: int


class HoldNotesState(msgspec.Struct, frozen=True, kw_only=True):
    """What was noted, to be kept in a file."""

    begun: list[tuple[str, str, list[int], int]]
    ended: list[Held]
    released: list[tuple[str, str, int]]
    decided: list[tuple[str, str]]


TOLD_BY = frozenset({"PersonsHeld", "PersonsReleased", "HoldEnded"})
"""The types of which something is noted, whichever service they are of."""


class HoldNotes:
    """The holds of one log. They are few; a few hundred bytes are kept for each. `released`: account, hold and index of each
    end that was noted; `decided`: account and hold of each that was ended by the service whose log it is."""

    def __init__(self, begin: HoldNotesState | None = None) -> None:
        self._begun = {(account, hold): (persons, at) for account, hold, persons, at in (begin.begun if begin else ())}
        self._ended: list[Held] = list(begin.ended) if begin else []
        self.released: list[tuple[str, str, int]] = list(begin.released) if begin else []
        self.decided: list[tuple[str, str]] = list(begin.decided) if begin else []

    def state(self) -> HoldNotesState:
        """What was noted so far."""
        return HoldNotesState(
            begun=[(*key, persons, at) for key, (persons, at) in self._begun.items()], ended=self._ended,
            released=self.released, decided=self.decided,
        )  # fmt: skip

    def note(self, envelope: Envelope, at: int) -> None:
        """Takes in what an event at an index says of a hold."""
        key = envelope.account, str(envelope.data.get("hold_id"))
        if envelope.type.endswith(".PersonsHeld"):
            named = envelope.data.get("person_ids")
            ids = [one for one in named if isinstance(one, str)] if isinstance(named, list) else []
            persons = [bound(envelope.account, one) for one in ids]
            self._begun.setdefault(key, (persons, at))
        elif envelope.type.endswith(".PersonsReleased"):
            persons, begun = self._begun.pop(key, ([], at))
            self._ended += [Held(person, begun, at) for person in persons]
            self.released.append((*key, at))
        elif envelope.type == "erasure.HoldEnded":
            self.decided.append(key)

    def by_person(self) -> dict[int, list[Held]]:
        """All holds, those in force too, by person."""
        found: dict[int, list[Held]] = {}
        in_force = (Held(person, begun, IN_FORCE) for persons, begun in self._begun.values() for person in persons)
        for held in (*self._ended, *in_force):
            found.setdefault(held.person, []).append(held)
        return found


def met_by(holds: list[Held], at: int) -> Held | None:
    """The hold that was in force at an index; None where none was."""
    return next((held for held in holds if held.begun < at < held.ended), None)
