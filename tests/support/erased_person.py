"""A desk with an archive, and one of its people erased: what was seen and held before, and what is after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.demo_mail import Manifest, generate
from deploy.demo_people import DemoPerson
from tests.support.copies import Copy, living_keys
from tests.support.desk import Callers, Desk, Row, View, mails_of
from tests.support.spellings import eraser_of, mails_about

MAILS, PEOPLE, SEED = 100, 9, 20
TOO_SLOW = ("many-recipients",)
"""Kinds of broken mail that cost seconds and show nothing here."""


@dataclass(frozen=True)
class ErasedPerson:
    """One person of a desk, before and after their erasure. `queries` are words that were looked up, with what was found."""

    desk: Desk
    manifest: Manifest
    mails: list[bytes]
    person: DemoPerson
    person_ids: list[str]
    before: View
    queries: dict[str, list[Row]]
    copy: Copy
    erasure: Row
    keys: dict[tuple[str, str], bytes]
    """Every item key that is left right after the erasure, by service and item."""
    after: View

    def forgets(self, text: str) -> str:
        """A text with the marker in place of each spelling of the person."""
        return eraser_of(self.person).sub("[erased]", text)

    def is_gone(self, message: Row) -> bool:
        """Whether a message goes with the person: they wrote it, or it is the account's answer in a ticket of theirs."""
        if message["author_id"] in self.person_ids:
            return True
        requester = self.before.tickets[message["ticket_id"]]["requester_id"]
        return bool(message["direction"] == "outgoing" and requester in self.person_ids)


def erase_somebody(callers: Callers, folder: Path) -> ErasedPerson:
    """Opens a desk, fills it, looks at all of it, copies it, and erases who is best known there."""
    manifest = generate(folder / "mail", mails=MAILS, people=PEOPLE, seed=SEED, large_part_bytes=100_000)
    skipped = {mail.path for mail in manifest.mails if mail.kind in TOO_SLOW}
    archive = [one.raw for one in mails_of(folder / "mail") if not any(str(one.path).endswith(path) for path in skipped)]
    person, author = best_known(manifest)
    mails = [*archive, *mails_about(person, author, manifest.desk_address)]
    desk = Desk.open(callers)
    desk.add_mailbox(manifest.desk_address)
    desk.take_in(mails)
    before = desk.see()
    queries = {words: search(desk, words) for words in words_about(manifest, person)}
    (folder / "copy").mkdir()
    copy = Copy(callers.settings, desk.account, folder / "copy")
    also = [one for one in (person.other_address, person.phone) if one]
    erasure = desk.erase(person.address, also)
    keys = living_keys(callers.settings, desk.account)
    return ErasedPerson(
        desk, manifest, mails, person, erasure["person_ids"], before, queries, copy, erasure, keys, desk.see()
    )


def best_known(manifest: Manifest) -> tuple[DemoPerson, DemoPerson]:
    """Somebody with a number whose address stands in most mails of others, and somebody else."""
    counts = Counter(one for mail in manifest.mails for one in {*mail.mentions, *mail.recipients} if one != mail.sender)
    ranked = sorted(manifest.people, key=lambda one: -counts[one.address])
    person = next(one for one in ranked if one.phone and one.address.isascii())
    return person, next(one for one in ranked if one is not person)


def words_about(manifest: Manifest, person: DemoPerson) -> list[str]:
    """What one would type to find somebody: name, address, number, and the sentences of their mails."""
    sentences = [one for mail in manifest.mails if mail.sender == person.address for one in mail.sentences]
    of_others = [one for mail in manifest.mails if mail.sender != person.address for one in mail.sentences][:5]
    local, _, domain = person.address.partition("@")
    own = (person.name, person.address, local, domain, person.phone_spelling)
    return list(dict.fromkeys([*own, *sentences, *of_others, "Case says"]))


def search(desk: Desk, words: str) -> list[Row]:
    """What is found for words."""
    hits: list[Row] = desk.call("tickets", "search_tickets", {"words": words, "limit": 500})["hits"]
    return hits


def changed(row: Row, forget: Callable[[str], str], mailboxes: tuple[str, ...] = ("senders", "to", "cc", "reply_to")) -> Row:
    """A row of a view as it is to be after the erasure: every text forgotten in, and mailboxes as wholes."""

    def inner(value: Any) -> Any:
        if isinstance(value, str):
            return forget(value)
        if isinstance(value, bytes):
            return forget(value.decode()).encode() if _is_text(value) else value
        if isinstance(value, list):
            return [inner(one) for one in value]
        if isinstance(value, dict):
            return {key: inner(one) for key, one in value.items()}
        return value

    made = inner(row)
    for key in mailboxes:
        if key in row:
            made[key] = ["[erased]" if forget(one) != one else one for one in row[key]]
    return dict(made)


def _is_text(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
