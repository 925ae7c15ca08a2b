"""Generates a mail archive as a support desk has it: for `make demo`, and for the tests, which bring their
own mail.

All people, addresses and numbers are invented; domains are those reserved by RFC 2606, telephone numbers
those set aside for drama. The same seed gives the same bytes. The manifest says what is where, so that a test
can look for it.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote

import msgspec

from deploy.demo_malformed import malformed_mails
from deploy.demo_people import (
    COMPLAINTS,
    DESK_ADDRESS,
    FIRST_DAY,
    LIST_ADDRESS,
    PRODUCTS,
    REMEDIES,
    SUBJECTS,
    DemoPerson,
    invent_people,
)


class DemoMail(msgspec.Struct, frozen=True):
    """One mail of the archive."""

    path: str
    """The file, relative to the archive's folder."""
    message_id: str
    """Without angle brackets; "" where the mail has none."""
    sender: str
    """The address in From; "" where there is none."""
    recipients: list[str]
    mentions: list[str]
    """Addresses and phone numbers (E.164) of people that stand in its text or in a text attachment."""
    spellings: list[str]
    """How those are written there."""
    sentences: list[str]
    """Sentences of its text that occur in no other thread."""
    thread: int
    kind: str
    """"support", "list", or the name of what is broken."""
    readable: bool = True


class Manifest(msgspec.Struct, frozen=True):
    """What was generated."""

    desk_address: str
    list_address: str
    people: list[DemoPerson]
    mails: list[DemoMail]

    def of(self, address: str) -> list[DemoMail]:
        """The mails in which an address stands anywhere."""
        return [mail for mail in self.mails if address in (mail.sender, *mail.recipients, *mail.mentions)]


def generate(
    directory: Path | str,
    *,
    mails: int = 400,
    people: int = 40,
    seed: int = 1,
    large_part_bytes: int = 1_000_000,
) -> Manifest:
    """Writes about `mails` mails by `people` people below `directory`: `inbox/` of .eml files, the Maildir
    `maildir/`, `archive.mbox`, and `broken/` with one mail of each kind of malformation, two of which are no
    mail at all.

    large_part_bytes: the size of the one large attachment (the tests of limits ask for 20 MB).
    """
    folder = Path(directory)
    archive = _Archive(folder, random.Random(seed), invent_people(people, random.Random(seed)), seed)
    broken = malformed_mails(archive.people, large_part_bytes)
    while len(archive.mails) < max(0, mails - len(broken)):
        if archive.random.random() < 0.2:
            archive.list_thread()
        else:
            archive.support_thread()
    for name, (raw, sender, readable) in broken.items():
        path = folder / "broken" / f"{name}.eml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        archive.mails.append(
            DemoMail(f"broken/{name}.eml", "", sender, [], [], [], [], -1, name, readable=readable)
        )
    archive.close()
    return Manifest(DESK_ADDRESS, LIST_ADDRESS, archive.people, archive.mails)


class _Archive:
    """Writes threads one after the other and keeps the record of them."""

    def __init__(self, folder: Path, source: random.Random, people: list[DemoPerson], seed: int) -> None:
        self.folder, self.random, self.people, self.seed = folder, source, people, seed
        self.mails: list[DemoMail] = []
        self.thread = 0
        self.moment = FIRST_DAY
        self.mbox: list[bytes] = []
        for name in ("inbox", "maildir/cur", "maildir/new", "maildir/tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def support_thread(self) -> None:
        """A customer asks, the desk answers with the question quoted, some customers write again and bring in
        others."""
        customer, other = self.random.sample(self.people, 2)
        subject = f"{self.random.choice(SUBJECTS)} {self._serial()}"
        sentences = [self._sentence(COMPLAINTS) for _ in range(self.random.randint(2, 5))]
        first = self._message(customer.mailbox(), [DESK_ADDRESS], subject)
        if self.random.random() < 0.4:
            first["Cc"] = other.mailbox()
        if self.random.random() < 0.1:
            first["Reply-To"] = customer.mailbox(other_address=True)
        mentions, spellings = self._body(first, customer, other, sentences)
        self._write(first, customer.address, sentences, mentions, spellings, "support")
        asked = "\n".join(sentences)
        for turn in range(self.random.choice((0, 1, 1, 2, 3))):
            by_desk = turn % 2 == 0
            author = f"Harbour Desk <{DESK_ADDRESS}>" if by_desk else customer.mailbox()
            to = [customer.mailbox() if by_desk else DESK_ADDRESS]
            reply = self._message(author, to, f"Re: {subject}", answers=first)
            if first["Cc"]:
                reply["Cc"] = str(first["Cc"])
            new = [self._sentence(REMEDIES if by_desk else COMPLAINTS)]
            quoted = customer if by_desk else other
            reply.set_content(f"{new[0]}\n\n{_quote(quoted, self.moment, asked)}\n")
            sender = DESK_ADDRESS if by_desk else customer.address
            self._write(reply, sender, new, [quoted.address], [quoted.address], "support")
        self.thread += 1

    def list_thread(self) -> None:
        """People talk on a mailing list and quote each other."""
        subject = f"[kettles] {self.random.choice(SUBJECTS)} {self._serial()}"
        first: EmailMessage | None = None
        asked, before = "", self.random.choice(self.people)
        for _ in range(self.random.randint(2, 4)):
            author = self.random.choice(self.people)
            message = self._message(
                author.mailbox(), [f"Kettle lovers <{LIST_ADDRESS}>"], subject, answers=first
            )
            local, _, domain = LIST_ADDRESS.partition("@")
            message["List-Id"] = f"Kettle lovers <{local}.{domain}>"
            message["List-Post"] = f"<mailto:{LIST_ADDRESS}>"
            message["Sender"] = f"{local}-bounces@{domain}"
            message["Precedence"] = "list"
            sentence = self._sentence(COMPLAINTS)
            text, mentions = f"{sentence}\n", list[str]()
            if first is not None:
                text += f"\n{_quote(before, self.moment, asked)}\n"
                mentions = [before.address]
            message.set_content(f"{text}\n-- \n{author.name}\n")
            self._write(message, author.address, [sentence], mentions, mentions, "list")
            first, asked, before, subject = message, sentence, author, f"Re: {subject.removeprefix('Re: ')}"
        self.thread += 1

    def _body(
        self, message: EmailMessage, author: DemoPerson, other: DemoPerson, sentences: list[str]
    ) -> tuple[list[str], list[str]]:
        """Sets the content in one of the ways of mail programs. Returns who is mentioned in it, and how it is
        written."""
        mentions, spellings = [other.address], [self._spelling(other.address)]
        text = "\n".join(sentences) + f"\n\nPlease tell {spellings[0]} as well.\n"
        if author.phone:
            text += f"\n-- \n{author.name}\nphone {author.phone_spelling}\n"
            mentions.append(author.phone)
            spellings.append(author.phone_spelling)
        way = self.random.random()
        message.set_content(
            text, charset="utf-8", cte=self.random.choice(("8bit", "quoted-printable", "base64"))
        )
        if way < 0.2:
            message.add_alternative(_as_html(text), subtype="html")
        elif way < 0.3:
            message.set_content(_as_html(text), subtype="html")
            spellings[0] = spellings[0].replace("&#64;", "@").replace("&commat;", "@")
        elif way < 0.4:
            message.add_attachment(f"log of {other.address}\n{sentences[0]}\n", filename="log.txt")
            spellings.append(other.address)
        elif way < 0.5:
            message.add_attachment(PICTURE, maintype="image", subtype="png", filename="kettle.png")
        elif way < 0.6:
            message.add_attachment(
                DOCUMENT + self._serial().encode(),
                maintype="application",
                subtype="pdf",
                filename="invoice.pdf",
            )
        elif way < 0.65:
            inner = EmailMessage(policy=SMTP)
            inner["From"], inner["To"], inner["Subject"] = (
                other.mailbox(),
                author.mailbox(),
                "Have you seen this",
            )
            inner["Date"] = format_datetime(self.moment - timedelta(days=1))
            inner.set_content(f"It happened to me too, ask {author.address}.\n")
            message.add_attachment(inner)
            mentions.append(author.address)
            spellings += [author.address, other.address]
        return mentions, spellings

    def _message(
        self, author: str, to: list[str], subject: str, answers: EmailMessage | None = None
    ) -> EmailMessage:
        self.moment += timedelta(minutes=self.random.randint(3, 600))
        message = EmailMessage(policy=SMTP)
        message["From"] = author
        message["To"] = ", ".join(to)
        message["Subject"] = subject
        message["Date"] = format_datetime(self.moment)
        message["Message-ID"] = f"<{self.seed}.{self.thread}.{len(self.mails)}@mail.example>"
        if answers is not None:
            message["In-Reply-To"] = str(answers["Message-ID"])
            before = str(answers["References"] or "").split()
            message["References"] = " ".join([*before, str(answers["Message-ID"])])
        return message

    def _write(
        self,
        message: EmailMessage,
        sender: str,
        sentences: list[str],
        mentions: list[str],
        spellings: list[str],
        kind: str,
    ) -> None:
        number = len(self.mails)
        for position, part in enumerate(message.walk()):
            if part.is_multipart() and part.get_content_maintype() == "multipart":
                part.set_boundary(f"=={self.seed}-{number}-{position}==")
        place = self.random.random()
        if place < 0.6:
            path = f"inbox/{number:05}.eml"
            (self.folder / path).write_bytes(message.as_bytes())
        elif place < 0.8:
            path = f"maildir/cur/{int(self.moment.timestamp())}.{number:05}.desk:2,S"
            (self.folder / path).write_bytes(message.as_bytes(policy=SMTP.clone(linesep="\n")))
        else:
            path = "archive.mbox"
            self.mbox.append(
                _mbox_entry(message.as_bytes(policy=SMTP.clone(linesep="\n")), sender, self.moment)
            )
        recipients = [
            mailbox.addr_spec
            for field in ("To", "Cc", "Reply-To")
            if message[field]
            for mailbox in message[field].addresses
        ]
        identifier = str(message["Message-ID"]).strip("<>")
        self.mails.append(
            DemoMail(path, identifier, sender, recipients, mentions, spellings, sentences, self.thread, kind)
        )

    def close(self) -> None:
        (self.folder / "archive.mbox").write_bytes(b"".join(self.mbox))

    def _sentence(self, patterns: tuple[str, ...]) -> str:
        pattern = self.random.choice(patterns)
        return pattern.format(product=self.random.choice(PRODUCTS), serial=self._serial())

    def _serial(self) -> str:
        letters = "".join(self.random.choices("BCDFGHKLMNPQRSTVWXZ", k=3))
        return f"{letters}-{self.random.randint(100_000, 999_999)}"

    def _spelling(self, address: str) -> str:
        """An address in one of the ways in which it comes into texts."""
        local, _, domain = address.partition("@")
        ways = (
            address,
            address,
            address.upper() if address.isascii() else address,
            f"mailto:{address}",
            f"<{address}>",
            f"{local}&#64;{domain}",
            f"{local}&commat;{domain}",
            f"https://desk.example/?to={quote(local)}%40{domain}",
            f"bounces-{local}={domain}@lists.example",
        )
        return self.random.choice(ways)


def _quote(author: DemoPerson, moment: datetime, text: str) -> str:
    lines = "\n".join(f"> {line}" for line in text.splitlines())
    return f"On {moment:%a, %d %b %Y at %H:%M}, {author.name} <{author.address}> wrote:\n{lines}"


def _as_html(text: str) -> str:
    escaped = text.replace("<", "&lt;").replace(">", "&gt;")
    paragraphs = "".join(f"<p>{line}</p>\n" for line in escaped.splitlines() if line)
    return f"<html><head><style>p {{ margin: 0 }}</style></head><body>\n{paragraphs}</body></html>\n"


def _mbox_entry(raw: bytes, sender: str, moment: datetime) -> bytes:
    separator = (
        f"From {sender if sender.isascii() else 'somebody'} {moment.astimezone(UTC):%a %b %d %H:%M:%S %Y}\n"
    )
    return separator.encode() + b"".join(_quote_from(raw)) + b"\n"


def _quote_from(raw: bytes) -> Iterator[bytes]:
    for line in raw.splitlines(keepends=True):
        yield b">" + line if line.lstrip(b">").startswith(b"From ") else line


# The smallest picture there is: one transparent dot.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
DOCUMENT = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
