"""What a mail is to Lethe: its people, its place in a thread, its text and its attachments.

Values only. Their `repr` shows no content, so that a traceback or a log line that holds one tells nothing
about anybody.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime


class Unreadable(Exception):
    """The bytes are no mail. `reason` is one of `REASONS` and never holds anything of the content."""

    REASONS = ("empty", "no-mail-header", "too-large", "unreadable-file")

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, repr=False)
class Mailbox:
    """One entry of From, To, Cc or Reply-To. Either part may be empty; an address that is there has an @ in
    it."""

    name: str
    address: str
    """As it was spelled; `shared.references.normalise_address` gives the form to compare by."""


@dataclass(frozen=True, slots=True, repr=False)
class Attachment:
    """A part of a mail that is not its text.

    Where `is_text` is true, `content` is UTF-8 whatever the mail used, so that identifiers in it can be found
    and replaced. A mail in the mail (message/rfc822) is such a text: its readable headers, an empty line, its
    text; what was attached to it is attached to the outer mail, and its source is not kept.
    """

    name: str
    media_type: str
    content: bytes
    is_text: bool

    def text(self) -> str:
        """The content of a text attachment."""
        return self.content.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, repr=False)
class Mail:
    """A mail as far as it could be read. Ids of messages stand without their angle brackets."""

    message_id: str | None
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    """Oldest first, as the header has them."""
    sent_at: datetime | None
    """The Date header, aware, UTC; None where it is absent, unreadable or implausible."""
    received_at: datetime | None
    """The earliest plausible date of the Received headers, aware, UTC."""
    senders: tuple[Mailbox, ...]
    reply_to: tuple[Mailbox, ...]
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    list_addresses: frozenset[str]
    """Normalised addresses of the mailing lists that carried this mail, and of their robots: no persons."""
    is_list_mail: bool
    subject: str
    text: str
    """Line ends are \\n. No NUL and no lone surrogate, which a database could not hold: U+FFFD stands for
    them."""
    attachments: tuple[Attachment, ...]
    defects: tuple[str, ...]
    """What was repaired or left out, sorted names without personal data: see
    `shared.mail.reading.DEFECTS`."""


def content_digest(mail: Mail) -> bytes:
    """32 bytes that name the content, whatever the headers say (mission E10: a mail imported again under
    another Message-ID and Date is known by it). White space is folded, since relays re-wrap and strip it;
    case is kept."""
    digest = hashlib.sha256(b"lethe/mail-content/1\x00")
    digest.update(hashlib.sha256(" ".join(mail.text.split()).encode("utf-8", "surrogatepass")).digest())
    for attachment in mail.attachments:
        content = b" ".join(attachment.content.split()) if attachment.is_text else attachment.content
        digest.update(hashlib.sha256(content).digest())
    return digest.digest()
