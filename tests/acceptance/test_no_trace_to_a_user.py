"""After an erasure a user finds nothing of the person, by whatever way, and everything else as it was."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cli.main import invoke
from shared.errors import LetheError, NotFound, to_wire
from shared.ids import new_id
from tests.support.erased_person import ErasedPerson, changed, search
from tests.support.spellings import MARKER, all_spellings


def test_the_person_and_nobody_else_is_gone_from_the_list_of_people(erased: ErasedPerson) -> None:
    """Of all persons, those of the request are missing, and the others read as they did."""
    expected = {one: row for one, row in erased.before.persons.items() if one not in erased.person_ids}
    assert len(expected) == len(erased.before.persons) - len(erased.person_ids)
    assert expected == erased.after.persons
    for query in (erased.person.name, erased.person.address, erased.person.name.split()[0], erased.person.phone):
        found = erased.desk.pages("contacts", "list_persons", "persons", query=query, include_quoted=True)
        assert not {one["person_id"] for one in found} & set(erased.person_ids), query
        assert not [one for one in found if erased.person.address in str(one)]


def test_no_identifier_leads_to_the_person(erased: ErasedPerson) -> None:
    """By id, by address however it is written, or by number: the same answer as for somebody who never was."""
    nobody = refusal(erased, "contacts", "show_person", {"who": new_id()})
    person = erased.person
    known_as = (*erased.person_ids, person.address, person.address.upper(), f"<{person.address}>", person.other_address)
    for who in (*known_as, person.phone, person.phone_spelling):
        assert nobody == refusal(erased, "contacts", "show_person", {"who": who})
        assert nobody == refusal(erased, "erasure", "preview_erasure", {"who": who})
        assert nobody == refusal(erased, "erasure", "request_erasure", {"who": who, "reason": "again"})


def test_messages_of_the_person_are_gone_and_all_others_are_unchanged(erased: ErasedPerson) -> None:
    """Every other message reads as before but for the marker in place of each spelling: entity-, percent- and VERP-encoded,
    in subjects and texts, and in header mailboxes as wholes with their names."""
    staying = {one: row for one, row in erased.before.messages.items() if not erased.is_gone(row)}
    expected = {one: changed(row, erased.forgets) for one, row in staying.items()}
    assert expected == erased.after.messages
    assert 0 < len(staying) < len(erased.before.messages)
    marked = [one for one, row in expected.items() if row != staying[one]]
    assert len(marked) > 10, "too few mails name the person"
    assert any(MARKER in row["to"] for row in erased.after.messages.values())
    assert any(MARKER in row["cc"] for row in erased.after.messages.values())
    assert any(MARKER in row["reply_to"] for row in erased.after.messages.values())


def test_each_way_of_writing_is_erased_where_it_stood(erased: ErasedPerson) -> None:
    """The mail with every spelling shows the marker in each line, and everything around it."""
    (spelled,) = [row["text"] for row in erased.after.messages.values() if row["text"].endswith("The end of the cases.\n")]
    ways = all_spellings(erased.person)
    lines = [f"Case {number} says {MARKER} and goes on." for number in range(len(ways))]
    assert [*lines, "The end of the cases."] == spelled.splitlines()


def test_tickets_keep_what_is_not_the_persons(erased: ErasedPerson) -> None:
    """A ticket in which others wrote stays with their messages; one of the person's loses its subject; others stay."""
    staying = {row["ticket_id"] for row in erased.before.messages.values() if not erased.is_gone(row)}
    expected = {}
    for one, row in erased.before.tickets.items():
        if one in staying:
            left = sum(message["ticket_id"] == one for message in erased.after.messages.values())
            theirs = row["requester_id"] in erased.person_ids
            lost = {"requester_id": None, "subject": MARKER} if theirs else {}
            expected[one] = changed(row, erased.forgets) | lost | {"messages": left}
    assert expected == erased.after.tickets
    nothing = refusal(erased, "tickets", "show_ticket", {"ticket_id": new_id()})
    gone = erased.before.tickets.keys() - staying
    assert gone
    for one in gone:
        assert nothing == refusal(erased, "tickets", "show_ticket", {"ticket_id": one})


def test_attachments_go_with_their_message_or_stay_but_for_the_marker(erased: ErasedPerson) -> None:
    """Those of the person's messages can't be had; in the others' names and texts the marker stands; other formats are the
    same bytes."""
    staying = {
        one["blob_id"]
        for row in erased.before.messages.values() if not erased.is_gone(row) for one in row["attachments"]
    }  # fmt: skip
    expected = {one: changed(row, erased.forgets) for one, row in erased.before.attachments.items() if one in staying}
    assert expected == erased.after.attachments
    assert any(row != erased.before.attachments[one] for one, row in expected.items()), "no attachment names the person"
    gone = erased.before.attachments.keys() - staying
    assert gone, "the person had no attachment"
    nothing = refusal(erased, "tickets", "show_attachment", {"blob_id": new_id()})
    for one in gone:
        assert nothing == refusal(erased, "tickets", "show_attachment", {"blob_id": one})


def test_search_finds_what_it_found_but_for_the_persons_messages(erased: ErasedPerson) -> None:
    """Looking for their name, address, number or sentences gives the others' messages that were given before, and nothing of
    theirs; looking for anything else gives the same."""
    lost = 0
    for words, hits in erased.queries.items():
        expected = [one["message_id"] for one in hits if not erased.is_gone(erased.before.messages[one["message_id"]])]
        now = search(erased.desk, words)
        assert expected == [one["message_id"] for one in now], words
        assert not traces(erased, now), words
        lost += len(hits) - len(expected)
    assert lost > 0, "nothing was found of the person before"


def test_lists_by_the_person_are_those_of_nobody(erased: ErasedPerson) -> None:
    """Their messages and their tickets are as empty as those of an id that was never given."""
    for person in erased.person_ids:
        for method, argument in (("messages_of", "person_id"), ("list_tickets", "requester_id")):
            theirs = erased.desk.call("tickets", method, {argument: person})
            assert erased.desk.call("tickets", method, {argument: new_id()}) == theirs


def test_no_exact_identifier_of_the_person_is_left_in_anything_that_can_be_seen(erased: ErasedPerson) -> None:
    """Over all persons, tickets, messages, attachments and put-aside mails there is no spelling, nor a mailbox with their name;
    before there were hundreds."""
    assert not traces(erased, list(erased.after.strings()))
    assert len([one for one in erased.before.strings() if erased.forgets(one) != one]) > 50


def test_the_account_tells_of_the_request_only_by_ids(erased: ErasedPerson) -> None:
    """What is shown of the request, its list and its certificate names nobody."""
    request = {"request_id": erased.erasure["request_id"]}
    shown = [
        erased.desk.call("erasure", "show_erasure", request),
        erased.desk.call("erasure", "list_erasures"),
        erased.desk.call("erasure", "show_certificate", request)["document"].decode(),
    ]
    assert not traces(erased, shown)
    assert erased.person.name not in str(shown)


def test_no_export_has_anything_of_the_person(erased: ErasedPerson) -> None:
    """The account's export has no spelling and no person of theirs; their own export is refused as for somebody unknown."""
    status, exported = lethe(erased, "export", "--json")
    assert status == 0
    whole = json.loads(exported)
    assert len(erased.after.persons) == len(whole["people"])
    assert len(erased.after.messages) == sum(len(ticket["messages"]) for ticket in whole["tickets"])
    assert not traces(erased, exported)
    unknown = lethe(erased, "person", "export", new_id())
    for who in (*erased.person_ids, erased.person.address, erased.person.phone):
        assert unknown == lethe(erased, "person", "export", who)
    assert unknown[0] == 3


def refusal(erased: ErasedPerson, service: str, method: str, argument: dict[str, Any]) -> dict[str, Any]:
    """The error with which a call is refused, which must be that there is no such thing."""
    with pytest.raises(LetheError) as refused:
        erased.desk.call(service, method, argument)
    assert isinstance(refused.value, NotFound)
    return to_wire(refused.value)


def traces(erased: ErasedPerson, seen: Any) -> list[str]:
    """The spellings of the person in something that was seen."""
    text = json.dumps(seen, ensure_ascii=False, default=str)
    mailbox = f"{erased.person.name} <"
    return [one for one in (*all_spellings(erased.person), mailbox + erased.person.address) if one in text]


def lethe(erased: ErasedPerson, *arguments: str) -> tuple[int, str]:
    """Runs a command as the owner; its exit status and what it printed."""
    stdout = io.TextIOWrapper(io.BytesIO(), "utf-8")
    home: Path = erased.desk.callers.settings.home
    around = {"LETHE_HOME": str(home), "LETHE_ACCOUNT": erased.desk.account, "LETHE_TOKEN": erased.desk.token}
    with mock.patch.dict(os.environ, around), redirect_stdout(stdout), redirect_stderr(io.StringIO()):
        status = invoke(arguments)
    stdout.flush()
    return status, stdout.buffer.getvalue().decode()
