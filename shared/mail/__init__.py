"""Reads mail (RFC 822 and its MIME successors) and mail archives. Pure: bytes in, values out.

`read_mail` reads one mail, `walk` yields the mails of files and folders. The first step of an import; nothing
here may keep, log or send what it reads, and `Unreadable` is the only exception that `read_mail` raises.
"""

from __future__ import annotations

from shared.mail.archive import MailSource, count, split_mbox, walk
from shared.mail.model import Attachment, Mail, Mailbox, Unreadable, content_digest
from shared.mail.reading import read_mail

__all__ = [
    "Attachment",
    "Mail",
    "MailSource",
    "Mailbox",
    "Unreadable",
    "content_digest",
    "count",
    "read_mail",
    "split_mbox",
    "walk",
]
