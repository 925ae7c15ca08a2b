"""The person and their identifiers: pure decisions about what becomes known from a text. No I/O, no keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from services.contacts.events import (
    IdentifierAdded,
    IdentifierMarkedAsList,
    IdentifierShared,
    Origin,
    PersonAdded,
    PersonNamed,
    PersonRecognised,
    SpellingAdded,
)
from shared.events import Event
from shared.resolving import IdentifierKind, IdentifierSeen, Owner, TextSeen

Key = tuple[IdentifierKind, str]
"""(kind, normalised address): what makes two occurrences the same identifier."""

ERASED_SENDER = "the sender was erased, and this is from before"
ERASED_RECIPIENT = "who this was written to was erased, and this is from before"
ERASED_MAIL = "this mail belonged to a person who was erased"


@dataclass
class KnownIdentifier:
    """An identifier as it stands: in the read model, or added by this decision."""

    identifier_id: str
    owner: Owner
    person_ids: list[str]
    spellings: dict[str, str] = field(default_factory=dict)
    origin: Origin | None = None
    """Of its person, where that is one only."""
    is_named: bool = False


@dataclass
class Suppressed:
    """What the suppression list says of a batch of texts."""

    mails: list[bool]
    """By position: a mail that belonged to an erased person, known by its Message-ID or content."""
    days: dict[Key, date]
    """The last day on which a person with this identifier was erased."""


def is_from_before(text: TextSeen, day: date) -> bool:
    """Whether a text counts as older than an erasure on `day`: the list keeps the day only, so that day is before; a text
    without any date counts as old (architecture, "Erasure", 6)."""
    return text.earliest is None or text.earliest.date() <= day


def parties(text: TextSeen, known: Mapping[Key, KnownIdentifier]) -> list[str]:
    """The addresses with which a text's content may be on the suppression list: its senders'; and its recipients', where
    the account itself wrote it. An answer to somebody goes with them, and must not come back without them."""
    roles = ("sender", "recipient") if is_answer(text, known) else ("sender",)
    return [seen.address for role in roles for seen in text.identifiers if seen.role == role]


def is_answer(text: TextSeen, known: Mapping[Key, KnownIdentifier]) -> bool:
    """Whether the account itself wrote a text."""
    return any(seen.role == "sender" and _owner(seen, known) == "account" for seen in text.identifiers)


def refusal(text: TextSeen, position: int, suppressed: Suppressed, known: Mapping[Key, KnownIdentifier]) -> str | None:
    """Why a text is not taken in at all, or None. An answer from before belongs to those whom it went to: it is refused where
    none of them is left."""
    if suppressed.mails[position]:
        return ERASED_MAIL

    def is_gone(seen: IdentifierSeen) -> bool:
        day = suppressed.days.get((seen.kind, seen.address))
        return day is not None and is_from_before(text, day)

    if any(seen.role == "sender" and is_gone(seen) for seen in text.identifiers):
        return ERASED_SENDER
    went_to = [
        seen for seen in text.identifiers
        if seen.role == "recipient" and not seen.is_list and _owner(seen, known) not in ("list", "account")
    ]  # fmt: skip
    if is_answer(text, known) and went_to and all(map(is_gone, went_to)):
        return ERASED_RECIPIENT
    return None


def _owner(seen: IdentifierSeen, known: Mapping[Key, KnownIdentifier]) -> Owner | None:
    one = known.get((seen.kind, seen.address))
    return one.owner if one is not None else None


def is_erased_here(text: TextSeen, seen: IdentifierSeen, known: KnownIdentifier | None, suppressed: Suppressed) -> bool:
    """Whether an identifier stays erased in this text: everywhere in old texts, and in new ones too unless its human has
    come back, which takes a new message of their own."""
    day = suppressed.days.get((seen.kind, seen.address))
    if day is None or seen.role == "sender":
        return False
    return known is None or is_from_before(text, day)


class Resolution:
    """Gathers what a batch of texts adds: one object a batch, filled text by text, then asked for its events."""

    def __init__(self, known: dict[Key, KnownIdentifier], new_id: Callable[[], str], now: datetime) -> None:
        self.known = known
        self.events: dict[str, list[Event]] = {}
        self.new_tokens: list[tuple[Key, str]] = []
        self.new_spellings: list[tuple[Key, str, str, str]] = []
        self.new_names: list[tuple[str, str]] = []
        self.shared: list[tuple[str, str]] = []
        self._new_id = new_id
        self._now = now

    def see(self, seen: IdentifierSeen) -> KnownIdentifier:
        """The identifier of one occurrence; adds it, its person, name and spellings where they are new."""
        known = self.known.get((seen.kind, seen.address))
        if known is None:
            known = self._add(seen)
        elif seen.is_list and known.owner == "person" and known.origin == "quoted":
            # headers can be forged: they never take an address away from somebody who has corresponded
            known.owner = "list"
            self._note(f"identifier/{known.identifier_id}", IdentifierMarkedAsList(identifier_id=known.identifier_id))
        elif known.owner == "list" and seen.role == "sender" and not seen.is_list:
            self._claim(known)
        if known.owner == "person" and len(known.person_ids) == 1:
            self._learn(known, seen)
        self._spell(known, seen)
        return known

    def _add(self, seen: IdentifierSeen) -> KnownIdentifier:
        owner: Owner = "list" if seen.is_list else "person"
        persons = [self._new_id()] if owner == "person" else []
        origin: Origin = "quoted" if seen.role == "quoted" else "correspondent"
        known = KnownIdentifier(self._new_id(), owner, persons, {}, origin)
        self.known[seen.kind, seen.address] = known
        for person in persons:
            self._note(f"person/{person}", PersonAdded(person_id=person, origin=origin))
        self._note(
            f"identifier/{known.identifier_id}",
            IdentifierAdded(
                identifier_id=known.identifier_id, person_ids=persons, kind=seen.kind, owner=owner, address=seen.address
            ),
        )
        self.new_tokens.append(((seen.kind, seen.address), known.identifier_id))
        return known

    def _claim(self, known: KnownIdentifier) -> None:
        """Somebody writes from an address that was taken for a list's: it is theirs from now on. Whoever it belonged to before
        it was taken for one (a person quoted then) is that somebody: two persons with one address could not both be erased."""
        known.owner = "person"
        if not known.person_ids:
            person = self._new_id()
            known.person_ids, known.origin, known.is_named = [person], "correspondent", False
            self._note(f"person/{person}", PersonAdded(person_id=person, origin="correspondent"))
            self.shared.append((known.identifier_id, person))
        self._note(
            f"identifier/{known.identifier_id}",
            IdentifierShared(identifier_id=known.identifier_id, person_id=known.person_ids[0]),
        )

    def _learn(self, known: KnownIdentifier, seen: IdentifierSeen) -> None:
        (person,) = known.person_ids
        if known.origin == "quoted" and seen.role != "quoted":
            known.origin = "correspondent"
            self._note(f"person/{person}", PersonRecognised(person_id=person, origin="correspondent"))
        if seen.name and not known.is_named:
            known.is_named = True
            self._note(f"person/{person}", PersonNamed(person_id=person, name=seen.name))
            self.new_names.append((person, seen.name))

    def _spell(self, known: KnownIdentifier, seen: IdentifierSeen) -> None:
        for text in seen.spellings:
            # under an identifier of nobody a name would outlive whom it names
            stored = text if known.owner == "person" else without_name(text)
            if stored not in known.spellings:
                spelling = self._new_id()
                known.spellings[stored] = spelling
                persons = known.person_ids if known.owner == "person" else []
                self._note(
                    f"identifier/{known.identifier_id}",
                    SpellingAdded(
                        identifier_id=known.identifier_id, spelling_id=spelling, person_ids=persons, text=stored
                    ),
                )
                self.new_spellings.append(((seen.kind, seen.address), stored, spelling, known.identifier_id))
            known.spellings.setdefault(text, known.spellings[stored])

    def _note(self, stream: str, event: Event) -> None:
        self.events.setdefault(stream, []).append(event)


def without_name(spelling: str) -> str:
    """The address of a whole mailbox: of `Alice Smith <alice@example.org>` what stands between the angle brackets."""
    return spelling[spelling.rindex("<") + 1 : -1] if spelling.endswith(">") and "<" in spelling else spelling


def keys_of(texts: Iterable[TextSeen]) -> list[Key]:
    """The distinct identifiers of texts, in the order of their first occurrence."""
    return list(dict.fromkeys((seen.kind, seen.address) for text in texts for seen in text.identifiers))
