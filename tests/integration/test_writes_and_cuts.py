"""Writers and cuts of the same persons at the same time, on real databases: each write is before the cut and goes with it, or
after it and is refused. Nothing in between, for persons, for keys that exist, or for shared identifiers.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import pytest

from services.tickets.commands import ImportedMails, ImportMails
from shared import clock
from shared.errors import NotFound, PersonErased
from shared.events import decode_envelope
from shared.ids import new_id
from shared.personal import ERASED, Erased
from shared.settings import Settings
from shared.work import SealedValue
from tests.support.cell import Cell
from tests.support.contacts import (
    Contacts,
    await_lock_wait,
    count,
    events,
    keys_of,
    subject_erased,
)
from tests.support.gate import Gate, Running

# ----------------------------------------------------------------------------------------------------------- persons, minting


def test_a_cut_waits_for_a_writer_that_mints_and_takes_its_write_along(
    contacts: Contacts, turnstile: Gate
) -> None:
    """A writer that holds the person's row, with a key just minted, commits first; the cut waits and takes both along."""
    person = contacts.person()
    writer = turnstile.hold(lambda: contacts.name(person))
    cut = Running(lambda: contacts.cut(person, replica=Cell(contacts.cell.settings))).start()
    await_lock_wait(contacts.cell, "contacts", cut)
    writer.release()
    cut.result()
    assert [ERASED] == contacts.opened()[f"person/{person}"]
    assert 0 == keys_of(contacts, person)
    assert 1 == count(contacts.cell, "contacts", "SELECT count(*) FROM keys.cut_item WHERE item_id = %s", person)


def test_a_writer_that_mints_waits_for_a_cut_and_is_refused(contacts: Contacts, turnstile: Gate) -> None:
    """While a cut holds the person's row a writer waits; after it the write is refused, and nothing of it is stored."""
    person = contacts.person()
    cut = turnstile.hold(lambda: contacts.cut(person, replica=Cell(contacts.cell.settings)))
    writer = Running(lambda: contacts.name(person)).start()
    await_lock_wait(contacts.cell, "contacts", writer)
    before = events(contacts)
    cut.release()
    with pytest.raises(PersonErased):
        writer.result()
    assert before + 2 == events(contacts), "the cut and its receipt, and nothing of the writer"
    assert 0 == keys_of(contacts, person)


def test_two_writers_that_mint_one_key_both_write_under_the_same(contacts: Contacts, turnstile: Gate) -> None:
    """Of two writers that mint a key for one item at once the later one seals again, under the first one's key."""
    person = contacts.person()
    first = turnstile.hold(lambda: contacts.name(person))
    second = Running(lambda: contacts.name(person, replica=Cell(contacts.cell.settings))).start()
    await_lock_wait(contacts.cell, "contacts", second)
    first.release()
    second.result()
    assert ["Alice Adams", "Alice Adams"] == contacts.opened()[f"person/{person}"]
    assert 1 == keys_of(contacts, person)


# ------------------------------------------------------------------------------------------------------------ keys that exist


def test_a_cut_waits_for_a_writer_that_holds_only_the_key(contacts: Contacts, turnstile: Gate) -> None:
    """A writer that names no person but holds the row of the item's key commits first; the cut takes its write along."""
    person = contacts.person()
    identifier = contacts.identifier(person)
    writer = turnstile.hold(lambda: contacts.spell(identifier))
    cut = Running(lambda: contacts.cut(person, replica=Cell(contacts.cell.settings))).start()
    await_lock_wait(contacts.cell, "contacts", cut)
    writer.release()
    cut.result()
    assert [ERASED, ERASED] == contacts.opened()[f"identifier/{identifier}"]


def test_a_writer_that_holds_only_the_key_waits_for_a_cut_and_is_refused(
    contacts: Contacts, turnstile: Gate
) -> None:
    """While a cut holds the row of the item's key a writer waits for it; the key is gone then, and can't be minted again."""
    person = contacts.person()
    identifier = contacts.identifier(person)
    cut = turnstile.hold(lambda: contacts.cut(person, replica=Cell(contacts.cell.settings)))
    writer = Running(lambda: contacts.spell(identifier)).start()
    await_lock_wait(contacts.cell, "contacts", writer)
    cut.release()
    with pytest.raises(PersonErased):
        writer.result()
    assert [ERASED] == contacts.opened()[f"identifier/{identifier}"]
    assert 0 == keys_of(contacts, identifier)


def test_a_late_writer_with_the_key_in_its_memory_is_refused(contacts: Contacts) -> None:
    """A replica that has kept the opened key, and has not heard of the cut, is refused when it writes under it."""
    person = contacts.person()
    identifier = contacts.identifier(person)
    assert contacts.store.keys.kept_for_writing(contacts.account, identifier) is not None
    contacts.cut(person, replica=Cell(contacts.cell.settings))
    assert contacts.store.keys.kept_for_writing(contacts.account, identifier) is not None
    before = events(contacts)
    with pytest.raises(PersonErased):
        contacts.spell(identifier)
    with pytest.raises(PersonErased):
        contacts.name(person)
    assert before == events(contacts)
    assert [ERASED] == contacts.opened(contacts.cell)[f"identifier/{identifier}"]


# --------------------------------------------------------------------------------------------------------- shared identifiers


def test_a_cut_that_waits_for_a_new_owner_leaves_the_identifier_to_them(
    contacts: Contacts, turnstile: Gate
) -> None:
    """An identifier that gets a second person while the first is being cut stays, and the receipt says so."""
    first, second = contacts.person(), contacts.person()
    identifier = contacts.identifier(first)
    sharing = turnstile.hold(lambda: contacts.run(lambda work: work.share_item(identifier, second)))
    cut = Running(lambda: contacts.cut(first, replica=Cell(contacts.cell.settings))).start()
    await_lock_wait(contacts.cell, "contacts", cut)
    sharing.release()
    cut.result()
    assert ["a@example.org"] == contacts.opened()[f"identifier/{identifier}"]
    owners = "SELECT count(*) FROM keys.item_person WHERE item_id = %s AND person_id = %s"
    assert 0 == count(contacts.cell, "contacts", owners, identifier, first)
    assert 1 == count(contacts.cell, "contacts", owners, identifier, second)
    kept = "SELECT (counts ->> 'identifiers kept for others')::int FROM lethe.erasing WHERE account_id = %s"
    assert 1 == count(contacts.cell, "contacts", kept, contacts.account)


def test_a_key_that_others_keep_takes_nothing_more_of_a_person_who_is_cut(contacts: Contacts) -> None:
    """The key of a shared identifier lives on; what names the person who was cut is refused under it all the same."""
    first, second = contacts.person(), contacts.person()
    identifier = contacts.identifier(first, second)
    contacts.cut(first, replica=Cell(contacts.cell.settings))
    assert 1 == keys_of(contacts, identifier)
    before = events(contacts)
    for persons in ((first,), (first, second)):
        with pytest.raises(PersonErased):
            contacts.spell(identifier, *persons)
    assert before == events(contacts)
    contacts.spell(identifier, second)
    assert ["a@example.org", "<a@example.org>"] == contacts.opened()[f"identifier/{identifier}"]


def test_a_writer_that_holds_person_and_key_waits_for_a_cut_of_the_person_and_is_refused(
    contacts: Contacts, turnstile: Gate
) -> None:
    """The key lives on for another person: it is the tombstone, seen after the wait, that refuses the write."""
    first, second = contacts.person(), contacts.person()
    identifier = contacts.identifier(first, second)
    cut = turnstile.hold(lambda: contacts.cut(first, replica=Cell(contacts.cell.settings)))
    writer = Running(lambda: contacts.spell(identifier, first)).start()
    await_lock_wait(contacts.cell, "contacts", writer)
    before = events(contacts)
    cut.release()
    with pytest.raises(PersonErased):
        writer.result()
    assert before + 2 == events(contacts), "the cut and its receipt, and nothing of the writer"


def test_a_writer_that_holds_person_and_key_waits_for_a_cut_of_the_item_and_is_refused(
    contacts: Contacts, turnstile: Gate
) -> None:
    """The person lives on: it is the key's row, gone after the wait, that refuses the write."""
    person = contacts.person()
    identifier = contacts.identifier(person)
    values = (contacts.account, identifier, clock.now())
    cut = turnstile.hold(lambda: contacts.run(lambda work: work.change("SELECT keys.cut_item_key(%s, %s, %s)", values)))
    writer = Running(lambda: contacts.spell(identifier, person, replica=Cell(contacts.cell.settings))).start()
    await_lock_wait(contacts.cell, "contacts", writer)
    cut.release()
    with pytest.raises(PersonErased):
        writer.result()
    assert [ERASED] == contacts.opened()[f"identifier/{identifier}"]


def test_an_identifier_that_is_being_cut_gets_no_new_owner(contacts: Contacts, turnstile: Gate) -> None:
    """Sharing an identifier while its only person is cut waits, and finds it gone."""
    first, second = contacts.person(), contacts.person()
    identifier = contacts.identifier(first)
    cut = turnstile.hold(lambda: contacts.cut(first, replica=Cell(contacts.cell.settings)))
    sharing = Running(lambda: contacts.run(lambda work: work.share_item(identifier, second))).start()
    await_lock_wait(contacts.cell, "contacts", sharing)
    cut.release()
    with pytest.raises(NotFound):
        sharing.result()
    assert [ERASED] == contacts.opened()[f"identifier/{identifier}"]
    assert 0 == count(
        contacts.cell, "contacts", "SELECT count(*) FROM keys.item_person WHERE person_id = %s", second
    )


def test_an_identifier_goes_with_the_last_of_two_who_are_cut_at_once(contacts: Contacts, turnstile: Gate) -> None:
    """Two persons share an identifier and are cut at the same time: the first cut leaves it, the second takes it."""
    first, second = contacts.person(), contacts.person()
    identifier = contacts.identifier(first, second)
    one = turnstile.hold(lambda: contacts.cut(first, replica=Cell(contacts.cell.settings)))
    other = Running(lambda: contacts.cut(second, replica=Cell(contacts.cell.settings))).start()
    await_lock_wait(contacts.cell, "contacts", other)
    one.release()
    other.result()
    assert [ERASED] == contacts.opened()[f"identifier/{identifier}"]
    assert 0 == keys_of(contacts, identifier)


# ----------------------------------------------------------------------------------------------------------------- whole mails


ALICE, BOB = "alice.adams@example.org", "bob.brown@example.com"
OLD, NEW = timedelta(days=30), timedelta(hours=-44)
"""Ages of mails. What is dated on the day of an erasure counts as old; a date more than two days ahead is not believed."""


def mail(sender: str, recipient: str, text: str, age: timedelta) -> bytes:
    """A mail that names both in headers and text."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = f"S <{sender}>", f"R <{recipient}>", "About the kettle"
    message["Date"] = format_datetime(clock.now() - age)
    message["Message-ID"] = f"<{new_id()}@mail.example>"
    message.set_content(f"{text}: {recipient} wrote, and {sender} answers.\n")
    return message.as_bytes()


def persons_of(cell: Cell, account: str) -> dict[str, str]:
    """Alice's and Bob's person ids."""
    return {
        address: cell.call(account, "contacts", "show_person", {"who": address}).person_id
        for address in (ALICE, BOB)
    }


def import_mails(cell: Cell, account: str, mails: Sequence[bytes]) -> ImportedMails:
    imported: ImportedMails = cell.call(account, "tickets", "import_mails", ImportMails(mails=list(mails)))
    return imported


@pytest.mark.parametrize("age", [OLD, NEW], ids=["an old mail", "a new mail"])
def test_a_mail_whose_person_is_cut_while_contacts_resolves_it_is_decided_anew(
    settings: Settings, turnstile: Gate, age: timedelta
) -> None:
    """Contacts knew the sender when it looked, and finds them cut when it writes: the importer hears of no error. An old mail
    is refused as it is afterwards, a new one is of a new person."""
    cell, account = Cell(settings), new_id()
    import_mails(cell, account, [mail(ALICE, BOB, "first", OLD)])
    alice = persons_of(cell, account)[ALICE]
    told = subject_erased(account, [alice])
    cut = turnstile.hold(lambda: Cell(settings).service("contacts").on_subject_erased(told))
    importing = Running(lambda: import_mails(cell, account, [mail(ALICE, BOB, "second", age)])).start()
    await_lock_wait(cell, "contacts", importing)
    cell.call(account, "erasure", "request_erasure", {"who": alice, "reason": "asked"})
    cut.release()
    assert [("refused" if age is OLD else "imported")] == [one.status for one in importing.result().mails]
    if age is NEW:
        assert alice != persons_of(cell, account)[ALICE]


def test_a_mail_waits_for_contacts_to_hear_of_an_erasure_that_tickets_knows_of(settings: Settings) -> None:
    """Tickets has cut a person whom contacts still gives as the sender of a new mail: tickets refuses to write, asks again a
    little later, and the importer hears of no error."""
    cell, account = Cell(settings), new_id()
    import_mails(cell, account, [mail(ALICE, BOB, "first", OLD)])
    alice = persons_of(cell, account)[ALICE]
    asked = cell.call(account, "erasure", "request_erasure", {"who": alice, "reason": "asked"})
    told = subject_erased(account, [alice], asked.request_id)
    Cell(settings).service("tickets").on_subject_erased(told)
    importing = Running(lambda: import_mails(cell, account, [mail(ALICE, BOB, "second", NEW)])).start()
    Cell(settings).service("contacts").on_subject_erased(told)
    assert ["imported"] == [one.status for one in importing.result().mails]
    assert alice != persons_of(cell, account)[ALICE]


def test_a_message_that_joins_a_ticket_while_others_leave_it_is_counted(settings: Settings, turnstile: Gate) -> None:
    """Bob's message is about to be committed while Alice's, which are all others, are removed: the ticket stays, and counts
    one. When Bob goes as well, the ticket goes with him."""
    cell, account = Cell(settings), new_id()

    def said(sender: str, number: int) -> bytes:
        threading_header = "".join(f"<{earlier}@mail.example> " for earlier in range(number))
        return (
            f"From: {sender}\nDate: Tue, 5 Mar 2024 10:00:00 +0100\nMessage-ID: <{number}@mail.example>\n"
            f"References: {threading_header}\n\nmessage {number}\n"
        ).encode()

    (ticket,) = {one.ticket_id for one in import_mails(cell, account, [said(ALICE, 0), said(ALICE, 1)]).mails}
    import_mails(cell, account, [mail(BOB, "desk@example.net", "elsewhere", OLD)])
    persons = persons_of(cell, account)
    writer = turnstile.hold(lambda: import_mails(Cell(settings), account, [said(BOB, 2)]), service="tickets")

    def erase(address: str) -> None:
        replica = Cell(settings)
        asked = replica.call(account, "erasure", "request_erasure", {"who": persons[address], "reason": "asked"})
        replica.service("tickets").on_subject_erased(subject_erased(account, [persons[address]], asked.request_id))

    removal = Running(lambda: erase(ALICE)).start()
    await_lock_wait(cell, "tickets", removal)
    writer.release()
    removal.result()
    counted = "SELECT coalesce(sum(messages), -1) FROM lethe.ticket WHERE ticket_id = %s"
    living = "SELECT count(*) FROM lethe.message WHERE ticket_id = %s"
    assert (1, 1) == (count(cell, "tickets", counted, ticket), count(cell, "tickets", living, ticket))
    erase(BOB)
    assert (-1, 0) == (count(cell, "tickets", counted, ticket), count(cell, "tickets", living, ticket))


@pytest.mark.parametrize("age", [OLD, NEW], ids=["old mails", "new mails"])
@pytest.mark.parametrize("attempt", range(4))
def test_mails_that_name_two_who_are_being_erased_neither_deadlock_nor_outlive_them(
    settings: Settings, age: timedelta, attempt: int
) -> None:
    """Mails that name A and B in either order come in while both are being erased: no error reaches anybody, and afterwards
    nothing of those two opens. Old mails stay out; new ones by the same humans are of new persons."""
    first = Cell(settings)
    account = new_id()
    import_mails(first, account, [mail(ALICE, BOB, "first", OLD), mail(BOB, ALICE, "second", OLD)])
    persons = persons_of(first, account)
    start = threading.Barrier(4)

    def write(sender: str, recipient: str) -> list[str]:
        replica = Cell(settings)
        start.wait()
        mails = [mail(sender, recipient, f"mail {number}", age) for number in range(8)]
        return [import_mails(replica, account, [one]).mails[0].status for one in mails]

    def erase(address: str, services: Sequence[str]) -> None:
        replica = Cell(settings)
        start.wait()
        asked = replica.call(account, "erasure", "request_erasure", {"who": persons[address], "reason": "asked"})
        for service in services:
            told = subject_erased(account, [persons[address]], asked.request_id)
            replica.service(service).on_subject_erased(told)

    writers = [Running(lambda: write(ALICE, BOB)).start(), Running(lambda: write(BOB, ALICE)).start()]
    erasers = [
        Running(lambda: erase(ALICE, ("contacts", "tickets"))).start(),
        Running(lambda: erase(BOB, ("tickets", "contacts"))).start(),
    ]
    for eraser in erasers:
        eraser.result()
    statuses = {status for writer in writers for status in writer.result()}
    assert statuses <= {"imported", "refused"}
    assert_nothing_opens(Cell(settings), account, set(persons.values()))
    if age is OLD:
        for address in (ALICE, BOB):
            with pytest.raises(NotFound):
                first.call(account, "contacts", "show_person", {"who": address})
    last = import_mails(Cell(settings), account, [mail(ALICE, BOB, "last", age)]).mails[0]
    assert ("refused" if age is OLD else "imported") == last.status, last.reason


def assert_nothing_opens(cell: Cell, account: str, persons: set[str]) -> None:
    """No sealed part that belongs to one of these persons opens, and no living key is theirs."""
    for service in ("contacts", "tickets"):
        living = "SELECT count(*) FROM keys.item_person WHERE person_id = ANY (%s::uuid[])"
        assert 0 == count(cell, service, living, sorted(persons))
        values = opened_by_owner(cell, service, account, persons)
        assert values and all(isinstance(value, Erased) for value in values), service


def opened_by_owner(cell: Cell, service: str, account: str, persons: set[str]) -> list[Any]:
    """The values of the sealed parts whose events name one of these persons as the owner."""
    found: list[Any] = []
    types = cell.store(service).types
    with cell.store(service).work(account) as work:
        for raw, parts in work.fetch("SELECT envelope, sealed FROM lethe.event WHERE account_id = %s", (account,)):
            envelope = decode_envelope(bytes(raw))
            declared = types.personal[types.by_name[envelope.type]]
            for field, part in zip(envelope.sealed, parts, strict=True):
                named = envelope.data.get(declared[field.field].person or "")
                owners = set(named) if isinstance(named, list) else {named}
                if owners & persons:
                    place = SealedValue(part, envelope.stream, envelope.event, envelope.type, field.field)
                    found += work.open([place])
    return found
