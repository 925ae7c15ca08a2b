"""Whoever kept a copy from before an erasure can't open in it what was the person's; what is the living's does open.

The keys tried are all that are left, each on each ciphertext, whatever key it names.
"""

from __future__ import annotations

from collections import Counter

import pytest

from shared.rotation import rotate
from shared.sealing import derive
from shared.settings import SERVICES
from tests.support.byte_scan import holds
from tests.support.copies import PUBLIC, WRAPS, Part, account_place, attempt, item_place, living_account_keys
from tests.support.erased_person import ErasedPerson
from tests.support.spellings import all_spellings

HELD = {
    "contacts.PersonNamed.name", "contacts.IdentifierAdded.address", "contacts.SpellingAdded.text",
    "tickets.TicketOpened.subject", "tickets.MessageAdded.content",
}  # fmt: skip
"""The kinds of sealed part that the person had, as the archive gave them."""


@pytest.fixture(scope="module")
def opened(erased: ErasedPerson) -> dict[Part, bytes]:
    """What the copy says, opened with its own keys: that it could be opened before the erasure is the control."""
    keys = erased.copy.own_keys()
    found = {}
    for part in erased.copy.parts:
        plain = attempt(keys[part.service, part.item], part.sealed, part.place)
        assert plain is not None, part.field
        found[part] = plain
    return found


def test_the_copy_holds_no_ciphertext_but_the_sealed_parts_of_its_events(erased: ErasedPerson) -> None:
    """Read models, indexes and the rest keep the event's own bytes or none, so that what is tried here is all there is."""
    sealed = {part.sealed for part in erased.copy.parts}
    for (service, table, column), values in erased.copy.columns.items():
        if (table, column) not in WRAPS and (table, column) not in PUBLIC:
            assert set(values) <= sealed, (service, table, column)
    assert len(sealed) == len(erased.copy.parts) > 200


def test_no_living_key_opens_what_named_the_person(erased: ErasedPerson, opened: dict[Part, bytes]) -> None:
    """Their names, addresses and numbers, each spelling of these that stands in others' tickets, and their mails: none opens
    under any item key that is left, of any service."""
    theirs = [
        part for part, plain in opened.items() if names_the_person(erased, plain, part) or is_their_mail(erased, plain, part)
    ]
    assert {part.field for part in theirs} >= HELD - {"tickets.TicketOpened.subject"}
    assert len([part for part in theirs if part.field == "contacts.SpellingAdded.text"]) > 20
    for part in theirs:
        assert not opening_keys(erased, part), part.field


def test_what_does_not_open_any_more_was_the_persons(erased: ErasedPerson, opened: dict[Part, bytes]) -> None:
    """Each other part opens under its own key, to what it was before; and those that do not are items of theirs alone."""
    for part, plain in opened.items():
        key = erased.keys.get((part.service, part.item))
        if key is not None:
            assert plain == attempt(key, part.sealed, part.place)
    shut = [part for part in opened if (part.service, part.item) not in erased.keys]
    assert {part.field for part in shut} == HELD
    living = Counter(part.field for part in opened if (part.service, part.item) in erased.keys)
    assert all(living[field] > 10 for field in HELD), living
    others = [one.address for one in erased.manifest.people if one is not erased.person]
    said = b"\n".join(opened[part] for part in shut if part.field.startswith("contacts."))
    assert not [one for one in others if one.encode() in said]


def test_no_living_key_opens_an_attachment_of_the_persons(erased: ErasedPerson) -> None:
    """A blob of the copy opens under its message's key if that is left, and those of the person under none."""
    own = erased.copy.own_keys()
    gone = [one for one in erased.copy.blob_items if ("tickets", one.item) not in erased.keys]
    assert 0 < len(gone) < len(erased.copy.blob_items)
    for one in erased.copy.blob_items:
        assert erased.copy.opens(one, own["tickets", one.item])
        key = erased.keys.get(("tickets", one.item))
        if key is not None:
            assert erased.copy.opens(one, key)
    for one in gone:
        assert not [key for key in erased.keys.values() if erased.copy.opens(one, key)]
        raw = next((erased.copy.roots.parent / "blobs").rglob(one.blob)).read_bytes()[4:]
        tried = (derive(key, f"blob {one.blob}") for key in erased.keys.values())
        assert not [key for key in tried if attempt(key, raw, f"blob\n{erased.copy.account}\n{one.blob}\n0\n1".encode())]


def test_no_text_but_those_of_contacts_names_anybody_exactly(erased: ErasedPerson, opened: dict[Part, bytes]) -> None:
    """What stands in the others' tickets is a reference: opened with the copy's own keys, no part of another service spells
    the person. So cutting the references' keys is enough."""
    for part, plain in opened.items():
        if part.service != "contacts":
            assert not names_the_person(erased, plain, part), part.field


def test_after_a_rotation_no_root_key_opens_what_the_copy_has_of_the_person(erased: ErasedPerson) -> None:
    """The root under which the copy's keys are wrapped is gone from the disk; no root key that still exists opens one of the
    copy's account keys, no account key that still exists one of the person's item keys; and the living go on."""
    settings, copy = erased.desk.callers.settings, erased.copy
    before = erased.desk.see()
    older = {path.relative_to(copy.roots): path.read_bytes() for path in copy.roots.glob("*/epoch-*.key")}
    for service in SERVICES:
        assert rotate(settings, service).destroyed, service
    roots = [path.read_bytes() for path in settings.path("root-keys").glob("*/epoch-*.key")]
    assert len(roots) >= len(SERVICES)
    for path, key in older.items():
        if path.parts[0] in SERVICES:
            assert key not in roots
            assert not holds(settings.home, key), path
    for account_wrap in copy.account_wraps:
        assert not [root for root in roots if attempt(root, account_wrap.wrapped, account_place(copy.account, account_wrap))]
    living = [key for service in SERVICES for key in living_account_keys(settings, copy.account, service).values()]
    theirs = [wrap for wrap in copy.item_wraps if (wrap.service, wrap.item) not in erased.keys]
    assert {wrap.service for wrap in theirs} == {"contacts", "tickets"}
    for wrap in theirs:
        for key in (*living, *roots, *erased.keys.values()):
            assert attempt(key, wrap.wrapped, item_place(copy.account, wrap)) is None
    assert before == erased.desk.see()


def names_the_person(erased: ErasedPerson, plain: bytes, part: Part) -> bool:
    """Whether a text has an exact identifier of the person, or is their name in their profile."""
    spelled = any(one.encode() in plain for one in all_spellings(erased.person))
    return spelled or (part.field == "contacts.PersonNamed.name" and erased.person.name.encode() in plain)


def is_their_mail(erased: ErasedPerson, plain: bytes, part: Part) -> bool:
    """Whether a text is a mail that the person sent, by its Message-ID."""
    sent = (mail.message_id.encode() for mail in erased.manifest.mails if mail.sender == erased.person.address)
    return part.field == "tickets.MessageAdded.content" and any(one and one in plain for one in sent)


def opening_keys(erased: ErasedPerson, part: Part) -> list[bytes]:
    """Which of the keys that are left open a part."""
    return [key for key in erased.keys.values() if attempt(key, part.sealed, part.place) is not None]
