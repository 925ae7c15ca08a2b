"""The canonical export depends on the content only: not on ids, not on times of the import, not on the order of answers."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from cli.canonical import SeenTicket, canonical_export, encode
from services.contacts.commands import PersonView
from services.tickets.commands import AttachmentView, MessageView, PutAsideView, TicketView
from shared.ids import new_id

DAY = datetime(2024, 3, 4, 8, 0, tzinfo=UTC)
PEOPLE = [("Ada", ["ada@example.org"]), ("Ben", ["ben@example.org", "b@example.com"]), (None, []), (None, [])]
MAILS = [(0, "Broken lid", 0), (1, "Odd noise", 2), (2, "No sender's address", 1), (3, "Nor here", None)]


def account(seed: int) -> bytes:
    """The export of an account of the same content, with other ids, import times and orders of answers."""
    source = random.Random(seed)
    imported_at = DAY + timedelta(days=source.randint(1, 500))
    ids = [new_id() for _ in PEOPLE]
    people = [
        PersonView(person_id=one, origin="correspondent", added_at=imported_at, name=name, addresses=[*addresses])
        for one, (name, addresses) in zip(ids, PEOPLE, strict=True)
    ]
    tickets = [ticket(ids[author], subject, offset, imported_at, source) for author, subject, offset in MAILS]
    aside = [PutAsideView(put_aside_id=new_id(), reason="empty", size=size, put_aside_at=imported_at) for size in (0, 7)]
    for answers in (people, tickets, aside):
        source.shuffle(answers)  # type: ignore[arg-type]
    return encode(canonical_export(people, tickets, aside, []))


def ticket(author: str, subject: str, offset: int | None, imported_at: datetime, source: random.Random) -> SeenTicket:
    """A ticket of two messages, the second of which has an attachment."""
    blob = AttachmentView(blob_id=new_id(), name="lid.png", media_type="image/png", size=3)
    sent_at = None if offset is None else DAY + timedelta(hours=offset)
    messages = [
        MessageView(
            message_id=new_id(), author_id=author, direction="incoming", sent_at=sent_at, added_at=imported_at,
            senders=["somebody"], to=[], cc=[], reply_to=[], subject=subject, text=text, attachments=attached,
        )
        for text, attached in (("The lid broke.", []), ("Here is a picture.", [blob]))
    ]  # fmt: skip
    source.shuffle(messages)
    view = TicketView(
        ticket_id=new_id(), requester_id=author, channel="e-mail", opened_at=imported_at, subject=subject, messages=2
    )
    return SeenTicket(view, messages, {blob.blob_id: ("00ff", 3)})


def test_two_imports_of_the_same_mail_give_the_same_bytes() -> None:
    """Ids, times of the import and the order of answers leave no trace in the export."""
    assert {account(0)} == {account(seed) for seed in range(40)}


def test_no_id_is_in_an_export() -> None:
    """References are ordinals."""
    person = PersonView(person_id=new_id(), origin="correspondent", added_at=DAY, name="Ada", addresses=["ada@example.org"])
    content = encode(canonical_export([person], [ticket(person.person_id, "Lid", 1, DAY, random.Random(1))], [], []))
    assert person.person_id.encode() not in content
    assert content.count(b'"author": 1') == 2


def test_an_author_who_is_not_to_be_seen_is_nobody() -> None:
    """An id that no person of the list has does not get through."""
    content = encode(canonical_export([], [ticket(new_id(), "Lid", 1, DAY, random.Random(1))], [], []))
    assert content.count(b'"author": null') == 2
