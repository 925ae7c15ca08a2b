"""Reads one mail: bytes in, `Mail` out, as far as it can be read.

The only exception is `Unreadable`, for what is no mail at all; everything else that is wrong is repaired and
named in `defects`. The first step of the import's way; it must not log or keep anything.
"""

from __future__ import annotations

import re
from datetime import datetime

from shared import clock
from shared.mail import headers
from shared.mail.bodies import Body
from shared.mail.lists import mailing_lists
from shared.mail.model import Mail, Mailbox, Unreadable
from shared.mail.parts import Part, parse

MAX_MAIL_BYTES = 128 * 1024 * 1024
MAX_HEADERS = 2_000
MAX_SUBJECT_CHARS = 998

DEFECTS = frozenset({
    "bad-charset", "bad-date", "broken-base64", "broken-headers", "broken-mime", "implausible-date",
    "no-date", "no-from", "nul-bytes", "oversized-header", "oversized-part", "too-many-attachments",
    "too-many-headers", "too-many-parts", "too-many-recipients",
})  # fmt: skip

_MAIL_HEADERS = frozenset({
    "from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "received",
    "return-path", "delivered-to", "mime-version", "content-type", "resent-from", "resent-to",
    "in-reply-to", "references", "x-mailer", "list-id",
})  # fmt: skip
_LEADING = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t]*\r?\n)*")


def read_mail(raw: bytes, *, now: datetime | None = None) -> Mail:
    """Reads a mail from its RFC 822 bytes, with or without the "From " line of an mbox.

    now: the moment by which dates are judged implausible, aware; the clock's by default.
    Raises `Unreadable`: nothing there, no header that mail has, or more than `MAX_MAIL_BYTES`.
    """
    if len(raw) > MAX_MAIL_BYTES:
        raise Unreadable("too-large")
    if not raw.strip(b" \t\r\n\0"):
        raise Unreadable("empty")
    root, defects = parse(raw[_leading(raw) :])
    fields = _fields(root, defects)
    if _MAIL_HEADERS.isdisjoint(fields):
        raise Unreadable("no-mail-header")
    body = Body()
    try:
        body.read(root, root=True)
    except RecursionError:
        defects.add("too-many-parts")
    text = body.text()
    moment = clock.now() if now is None else now
    people = {name: _people(fields, name, defects) for name in ("from", "reply-to", "to", "cc")}
    sent_at = _sent_at(fields, moment, defects)
    lists, is_list = mailing_lists(fields, people["from"], people["to"] + people["cc"] + people["reply-to"])
    if not any(sender.address for sender in people["from"]):
        defects.add("no-from")
    if any("\0" in value for values in fields.values() for value in values):
        defects.add("nul-bytes")
    return Mail(
        message_id=headers.message_id(fields.get("message-id", [])),
        in_reply_to=headers.message_ids(fields.get("in-reply-to", ())),
        references=headers.message_ids(fields.get("references", ())),
        sent_at=sent_at,
        received_at=headers.earliest_received(fields.get("received", ()), moment),
        senders=people["from"],
        reply_to=people["reply-to"],
        to=people["to"],
        cc=people["cc"],
        list_addresses=lists,
        is_list_mail=is_list,
        subject=headers.unstructured(fields.get("subject", [""])[0])[:MAX_SUBJECT_CHARS],
        text=text,
        attachments=tuple(body.attachments),
        defects=tuple(sorted(defects | body.defects)),
    )


def _leading(raw: bytes) -> int:
    """Where the mail begins: a byte order mark and empty lines before the first header are no part of it."""
    match = _LEADING.match(raw)
    return match.end() if match else 0


def _fields(root: Part, defects: set[str]) -> dict[str, list[str]]:
    """The header by lower-case name, each value raw (folded, its bytes above 127 as surrogates) and
    bounded."""
    fields: dict[str, list[str]] = {}
    for position, (name, value) in enumerate(root.raw_items()):
        if position >= MAX_HEADERS:
            defects.add("too-many-headers")
            break
        if len(value) > headers.MAX_HEADER_CHARS:
            defects.add("oversized-header")
            value = value[: headers.MAX_HEADER_CHARS]
        fields.setdefault(name.lower(), []).append(value)
    return fields


def _people(fields: dict[str, list[str]], name: str, defects: set[str]) -> tuple[Mailbox, ...]:
    people, left_out = headers.mailboxes(fields.get(name, ()))
    if left_out:
        defects.add("too-many-recipients")
    return people


def _sent_at(fields: dict[str, list[str]], now: datetime, defects: set[str]) -> datetime | None:
    if not fields.get("date"):
        defects.add("no-date")
        return None
    moment, defect = headers.date(fields["date"][0], now)
    if defect is not None:
        defects.add(defect)
    return moment
