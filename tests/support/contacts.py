"""One account's contacts, written event by event, for tests of races: what a handler would do in one unit of work each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from services.contacts.events import IdentifierAdded, PersonAdded, PersonNamed, SpellingAdded
from shared import clock
from shared.events import Envelope, decode_envelope
from shared.ids import new_id
from shared.work import SealedValue, Work
from tests.support.cell import Cell
from tests.support.databases import superuser
from tests.support.gate import Running

LOCK_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class Contacts:
    """The contacts of one fresh account, written to event by event."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.account = new_id()
        self.store = cell.store("contacts")

    def person(self) -> str:
        """A person, without any key yet."""
        person = new_id()
        self.run(lambda work: work.append(f"person/{person}", 0, [PersonAdded(person_id=person, origin="correspondent")]))
        return person

    def identifier(self, *persons: str) -> str:
        """An identifier of these persons, with its key."""
        identifier = new_id()
        added = IdentifierAdded(
            identifier_id=identifier, person_ids=list(persons), kind="address", owner="person", address="a@example.org"
        )
        self.run(lambda work: work.append(f"identifier/{identifier}", 0, [added]))
        return identifier

    def run(self, decide: Callable[[Work], Any], replica: Cell | None = None) -> Any:
        """One unit of work, on this replica or another one."""
        store = self.store if replica is None else replica.store("contacts")
        return store.run(self.account, decide)

    def name(self, person: str, replica: Cell | None = None) -> None:
        """Seals a name under the person's key, which is minted if there is none."""
        stream = f"person/{person}"
        self.run(
            lambda work: work.append(
                stream, work.versions_of([stream])[stream], [PersonNamed(person_id=person, name="Alice Adams")]
            ),
            replica,
        )

    def spell(self, identifier: str, *persons: str, replica: Cell | None = None) -> None:
        """Seals a spelling under the identifier's key, naming these persons (or none of its persons)."""
        stream = f"identifier/{identifier}"
        self.run(
            lambda work: work.append(
                stream,
                work.versions_of([stream])[stream],
                [
                    SpellingAdded(
                        identifier_id=identifier, spelling_id=new_id(), person_ids=list(persons), text="<a@example.org>"
                    )
                ],
            ),
            replica,
        )

    def cut(self, *persons: str, replica: Cell | None = None) -> None:
        """The reaction of contacts to the erasure of these persons."""
        (replica or self.cell).service("contacts").on_subject_erased(subject_erased(self.account, persons))

    def opened(self, replica: Cell | None = None) -> dict[str, list[Any]]:
        """The value of every sealed part, by stream."""
        return opened(replica or Cell(self.cell.settings), "contacts", self.account)


def subject_erased(account: str, persons: Sequence[str], request_id: str | None = None) -> Envelope:
    """The event that tells the participants to erase."""
    request = request_id or new_id()
    return Envelope(
        account=account, actor=new_id(), causation=None, data={"request_id": request, "person_ids": sorted(persons)},
        event=new_id(), schema=1, sealed=[], service="erasure", stream=f"erasure/{request}", time=clock.now(),
        type="erasure.SubjectErased", version=2,
    )  # fmt: skip


def opened(cell: Cell, service: str, account: str) -> dict[str, list[Any]]:
    """The value of every sealed part in a service's log, by stream; ERASED where it does not open."""
    found: dict[str, list[Any]] = {}
    with cell.store(service).work(account) as work:
        rows = work.fetch(
            "SELECT envelope, sealed FROM lethe.event WHERE account_id = %s ORDER BY stream, version", (account,)
        )
        for raw, parts in rows:
            envelope = decode_envelope(bytes(raw))
            places = [
                SealedValue(part, envelope.stream, envelope.event, envelope.type, field.field)
                for field, part in zip(envelope.sealed, parts, strict=True)
            ]
            found.setdefault(envelope.stream, []).extend(work.open(places))
    return found


def count(cell: Cell, service: str, sql: str, *values: Any) -> int:
    """The one number that a query gives, as the superuser."""
    connection = superuser(cell.settings, service)
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        number = int(cursor.fetchone()[0])
    connection.close()
    return number


def events(contacts: Contacts) -> int:
    """How many events of the account are stored."""
    return count(contacts.cell, "contacts", "SELECT count(*) FROM lethe.event WHERE account_id = %s", contacts.account)


def keys_of(contacts: Contacts, item: str) -> int:
    """How many living keys an item has."""
    return count(contacts.cell, "contacts", "SELECT count(*) FROM keys.item_key WHERE item_id = %s", item)


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Returns when the condition holds; fails naming what was waited for."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"not within 20 s: {what}"
        time.sleep(0.01)


def await_lock_wait(cell: Cell, service: str, other: Running[Any]) -> None:
    """Returns when somebody waits for a lock in the service's database."""
    eventually(lambda: other.is_over or count(cell, service, LOCK_WAITS) > 0, "a session that waits for a lock")
    assert not other.is_over, f"it did not wait: {other.result()}"
