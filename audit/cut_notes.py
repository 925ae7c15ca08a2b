"""What a log's own events say of cuts: which keys went, and of which persons and items. Pure.

By it prunes are explained and the cut journal is compared. Only what is signed counts: an event that is on its way into the
log, or that stands at another place than it was signed at, waits here until its commitment is known to be signed. Kept are 16
bytes for each cut key, and a few hundred for each person and item.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from shared.events import Envelope

_KEY_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)


class ItemCut(NamedTuple):
    """An event that cut an item: its account, and the ids that it names, one of which is the item's."""

    account: str
    ids: tuple[str, ...]


class CutNotesState(msgspec.Struct, frozen=True, kw_only=True):
    """What was noted, to be kept in a file."""

    keys: bytes
    cut_at: bytes
    persons: list[tuple[str, str, int]]
    items: list[ItemCut]
    waiting: list[tuple[bytes, list[int], int]]


TOLD_IN = "keys"
"""The field of all events that tell of cuts."""


class CutNotes:
    """The cuts of one log. `persons`: (account, person) of each who was cut → the index of the event that says so."""

    def __init__(self, begin: CutNotesState | None = None) -> None:
        self._keys = array("Q", begin.keys if begin else b"")
        self._cut_at = array("q", begin.cut_at if begin else b"")
        self._waiting = {commitment: (names, at) for commitment, names, at in (begin.waiting if begin else ())}
        self.persons = {(account, person): at for account, person, at in (begin.persons if begin else ())}
        self.items: list[ItemCut] = list(begin.items) if begin else []

    def state(self) -> CutNotesState:
        """What was noted so far."""
        return CutNotesState(
            keys=self._keys.tobytes(), cut_at=self._cut_at.tobytes(), items=self.items,
            persons=[(*person, at) for person, at in self.persons.items()],
            waiting=[(commitment, *waits) for commitment, waits in self._waiting.items()],
        )  # fmt: skip

    def note(self, envelope: Envelope, at: int, waits_as: bytes | None = None) -> None:
        """Takes in what an event at an index says of cuts. `waits_as`: its commitment, where it is not known yet whether that
        is signed."""
        keys = envelope.data.get(TOLD_IN)
        if not isinstance(keys, list):
            return
        names = [name for key in keys if isinstance(key, str) and (name := key_of(envelope.account, key)) is not None]
        if waits_as is None:
            self._add(names, at)
        else:
            self._waiting[waits_as] = names, at
        if envelope.type.endswith(".SubjectCut"):
            self.persons.setdefault((envelope.account, str(envelope.data.get("person_id"))), at)
        elif keys or envelope.type.endswith(".CutRepeated"):  # of an item that came after the copy there may be none
            ids = tuple(value for value in envelope.data.values() if isinstance(value, str))
            self.items.append(ItemCut(envelope.account, ids))

    def named(self) -> set[tuple[str, str]]:
        """All persons, and all ids that an item's may be, each with its account."""
        return {*self.persons, *((item.account, one) for item in self.items for one in item.ids)}

    def accept(self, signed: Iterable[bytes]) -> None:
        """Counts what waits under these commitments, which are signed."""
        for commitment in signed:
            self._add(*self._waiting.pop(commitment, ((), 0)))

    def unexplained(self, keys: Iterable[int]) -> set[int]:
        """Those of these keys that no signed event calls cut."""
        explained = array("Q", sorted(self._keys))  # no set: of millions it would be large
        return {key for key in keys if (at := bisect_left(explained, key)) == len(explained) or explained[at] != key}

    def cut_at(self, keys: set[int]) -> dict[int, int]:
        """Key → the index of the first event that says that it was cut, of those of these keys of which one does."""
        found: dict[int, int] = {}
        for key, at in zip(self._keys, self._cut_at, strict=True):
            if key in keys:
                found[key] = min(at, found.get(key, at))
        return found

    def waiting_for(self, keys: set[int]) -> set[bytes]:
        """The commitments under which one of these keys waits."""
        return {commitment for commitment, (names, _) in self._waiting.items() if not keys.isdisjoint(names)}

    def _add(self, names: Sequence[int], at: int) -> None:
        self._keys.extend(names)
        self._cut_at.extend([at] * len(names))


def key_of(account: str, key: str) -> int | None:
    """A key's id (16 hexadecimal digits) bound to its account in 8 bytes; None where it is no such id."""
    if _KEY_ID.fullmatch(key) is None:
        return None
    return bound(account, key)


def bound(account: str, name: str) -> int:
    """Something of an account, bound to it, in 8 bytes."""
    return int.from_bytes(sha256(f"{account}/{name}".encode("utf-8", "surrogatepass")).digest()[:8], "big")
