"""From a read mail to what is kept of it: identifiers taken out, references put in. Pure: no I/O, no keys.

Two steps with contacts in between: `gather` lists every exact identifier of a mail with its spellings; once contacts has
said which identifier each is, `Referenced` gives the texts in which references stand in their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.tickets.events import Headers, Text
from shared.mail import Mail, Mailbox
from shared.references import Segments, Spelling, find_identifiers, normalise_address, split_text
from shared.resolving import IdentifierKind, Role

IdentifierKey = tuple[IdentifierKind, str]
ROLES: tuple[Role, ...] = ("quoted", "recipient", "sender")
"""From the weakest to the strongest."""
MAX_THREAD_IDS = 40


@dataclass
class Seen:
    """An identifier in one mail: its strongest role, its spellings, the name that stood with it."""

    role: Role = "quoted"
    name: str = ""
    is_list: bool = False
    spellings: dict[str, None] = field(default_factory=dict)


@dataclass
class Gathered:
    """A mail with its identifiers found, in the order of their first occurrence."""

    mail: Mail
    seen: dict[IdentifierKey, Seen]
    subject: tuple[Segments, list[Spelling]]
    text: tuple[Segments, list[Spelling]]
    names: list[tuple[Segments, list[Spelling]]]
    contents: list[tuple[Segments, list[Spelling]] | None]
    """Of text attachments; None for another format, whose identifiers are not searched."""


def gather(mail: Mail) -> Gathered:
    """Finds the identifiers in headers, subject, text, and the names and texts of attachments."""
    gathered = Gathered(
        mail=mail,
        seen={},
        subject=split_text(mail.subject),
        text=split_text(mail.text),
        names=[split_text(one.name) for one in mail.attachments],
        contents=[split_text(one.text()) if one.is_text else None for one in mail.attachments],
    )
    headers: tuple[tuple[Role, Sequence[Mailbox]], ...] = (
        ("sender", mail.senders), ("recipient", mail.reply_to), ("recipient", mail.to), ("recipient", mail.cc)
    )  # fmt: skip
    for role, mailboxes in headers:
        for mailbox in mailboxes:
            if (key := _key_of(mailbox)) is not None:
                one = gathered.seen.setdefault(key, Seen())
                one.role = max(one.role, role, key=ROLES.index)
                one.is_list |= key[1] in mail.list_addresses
                one.name = one.name or ("" if one.is_list else own_name(mailbox))
                one.spellings[spelling_of(mailbox, is_list=one.is_list)] = None
    for part in (gathered.subject, gathered.text, *gathered.names, *gathered.contents):
        for spelling in part[1] if part is not None else ():
            one = gathered.seen.setdefault((spelling.kind, spelling.normalised), Seen())
            one.is_list |= spelling.normalised in mail.list_addresses
            one.spellings[spelling.spelling] = None
    return gathered


def _key_of(mailbox: Mailbox) -> IdentifierKey | None:
    return ("address", normalise_address(mailbox.address)) if mailbox.address else None


def spelling_of(mailbox: Mailbox, *, is_list: bool) -> str:
    """How a mailbox is shown. The name goes with the address, since it is that person's; a name that stands with a list's
    address, or that is itself somebody's address, is left out: it would outlive whom it names."""
    name = "" if is_list else own_name(mailbox)
    return f"{name} <{mailbox.address}>" if name else mailbox.address


def own_name(mailbox: Mailbox) -> str:
    """The name of a mailbox, unless it is, or holds, an identifier of somebody else ("bob@example.org via Forum")."""
    own = normalise_address(mailbox.address)
    return "" if any(found.normalised != own for found in find_identifiers(mailbox.name)) else mailbox.name


class Referenced:
    """A gathered mail with the answers of contacts: gives its parts with references in place of identifiers."""

    def __init__(self, gathered: Gathered, resolved: Sequence[Any]) -> None:
        self._gathered = gathered
        self.identifiers: list[str] = []
        self._by_key: dict[IdentifierKey, Any] = {}
        self._spelling_ids: dict[tuple[IdentifierKey, str], str | None] = {}
        for (key, seen), answer in zip(gathered.seen.items(), resolved, strict=True):
            self._by_key[key] = answer
            if answer.identifier_id is not None:
                self.identifiers.append(answer.identifier_id)
            ids = answer.spelling_ids or [None] * len(seen.spellings)
            for spelling, spelling_id in zip(seen.spellings, ids, strict=True):
                self._spelling_ids[key, spelling] = spelling_id

    def subject(self) -> Text:
        return self._text(self._gathered.subject)

    def text(self) -> Text:
        return self._text(self._gathered.text)

    def attachment_name(self, place: int) -> Text:
        return self._text(self._gathered.names[place])

    def attachment_text(self, place: int) -> Text | None:
        content = self._gathered.contents[place]
        return None if content is None else self._text(content)

    def headers(self) -> Headers:
        mail = self._gathered.mail
        return Headers(
            senders=self._mailboxes(mail.senders),
            reply_to=self._mailboxes(mail.reply_to),
            to=self._mailboxes(mail.to),
            cc=self._mailboxes(mail.cc),
        )

    def author(self) -> Any | None:
        """What contacts said of the first sender that has an address."""
        for mailbox in self._gathered.mail.senders:
            if (key := _key_of(mailbox)) is not None:
                return self._by_key[key]
        return None

    def first_recipient(self) -> str | None:
        """The first person whom the mail is addressed to."""
        for mailbox in (*self._gathered.mail.to, *self._gathered.mail.cc):
            if (key := _key_of(mailbox)) is not None and self._by_key[key].person_ids:
                return str(self._by_key[key].person_ids[0])
        return None

    def _mailboxes(self, mailboxes: Sequence[Mailbox]) -> list[str | None]:
        ids = []
        for mailbox in mailboxes:
            if (key := _key_of(mailbox)) is not None:
                is_list = self._gathered.seen[key].is_list
                ids.append(self._spelling_ids.get((key, spelling_of(mailbox, is_list=is_list))))
        return ids

    def _text(self, part: tuple[Segments, list[Spelling]]) -> Text:
        segments, spellings = part
        ids = [self._spelling_ids[(one.kind, one.normalised), one.spelling] for one in spellings]
        return Text(list(segments.parts), ids)


def thread_ids(mail: Mail) -> list[str]:
    """The Message-IDs that lead to a mail's thread, the nearest first: what it answers, what that answered, itself."""
    nearest = [*mail.in_reply_to, *reversed(mail.references)]
    return list(dict.fromkeys(nearest))[:MAX_THREAD_IDS]


def plain_words(text: Text) -> str:
    """A text without its identifiers, for the search index: an index entry of an address would outlive its person."""
    return " ".join(part for part in text.parts if isinstance(part, str))


def rendered(text: Text, spellings: dict[str, str | None], marker: str) -> str:
    """A text as it was written, with `marker` in place of what is erased."""
    out = []
    for part in text.parts:
        if isinstance(part, str):
            out.append(part)
        else:
            spelling_id = text.spellings[part]
            spelling = spellings.get(spelling_id) if spelling_id is not None else None
            out.append(marker if spelling is None else spelling)
    return "".join(out)
