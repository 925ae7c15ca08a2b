"""Rows → answers of contacts. Opens what is sealed under living keys; what is cut reads as `Erased`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from services.contacts.commands import (
    ListPersons,
    PersonOfAddress,
    PersonOfAddressAnswer,
    PersonPage,
    PersonView,
    ShowPerson,
)
from services.contacts.events import Names
from services.contacts.person import Key, KnownIdentifier, without_name
from shared.blind_index import BlindIndex
from shared.errors import NotFound
from shared.references import normalise_address, normalise_phone
from shared.resolving import RenderedSpellings, RenderSpellings, TextSeen
from shared.words import typed_beginnings
from shared.work import SealedValue, Store, Work

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


NOBODY = "00000000-0000-0000-0000-000000000000"


def known_identifiers(work: Work, index: BlindIndex, keys: Sequence[Key]) -> dict[Key, KnownIdentifier]:
    """The identifiers that are known, by kind and address. An identifier of an erased person is not."""
    by_token = {index.token(*key): key for key in keys}
    rows = work.fetch(
        "SELECT t.token, i.identifier_id, i.owner,"
        " array_agg(p.person_id ORDER BY p.person_id) FILTER (WHERE p.person_id IS NOT NULL),"
        " min(p.origin), bool_or(p.name IS NOT NULL)"
        " FROM identifier_token t JOIN identifier i USING (account_id, identifier_id)"
        " LEFT JOIN identifier_person o USING (account_id, identifier_id)"
        " LEFT JOIN person p ON p.account_id = o.account_id AND p.person_id = o.person_id"
        " AND NOT EXISTS (SELECT 1 FROM keys.person dead WHERE dead.account_id = p.account_id"
        "   AND dead.person_id = p.person_id AND dead.cut_at IS NOT NULL)"
        " WHERE t.account_id = %s AND t.token = ANY (%s::bigint[])"
        " AND EXISTS (SELECT 1 FROM keys.item_key k WHERE k.account_id = t.account_id AND k.item_id = i.identifier_id)"
        " GROUP BY t.token, i.identifier_id, i.owner",
        (work.account_id, list(by_token)),
    )
    return {
        by_token[token]: KnownIdentifier(identifier, owner, list(persons or []), {}, origin, bool(named))
        for token, identifier, owner, persons, origin, named in rows
    }


def spelling_token(index: BlindIndex, key: Key, text: str) -> int:
    """The token of one spelling of one identifier."""
    return index.token("spelling", f"{key[0]}\n{key[1]}\n{text}")


def known_spellings(
    work: Work, index: BlindIndex, known: dict[Key, KnownIdentifier], texts: Sequence[TextSeen]
) -> None:
    """Adds to the known identifiers the ids of those of their spellings that occur in the texts."""
    by_token: dict[int, tuple[Key, str]] = {}
    for text in texts:
        for seen in text.identifiers:
            key: Key = (seen.kind, seen.address)
            if key in known:
                for spelling in {*seen.spellings, *map(without_name, seen.spellings)}:
                    by_token[spelling_token(index, key, spelling)] = (key, spelling)
    rows = work.fetch(
        "SELECT token, spelling_id FROM spelling_token WHERE account_id = %s AND token = ANY (%s::bigint[])",
        (work.account_id, list(by_token)),
    )
    for token, spelling_id in rows:
        found, spelling = by_token[token]
        known[found].spellings[spelling] = spelling_id


def render_spellings(store: Store, account_id: str, query: RenderSpellings) -> RenderedSpellings:
    """The texts of references; None where erased."""
    with store.work(account_id) as work:
        rows = work.fetch(
            "SELECT spelling_id, text, identifier_id, event_id FROM spelling"
            " WHERE account_id = %s AND spelling_id = ANY (%s::uuid[])",
            (account_id, list(set(query.spelling_ids))),
        )
        texts = work.open(
            [
                SealedValue(text, f"identifier/{identifier}", event, Names.SPELLING_ADDED, "text")
                for _, text, identifier, event in rows
            ]
        )
    by_id = {row[0]: text if isinstance(text, str) else None for row, text in zip(rows, texts, strict=True)}
    return RenderedSpellings(texts=[by_id.get(spelling) for spelling in query.spelling_ids])


def list_persons(store: Store, account_id: str, query: ListPersons) -> PersonPage:
    """A page of persons. With a query, those whose name has words that begin like the query's, or whose address it is."""
    with store.work(account_id) as work:
        clauses, values = ["p.account_id = %s", _ALIVE], [account_id]
        if not query.include_quoted:
            clauses.append("p.origin <> 'quoted'")
        if query.after is not None:
            clauses.append(
                "(p.added_at, p.person_id) > (SELECT added_at, person_id FROM person"
                " WHERE account_id = %s AND person_id = %s)"
            )
            values += [account_id, query.after]
        if query.query:
            matching = _matching(work, query.query)
            clauses.append("p.person_id = ANY (%s::uuid[])")
            values.append(matching)  # type: ignore[arg-type]
        rows = work.fetch(
            "SELECT p.person_id, p.origin, p.added_at, p.name, p.name_event_id FROM person p"
            f" WHERE {' AND '.join(clauses)} ORDER BY p.added_at, p.person_id LIMIT %s",
            (*values, query.limit + 1),
        )
        views = _views(work, rows[: query.limit])
    return PersonPage(persons=views, next_after=views[-1].person_id if len(rows) > query.limit else None)


def show_person(store: Store, account_id: str, query: ShowPerson) -> PersonView:
    """One person, by id or address."""
    with store.work(account_id) as work:
        found = find_persons(work, query.who)
        if not found:
            raise NotFound()
        rows = work.fetch(
            "SELECT p.person_id, p.origin, p.added_at, p.name, p.name_event_id FROM person p"
            f" WHERE p.account_id = %s AND p.person_id = %s AND {_ALIVE}",
            (account_id, found[0]),
        )
        if not rows:
            raise NotFound()
        return _views(work, rows)[0]


_ALIVE = (
    "NOT EXISTS (SELECT 1 FROM keys.person dead WHERE dead.account_id = p.account_id"
    " AND dead.person_id = p.person_id AND dead.cut_at IS NOT NULL)"
    " AND (p.origin = 'user' OR p.name IS NOT NULL OR EXISTS (SELECT 1 FROM identifier_person o"
    " JOIN identifier i USING (account_id, identifier_id)"
    " WHERE o.account_id = p.account_id AND o.person_id = p.person_id AND i.owner = 'person'))"
)


def find_persons(work: Work, who: str) -> list[str]:
    """The persons with an id or an exact identifier; [] where there is none."""
    if _UUID.fullmatch(who):
        rows = work.fetch(
            f"SELECT p.person_id FROM person p WHERE p.account_id = %s AND p.person_id = %s AND {_ALIVE}",
            (work.account_id, who),
        )
        return [person for (person,) in rows]
    index = work.blind_index()
    phone = normalise_phone(who)
    keys: list[Key] = [("address", normalise_address(who))]
    if phone:
        keys.append(("phone", phone))
    known = known_identifiers(work, index, keys)
    return [person for one in known.values() if one.owner == "person" for person in one.person_ids]


def person_of_address(store: Store, account_id: str, query: PersonOfAddress) -> PersonOfAddressAnswer:
    """The person whose an address is, if it is one person's alone: who shares a mailbox could read a link that is meant for
    another of them. Takes the same way for an address that nobody has."""
    key: Key = ("address", normalise_address(query.address))
    with store.work(account_id) as work:
        known = known_identifiers(work, work.blind_index(), [key]).get(key)
        persons = known.person_ids if known is not None and known.owner == "person" else []
        rows = work.fetch(
            "SELECT address, identifier_id, event_id FROM identifier WHERE account_id = %s AND identifier_id = %s",
            (account_id, known.identifier_id if known is not None else NOBODY),
        )
        opened = work.open(
            [SealedValue(row[0], f"identifier/{row[1]}", row[2], Names.IDENTIFIER_ADDED, "address") for row in rows]
        )
    if len(persons) != 1 or opened != [key[1]]:  # a token can collide, so the address is looked at once more
        return PersonOfAddressAnswer(person_id=None, address=None)
    return PersonOfAddressAnswer(person_id=persons[0], address=opened[0])


def is_organisation(work: Work, who: str) -> bool:
    """Whether an id is an organisation's."""
    return bool(_UUID.fullmatch(who)) and bool(
        work.fetch(
            "SELECT 1 FROM organisation WHERE account_id = %s AND organisation_id = %s", (work.account_id, who)
        )
    )


def addresses_of(work: Work, person_id: str) -> list[Any]:
    """A person's identifiers, normalised, or `Erased`."""
    return _addresses(work, [person_id])[person_id]


def _matching(work: Work, text: str) -> list[str]:
    found = set(find_persons(work, text))
    index = work.blind_index()
    tokens = index.tokens("name", typed_beginnings(text))
    rows = work.fetch(
        "SELECT person_id FROM name_token WHERE account_id = %s AND token = ANY (%s::bigint[])"
        " GROUP BY person_id HAVING count(*) = %s",
        (work.account_id, tokens, len(tokens)),
    )
    return sorted(found | ({person for (person,) in rows} if tokens else set()))


def _views(work: Work, rows: Sequence[Sequence[Any]]) -> list[PersonView]:
    names = work.open(
        [SealedValue(name, f"person/{person}", event, Names.PERSON_NAMED, "name") for person, _, _, name, event in rows]
    )
    addresses = _addresses(work, [row[0] for row in rows])
    return [
        PersonView(
            person_id=row[0], origin=row[1], added_at=row[2], name=None if row[3] is None else name,
            addresses=addresses[row[0]],
        )
        for row, name in zip(rows, names, strict=True)
    ]  # fmt: skip


def _addresses(work: Work, persons: Sequence[str]) -> dict[str, list[Any]]:
    rows = work.fetch(
        "SELECT o.person_id, i.identifier_id, i.address, i.event_id FROM identifier_person o"
        " JOIN identifier i USING (account_id, identifier_id)"
        " WHERE o.account_id = %s AND o.person_id = ANY (%s::uuid[]) AND i.owner = 'person' ORDER BY i.event_id",
        (work.account_id, list(persons)),
    )
    opened = work.open(
        [
            SealedValue(address, f"identifier/{identifier}", event, Names.IDENTIFIER_ADDED, "address")
            for _, identifier, address, event in rows
        ]
    )
    found: dict[str, list[Any]] = {person: [] for person in persons}
    for row, address in zip(rows, opened, strict=True):
        found[row[0]].append(address)
    return {person: sorted(addresses, key=str) for person, addresses in found.items()}

