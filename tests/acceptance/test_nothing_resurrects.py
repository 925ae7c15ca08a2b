"""What came before an erasure stays away: archives imported again, also in disguise, and events that come late, twice or out of
order. Who writes anew after it is somebody new."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import amqp
import pytest

from deploy.stack import Stack
from shared.bus import EVENTS_EXCHANGE, dead_queue_name, reactions_of
from shared.errors import AccountSuspended
from shared.service_classes import service_class
from shared.settings import SERVICES
from tests.support import stores
from tests.support.databases import superuser
from tests.support.desk import Desk, View, await_it
from tests.support.erased_person import ErasedPerson
from tests.support.spellings import MARKER, all_spellings, mails_about

AFTER = format_datetime(datetime.now(UTC) + timedelta(hours=36))
"""A date after the day of the erasure that is not yet implausible."""
DATES: dict[str, Callable[[bytes], bytes]] = {
    "as it was": lambda line: line,
    "earlier": lambda line: b"Date: Sat, 2 Mar 2024 08:00:00 +0000",
    "after the erasure": lambda line: f"Date: {AFTER}".encode(),
    "none": lambda line: b"X-No-Date: none",
}


def test_importing_the_archive_again_brings_nothing_back_and_says_why(erased: ErasedPerson) -> None:
    """Each mail of the person, and each answer to them, is refused with its reason; every other one is known; what can be seen
    is what was seen."""
    before = erased.desk.see()
    answers = erased.desk.take_in(erased.mails)
    told = Counter(one["status"] for one in answers)
    assert told.keys() == {"known", "refused", "put aside"}
    gone = [row for row in erased.before.messages.values() if erased.is_gone(row)]
    assert told["refused"] == len(gone) > 0
    assert all(one["reason"] for one in answers if one["status"] == "refused")
    for one, raw in zip(answers, erased.mails, strict=True):
        if is_by_the_person(erased, raw):
            assert one["status"] == "refused"
    assert before == erased.desk.see()


@pytest.mark.parametrize("date", DATES)
def test_changed_message_ids_and_dates_bring_nothing_back(erased: ErasedPerson, date: str) -> None:
    """The person's mails and the answers to them are refused under other Message-IDs too, whatever date they bear; others'
    mails come in as new ones, with the marker where it stood."""
    before = erased.desk.see()
    theirs = [raw for raw in erased.mails if is_by_the_person(erased, raw) or is_answer_to_the_person(erased, raw)]
    others = [raw for raw in erased.mails if raw not in theirs and erased.person.address.encode() in raw][:10]
    disguised = [disguise(raw, date) for raw in (*theirs, *others)]
    assert len(theirs) > 5 < len(others)
    answers = erased.desk.take_in(disguised)
    assert ["refused"] * len(theirs) == [one["status"] for one in answers[: len(theirs)]], Counter(map(str, answers))
    assert all(one["reason"] for one in answers[: len(theirs)])
    assert {one["status"] for one in answers[len(theirs) :]} <= {"imported", "known"}
    assert_nobody_came(erased, before, erased.desk.see())


def test_an_old_answer_that_was_never_imported_stays_away(erased: ErasedPerson) -> None:
    """It was theirs to whom it was written, and what it quotes is theirs as well."""
    before = erased.desk.see()
    raw = (
        f"From: {erased.manifest.desk_address}\r\nTo: {erased.person.mailbox()}\r\nSubject: Re: a matter of last year\r\n"
        "Date: Mon, 4 Mar 2024 09:00:00 +0000\r\nMessage-ID: <never@imported.example>\r\n\r\n> I live beside the mill.\r\n"
    ).encode()
    (answer,) = erased.desk.take_in([raw])
    assert ("refused", True) == (answer["status"], bool(answer["reason"]))
    assert before == erased.desk.see()


def test_new_mail_of_others_is_taken_in_without_the_erased_address(erased: ErasedPerson) -> None:
    """In a mail of today the address, in whatever way it is written, is the marker; it makes no person."""
    before = erased.desk.see()
    author = next(one for one in erased.manifest.people if one is not erased.person)
    new = [in_another_mail(raw, "new", AFTER) for raw in mails_about(erased.person, author, erased.manifest.desk_address)]
    answers = erased.desk.take_in(new)
    assert {one["status"] for one in answers} == {"imported"}
    after = erased.desk.see()
    added = [after.messages[one["message_id"]] for one in answers]
    assert sum(row["text"].count(MARKER) for row in added) > len(all_spellings(erased.person))
    assert [MARKER] in [row["to"] for row in added]
    assert_nobody_came(erased, before, after)


def test_events_repeated_and_shuffled_change_nothing(erased: ErasedPerson, stack: Stack) -> None:
    """Every event of the account to which somebody reacts, published again several times in any order: no row of any service
    changes, nothing is given up, and an account that was suspended and resumed stays open."""
    desk = erased.desk
    suspend_and_resume(desk)
    settings, seen = desk.callers.settings, desk.see()
    desk.await_reads()  # what we saw is on record, and so part of the rows
    before = stores.rows_of(settings, desk.account)
    dead = {service: stores.waiting(settings, dead_queue_name(service)) for service in SERVICES}
    events = events_with_reactions(desk)
    assert {kind for kind, _, _ in events} >= {
        "erasure.SubjectErased", "tickets.ErasureReceipted", "contacts.ErasureReceipted", "lifecycle.AccountSuspended",
        "lifecycle.AccountResumed",
    }  # fmt: skip
    again = events * 4
    random.Random(7).shuffle(again)
    reacted = reactions_told(stack.home, [one for _, one, _ in events])
    with stores.broker_channel(settings) as channel:
        for kind, event, body in again:
            message = amqp.Message(body, delivery_mode=2, message_id=event, content_type="application/json")
            channel.basic_publish_confirm(message, exchange=EVENTS_EXCHANGE, routing_key=kind)
    expected = sum(len(reacting_services(kind)) for kind, _, _ in again)
    await_it(lambda: reactions_told(stack.home, [one for _, one, _ in events]) >= reacted + expected, 60)
    assert before == stores.rows_of(settings, desk.account)
    assert seen == desk.see()
    assert dead == {service: stores.waiting(settings, dead_queue_name(service)) for service in SERVICES}


def test_a_new_mail_of_the_same_human_starts_a_new_person(erased: ErasedPerson) -> None:
    """Written after the day of the erasure, it is taken in: its author is somebody else than who was erased, has that mail and
    nothing more, and the marker in older texts stays."""
    before = erased.desk.see()
    raw = (
        f"From: {erased.person.address}\r\nTo: {erased.manifest.desk_address}\r\nSubject: I am back\r\nDate: {AFTER}\r\n"
        "Message-ID: <back@again.example>\r\n\r\nI never wrote this before.\r\n"
    ).encode()
    (answer,) = erased.desk.take_in([raw])
    assert answer["status"] == "imported"
    person = erased.desk.call("contacts", "show_person", {"who": erased.person.address})
    assert person["person_id"] not in erased.person_ids and person["name"] is None
    theirs = erased.desk.call("tickets", "messages_of", {"person_id": person["person_id"]})["messages"]
    assert [answer["message_id"]] == [one["message_id"] for one in theirs]
    after = erased.desk.see()
    assert before.messages == {one: row for one, row in after.messages.items() if one != answer["message_id"]}
    assert before.persons == {one: row for one, row in after.persons.items() if one != person["person_id"]}
    again = erased.desk.take_in(erased.mails)
    assert {one["status"] for one in again} == {"known", "refused", "put aside"}
    assert after == erased.desk.see()


# ------------------------------------------------------------------------------------------------------------------ the mails


def is_by_the_person(erased: ErasedPerson, raw: bytes) -> bool:
    """Whether a mail is from the person."""
    return bool(re.search(rb"^From: [^\r\n]*" + re.escape(erased.person.address.encode()), raw, re.MULTILINE))


def is_answer_to_the_person(erased: ErasedPerson, raw: bytes) -> bool:
    """Whether a mail is the account's own, to the person."""
    desk, person = (one.encode() for one in (erased.manifest.desk_address, erased.person.address))
    head = raw.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    sent = re.search(rb"^From: [^\n]*" + re.escape(desk), head, re.MULTILINE)
    to = re.search(rb"^To: [^\n]*" + re.escape(person), head, re.MULTILINE)
    return bool(sent and to)


def disguise(raw: bytes, date: str) -> bytes:
    """The same mail under other Message-IDs and another date."""
    renamed = raw.replace(b"@mail.example>", f"@{date.replace(' ', '-')}.example>".encode())
    renamed = renamed.replace(b"@about.example>", f"@{date.replace(' ', '-')}.about.example>".encode())
    return re.sub(rb"^Date: [^\r\n]*", lambda line: DATES[date](line[0]), renamed, count=1, flags=re.MULTILINE)


def in_another_mail(raw: bytes, name: str, date: str) -> bytes:
    """A mail with the same text and more, so that it is a new one."""
    changed = raw.replace(b"Subject: ", f"Subject: {name} ".encode(), 1).replace(b"@about.example>", b"@newer.example>")
    return re.sub(rb"^Date: [^\r\n]*", f"Date: {date}".encode(), changed, count=1, flags=re.MULTILINE)


def assert_nobody_came(erased: ErasedPerson, before: View, after: View) -> None:
    """No person more, no spelling of the erased one, no text that went with them; and what was there is unchanged."""
    assert before.persons == after.persons
    assert {one: after.messages[one] for one in before.messages} == before.messages
    texts = "\n".join(after.strings())
    assert not [one for one in all_spellings(erased.person) if one in texts]
    assert f"{erased.person.name} <" not in "".join(box for row in after.messages.values() for box in row["senders"])
    gone = [row for row in erased.before.messages.values() if erased.is_gone(row)]
    lines = {line for row in gone for line in row["text"].splitlines() if len(line) > 20}
    others = "\n".join(erased.after.strings())
    lost = [line for line in lines if line.lstrip("> ") not in others]
    assert lost
    assert not [line for line in lost if line in texts]


# ----------------------------------------------------------------------------------------------------------------- the events


def suspend_and_resume(desk: Desk) -> None:
    """Both, each until every service has heard of it."""

    def is_suspended() -> bool:
        try:
            for service, method in (("tickets", "list_tickets"), ("contacts", "list_persons"), ("erasure", "list_erasures")):
                desk.call(service, method)
        except AccountSuspended:
            return True
        return False

    operator = desk.callers.operator
    desk.call("lifecycle", "suspend_account", {"reason": "by-operator"}, token=operator)
    await_it(is_suspended, 30)
    desk.call("lifecycle", "resume_account", token=operator)
    await_it(lambda: not is_suspended(), 30)


def events_with_reactions(desk: Desk) -> list[tuple[str, str, bytes]]:
    """(type, event id, body) of every event of the account to which a service reacts."""
    found = []
    for service in SERVICES:
        connection = superuser(desk.callers.settings, service)
        cursor = connection.cursor()
        cursor.execute(
            "SELECT type, event_id::text, envelope FROM lethe.event WHERE account_id = %s ORDER BY sequence", (desk.account,)
        )
        found += [(kind, event, bytes(body)) for kind, event, body in cursor.fetchall() if reacting_services(kind)]
        connection.close()
    return found


def reacting_services(kind: str) -> list[str]:
    """The services that react to a type of event, by the declarations' own words."""
    return [service for service in SERVICES if kind in reactions_of(service_class(service))]


def reactions_told(home: Path, events: Iterable[str]) -> int:
    """How often the logs tell of a reaction to one of these events."""
    wanted = "|".join(map(re.escape, events))
    pattern = re.compile(rf'"event":"reacted".*"event_id":"(?:{wanted})"')
    return sum(
        len(pattern.findall(path.read_text(errors="replace")))
        for service in SERVICES
        for path in (home / "logs").glob(f"{service}-*.log")
    )
