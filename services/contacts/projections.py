"""Events → rows of contacts. Uses what the envelope says and the sealed bytes as they are; opens nothing."""

from __future__ import annotations

from collections.abc import Iterator

from services.contacts.events import (
    IdentifierAdded,
    IdentifierMarkedAsList,
    IdentifierShared,
    OrganisationAdded,
    PersonAdded,
    PersonNamed,
    PersonRecognised,
    SpellingAdded,
)
from shared.erasing import ErasureReceipted
from shared.events import Recorded
from shared.read_records import ReadsRecorded, project_reads
from shared.work import Statement


def project(recorded: Recorded) -> Iterator[Statement]:
    """The statements that bring the read model up to an event. Table names are without schema: a replay sets another one."""
    envelope, event = recorded.envelope, recorded.event
    account = envelope.account
    match event:
        case PersonAdded():
            yield Statement(
                "INSERT INTO person (account_id, person_id, origin, added_at) VALUES (%s, %s, %s, %s)",
                (account, event.person_id, event.origin, envelope.time),
            )
        case PersonRecognised():
            yield Statement(
                "UPDATE person SET origin = %s WHERE account_id = %s AND person_id = %s",
                (event.origin, account, event.person_id),
            )
        case PersonNamed():
            yield Statement(
                "UPDATE person SET name = %s, name_event_id = %s WHERE account_id = %s AND person_id = %s",
                (recorded.sealed["name"], envelope.event, account, event.person_id),
            )
        case OrganisationAdded():
            yield Statement(
                "INSERT INTO organisation (account_id, organisation_id, name, name_event_id) VALUES (%s, %s, %s, %s)",
                (account, event.organisation_id, recorded.sealed["name"], envelope.event),
            )
        case IdentifierAdded():
            yield Statement(
                "INSERT INTO identifier (account_id, identifier_id, kind, owner, address, event_id)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (account, event.identifier_id, event.kind, event.owner, recorded.sealed["address"], envelope.event),
            )
            for person in event.person_ids:
                yield _belongs(account, event.identifier_id, person)
        case IdentifierShared():
            yield _belongs(account, event.identifier_id, event.person_id)
            yield Statement(
                "UPDATE identifier SET owner = 'person' WHERE account_id = %s AND identifier_id = %s",
                (account, event.identifier_id),
            )
        case IdentifierMarkedAsList():
            yield Statement(
                "UPDATE identifier SET owner = 'list' WHERE account_id = %s AND identifier_id = %s",
                (account, event.identifier_id),
            )
        case SpellingAdded():
            yield Statement(
                "INSERT INTO spelling (account_id, spelling_id, identifier_id, text, event_id) VALUES (%s, %s, %s, %s, %s)",
                (account, event.spelling_id, event.identifier_id, recorded.sealed["text"], envelope.event),
            )
        case ErasureReceipted():
            gone = [person for person in event.person_ids if person not in event.kept]
            if gone:
                yield from removal(account, gone)
        case ReadsRecorded():
            yield from project_reads(recorded, event)
        case _:
            pass


def removal(account: str, persons: list[str]) -> Iterator[Statement]:
    """Removes the rows of persons: theirs alone. An identifier that somebody else uses as well stays for that one."""
    alone = (
        "SELECT mine.identifier_id FROM identifier_person mine WHERE mine.account_id = %s AND mine.person_id = ANY (%s::uuid[])"
        " AND NOT EXISTS (SELECT 1 FROM identifier_person other WHERE other.account_id = mine.account_id"
        " AND other.identifier_id = mine.identifier_id AND other.person_id <> ALL (%s::uuid[]))"
    )
    for table in ("spelling", "identifier"):
        yield Statement(
            f"DELETE FROM {table} WHERE account_id = %s AND identifier_id IN ({alone})",
            (account, account, persons, persons),
        )
    for table in ("identifier_person", "person"):
        yield Statement(
            f"DELETE FROM {table} WHERE account_id = %s AND person_id = ANY (%s::uuid[])", (account, persons)
        )


def _belongs(account: str, identifier: str, person: str) -> Statement:
    return Statement(
        "INSERT INTO identifier_person (account_id, identifier_id, person_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (account, identifier, person),
    )
