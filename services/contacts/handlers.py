"""One function per command and per reaction of contacts: read, decide (`person.py`), append. Knows nothing of nameko."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from services.contacts.commands import (
    AddedThing,
    AddMailbox,
    AddOrganisation,
    AddUserPerson,
    FindSubjects,
    SubjectsFound,
)
from services.contacts.events import IdentifierAdded, OrganisationAdded, PersonAdded, PersonNamed, SpellingAdded
from services.contacts.person import Key, KnownIdentifier, Resolution, Suppressed, is_erased_here, keys_of, refusal
from services.contacts.queries import (
    addresses_of,
    find_persons,
    is_organisation,
    known_identifiers,
    known_spellings,
    spelling_token,
)
from shared.blind_index import BlindIndex
from shared.errors import InvalidArgument, NotFound, PersonErased, Refused
from shared.events import Event
from shared.ids import new_id
from shared.references import normalise_address, normalise_phone
from shared.resolving import ResolvedIdentifier, ResolvedText, TakeIn, TakenIn, TextSeen
from shared.words import beginnings
from shared.work import Store, Work

CheckSuppressed = Callable[[Sequence[TextSeen], Sequence[Key], Mapping[Key, KnownIdentifier]], Suppressed]
"""Asks erasure's suppression list. Asked after the look-up: what was erased before that moment is in the list by then."""

TRIES = 5
_RESOLVED_ERASED = ResolvedIdentifier(identifier_id=None, person_ids=[], owner="person", spelling_ids=[])


def take_in(store: Store, account_id: str, actor: str, command: TakeIn, check: CheckSuppressed) -> TakenIn:
    """Resolves the identifiers of a batch of texts; adds persons, identifiers and spellings that are new."""

    def decide(work: Work) -> TakenIn:
        index = work.blind_index()
        keys = keys_of(command.texts)
        known = known_identifiers(work, index, keys)
        suppressed = check(command.texts, keys, known)
        known_spellings(work, index, known, command.texts)
        resolution = Resolution(known, new_id, work.now)
        answer = [_resolve(resolution, text, place, suppressed) for place, text in enumerate(command.texts)]
        work.pin_persons(person for one in known.values() if one.owner == "person" for person in one.person_ids)
        _append(work, index, resolution)
        return TakenIn(texts=answer)

    for _ in range(TRIES):
        try:
            return store.run(account_id, decide, actor=actor)
        except PersonErased:
            continue  # between look-up and commit: the next look-up does not know them any more
    raise PersonErased()


def _resolve(resolution: Resolution, text: TextSeen, place: int, suppressed: Suppressed) -> ResolvedText:
    reason = refusal(text, place, suppressed, resolution.known)
    if reason is not None:
        return ResolvedText(refused=reason, identifiers=[])
    resolved = []
    for seen in text.identifiers:
        if is_erased_here(text, seen, resolution.known.get((seen.kind, seen.address)), suppressed):
            resolved.append(_RESOLVED_ERASED)
            continue
        known = resolution.see(seen)
        resolved.append(
            ResolvedIdentifier(
                identifier_id=known.identifier_id,
                person_ids=list(known.person_ids) if known.owner == "person" else [],
                owner=known.owner,
                spelling_ids=[known.spellings[spelling] for spelling in seen.spellings],
            )
        )
    return ResolvedText(refused=None, identifiers=resolved)


def _append(work: Work, index: BlindIndex, resolution: Resolution) -> None:
    if not resolution.events:
        return
    for identifier, person in resolution.shared:
        work.share_item(identifier, person)
    old = [stream for stream, events in resolution.events.items() if not _begins(events)]
    versions = work.versions_of(old) if old else {}
    for stream, events in resolution.events.items():
        work.append(stream, versions.get(stream, 0), events)
    add_identifier_tokens(work, index, resolution.new_tokens)
    add_spelling_tokens(work, index, resolution.new_spellings)
    for person, name in resolution.new_names:
        add_name_tokens(work, index, person, name)


def _begins(events: Sequence[Event]) -> bool:
    return isinstance(events[0], (PersonAdded, IdentifierAdded))


def add_identifier_tokens(work: Work, index: BlindIndex, added: Sequence[tuple[Key, str]]) -> None:
    """Index rows of identifiers. Two writers who add the same one meet at the primary key; the later one looks again."""
    if added:
        work.later(
            "INSERT INTO identifier_token (account_id, token, identifier_id)"
            " SELECT %s, token, id FROM unnest(%s::bigint[], %s::uuid[]) AS new (token, id)",
            (work.account_id, [index.token(*key) for key, _ in added], [identifier for _, identifier in added]),
        )


def add_spelling_tokens(work: Work, index: BlindIndex, added: Sequence[tuple[Key, str, str, str]]) -> None:
    """Index rows of spellings."""
    if added:
        work.later(
            "INSERT INTO spelling_token (account_id, token, spelling_id, identifier_id)"
            " SELECT %s, token, spelling, identifier FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[])"
            " AS new (token, spelling, identifier)",
            (
                work.account_id,
                [spelling_token(index, key, text) for key, text, _, _ in added],
                [spelling for _, _, spelling, _ in added],
                [identifier for _, _, _, identifier in added],
            ),
        )


def add_name_tokens(work: Work, index: BlindIndex, person_id: str, name: str) -> None:
    """Index rows of a name's word beginnings, for type-ahead."""
    tokens = index.tokens("name", beginnings(name))
    if tokens:
        work.later(
            "INSERT INTO name_token (account_id, token, person_id) SELECT %s, unnest(%s::bigint[]), %s ON CONFLICT DO NOTHING",
            (work.account_id, tokens, person_id),
        )


def add_mailbox(store: Store, account_id: str, actor: str, command: AddMailbox) -> AddedThing:
    """An address of the account's own. One that a person has already can't be taken."""

    def decide(work: Work) -> AddedThing:
        index = work.blind_index()
        key: Key = ("address", _normalised(command.address))
        known = known_identifiers(work, index, [key]).get(key)
        if known is not None:
            if known.owner != "account":
                raise Refused("this address is known as somebody's already", reason="address in use")
            return AddedThing(id=known.identifier_id)
        identifier = new_id()
        added = IdentifierAdded(identifier_id=identifier, person_ids=[], kind="address", owner="account", address=key[1])
        work.append(f"identifier/{identifier}", 0, [added])
        add_identifier_tokens(work, index, [(key, identifier)])
        return AddedThing(id=identifier)

    return store.run(account_id, decide, actor=actor)


def add_organisation(store: Store, account_id: str, actor: str, command: AddOrganisation) -> AddedThing:
    """An organisation: a contact, but no data subject."""
    organisation = new_id()
    added = OrganisationAdded(organisation_id=organisation, name=command.name)
    store.run(account_id, lambda work: work.append(f"organisation/{organisation}", 0, [added]), actor=actor)
    return AddedThing(id=organisation)


def add_user_person(store: Store, account_id: str, actor: str, command: AddUserPerson) -> AddedThing:
    """The person of a user: who has the address already (with `person_id`: that one, if the address is theirs too), the person
    who is named, or a new one. Raises `NotFound` where the person who is named is not here."""

    def decide(work: Work) -> AddedThing:
        index = work.blind_index()
        key: Key = ("address", _normalised(command.address))
        known = known_identifiers(work, index, [key]).get(key)
        if known is not None:
            if known.owner != "person":
                raise Refused("this address is a mailbox or a list, not a person's", reason="address in use")
            return AddedThing(id=command.person_id if command.person_id in known.person_ids else known.person_ids[0])
        person, identifier, spelling = command.person_id or new_id(), new_id(), new_id()
        if command.person_id is None:
            named: list[Event] = [PersonNamed(person_id=person, name=command.name)] if command.name else []
            work.append(f"person/{person}", 0, [PersonAdded(person_id=person, origin="user"), *named])
        elif person not in find_persons(work, person):
            raise NotFound()
        events: list[Event] = [
            IdentifierAdded(
                identifier_id=identifier, person_ids=[person], kind="address", owner="person", address=key[1]
            ),
            SpellingAdded(
                identifier_id=identifier, spelling_id=spelling, person_ids=[person], text=command.address
            ),
        ]
        work.append(f"identifier/{identifier}", 0, events)
        add_identifier_tokens(work, index, [(key, identifier)])
        add_spelling_tokens(work, index, [(key, command.address, spelling, identifier)])
        if command.name and command.person_id is None:
            add_name_tokens(work, index, person, command.name)
        return AddedThing(id=person)

    return store.run(account_id, decide, actor=actor)


def find_subjects(store: Store, account_id: str, command: FindSubjects) -> SubjectsFound:
    """The persons whom a request means, with all their addresses. An organisation is refused (mission E6)."""
    with store.work(account_id) as work:
        if is_organisation(work, command.who):
            raise Refused("only a person can be erased; the people of an organisation can be", reason="organisation")
        persons: list[str] = find_persons(work, command.who)
        if not persons:
            raise NotFound()
        for address in command.addresses:
            persons += [person for person in find_persons(work, address) if person not in persons]
        known = [address for person in persons for address in addresses_of(work, person) if isinstance(address, str)]
        given = [_identifier(address) for address in command.addresses]
        return SubjectsFound(person_ids=persons, addresses=sorted({*known, *given}))


def _identifier(text: str) -> str:
    """An address or a number with its country code, as it is compared."""
    phone = normalise_phone(text) if "@" not in text else None
    return phone or _normalised(text)


def _normalised(address: str) -> str:
    normalised = normalise_address(address)
    if "@" not in normalised:
        raise InvalidArgument(field="address", rule="a mail address, as in name@example.org")
    return normalised

