"""Reads header fields: encoded words, mailboxes, dates, message ids. In linear time, and never with an
exception.

The grammar-driven header classes of `email.policy.default` raise on some malformed fields and need seconds
for thousands of recipients; these readers take each field as far as it makes sense. They know nothing of
bodies.
"""

from __future__ import annotations

import base64
import binascii
import email.utils
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from shared.mail.charsets import clean, decode, decode_raw
from shared.mail.model import Mailbox

MAX_HEADER_CHARS = 1_000_000
MAX_MAILBOXES = 10_000
MAX_ADDRESS_CHARS = 998
MAX_NAME_CHARS = 1_000
MAX_REFERENCES = 200
MAX_DATE_CHARS = 200
MAX_FUTURE = timedelta(days=2)
EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)

_WORD = r"=\?[^?\s]{1,80}\?[bBqQ]\?[^?\r\n]{0,4000}\?="
_ENCODED = re.compile(r"=\?([^?*\s]{1,40})(?:\*[^?\s]{0,39})?\?([bBqQ])\?([^?\r\n]{0,4000})\?=")
_FOLD = re.compile(r"\r?\n[ \t]*|\r")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_NO_DOMAIN = re.compile(r"[\s;,<>\"]")
_NO_LOCAL = re.compile(r"[\s;,<>()\"]|:$|:;")
_ID = re.compile(r"<([^<>]{1,998})>")
_TOKEN = re.compile(
    rf'(?P<word>{_WORD})|"(?P<quoted>(?:[^"\\]|\\.){{0,300}}+)"|\((?P<comment>(?:[^()\\]|\\.){{0,300}}+)\)'
    r"|<(?P<angle>[^<>]{0,2000})>|(?P<comma>,)|(?P<end>;)|(?P<group>:)|(?P<space>\s+)|(?P<plain>[^\s\"()<>,;:=]+|.)",
    re.DOTALL,
)


def unfold(raw: str) -> str:
    """The field on one line, its bytes above 127 read as UTF-8, windows-1252 or ISO 8859-1."""
    return clean(_FOLD.sub(" ", decode_raw(raw[:MAX_HEADER_CHARS])))[0]


def decode_words(value: str) -> str:
    """Replaces encoded words (RFC 2047). Neighbours of one charset are decoded together, since mailers split
    characters.
    A word that can't be decoded stays as it is."""
    if "=?" not in value:
        return value
    out: list[str] = []
    pending: list[tuple[str, bytes]] = []
    end = 0

    def flush() -> None:
        if pending:
            out.append(decode(b"".join(content for _, content in pending), pending[0][0])[0])
            pending.clear()

    for match in _ENCODED.finditer(value):
        between = value[end : match.start()]
        content = _word_bytes(match[2], match[3])
        if between.strip() or not pending or content is None or pending[0][0] != match[1].lower():
            # White space between two words that were decoded is no part of the text.
            separate = bool(between.strip()) or not pending or content is None
            flush()
            out.append(between if separate else "")
        if content is None:
            out.append(match[0])
        else:
            pending.append((match[1].lower(), content))
        end = match.end()
    flush()
    out.append(value[end:])
    return clean("".join(out))[0]


def _word_bytes(encoding: str, content: str) -> bytes | None:
    try:
        data = content.encode("ascii")
    except UnicodeEncodeError:
        return None
    if encoding in "qQ":
        return _HEX.sub(lambda match: bytes([int(match[1], 16)]), data.replace(b"_", b" "))
    try:
        return base64.b64decode(data + b"=" * (-len(data.rstrip(b"=")) % 4))
    except (binascii.Error, ValueError):
        return None


def unstructured(raw: str) -> str:
    """The text of a field such as Subject: one line, without control characters."""
    return " ".join(_CONTROL.sub(" ", decode_words(unfold(raw))).split())


def mailboxes(fields: Iterable[str]) -> tuple[tuple[Mailbox, ...], bool]:
    """The mailboxes of all fields of one name in order, each once, groups opened; and whether some were left
    out because there are more than `MAX_MAILBOXES`."""
    found: dict[Mailbox, None] = {}
    for field in fields:
        for mailbox in _mailboxes(unfold(field)):
            if len(found) >= MAX_MAILBOXES:
                return tuple(found), True
            found[mailbox] = None
    return tuple(found), False


def _mailboxes(value: str) -> Iterator[Mailbox]:
    builder = _Builder()
    for token in _TOKEN.finditer(value):
        kind, text = str(token.lastgroup), token[str(token.lastgroup)]
        if kind in ("comma", "end"):
            yield from builder.finish(last=kind == "end")
        elif kind == "group":
            builder.drop_group_name()
        elif kind == "angle":
            builder.angle = text if builder.angle is None or "@" not in builder.angle else builder.angle
        else:
            builder.add(kind, text)
    yield from builder.finish(last=True)


class _Builder:
    """Collects the tokens of one mailbox. `carried` is a name cut by a comma that should have been quoted:
    `Smith, John <…>`."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, str]] = []
        self.comments: list[str] = []
        self.angle: str | None = None
        self.carried = ""

    def add(self, kind: str, text: str) -> None:
        if kind == "comment":
            self.comments.append(_unescape(text))
        elif kind == "word":
            self.parts.append((kind, text))
        else:
            self.parts.append((kind, _unescape(text) if kind == "quoted" else text))

    def drop_group_name(self) -> None:
        if self.angle is None and not any("@" in text for _, text in self.parts):
            self.parts.clear()
            self.carried = ""

    def finish(self, *, last: bool) -> Iterator[Mailbox]:
        address, words = "", self.parts
        if self.angle is not None:
            address = _address(self.angle)
        else:
            address, words = _bare_address(self.parts)
        name = _name("".join(" " if kind == "space" else text for kind, text in words))
        if not name and self.comments:
            name = _name(" ".join(self.comments))
        name = f"{self.carried}, {name}".strip(", ") if self.carried else name
        self.parts, self.comments, self.angle, self.carried = [], [], None, ""
        if address:
            yield Mailbox(name, address)
        elif name and last:
            yield Mailbox(name, "")
        elif name:
            self.carried = name


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text) if "\\" in text else text


def _name(text: str) -> str:
    name = " ".join(_CONTROL.sub(" ", decode_words(text)).split()).strip('"')
    if len(name) > 2 and name[0] == name[-1] == "'":
        name = name[1:-1]
    return name[:MAX_NAME_CHARS].strip()


def _bare_address(parts: list[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
    """Finds the address among the words of a mailbox without angle brackets; the rest is its name."""
    position = next((n for n, (kind, text) in enumerate(parts) if kind == "plain" and "@" in text), None)
    if position is None:
        return "", parts
    first = position
    while first and parts[first - 1][0] in ("plain", "quoted"):
        first -= 1
    last = position + 1
    while last < len(parts) and parts[last][0] == "plain":
        last += 1
    spelled = "".join(f'"{text}"' if kind == "quoted" else text for kind, text in parts[first:last])
    return _address(spelled), parts[:first] + parts[last:]


def _address(spelled: str) -> str:
    """The address in what stood between angle brackets, or "" where there is none."""
    address = _CONTROL.sub("", decode_words(spelled)).strip().strip("'")
    if address[:7].lower() == "mailto:":
        address = address[7:]
    if address.startswith("@") and ":" in address:  # a source route, RFC 5322 section 4.4
        address = address.rpartition(":")[2]
    if '"' not in address:
        address = "".join(address.split())
    local, at, domain = address.rpartition("@")
    if not at or not domain or len(address) > MAX_ADDRESS_CHARS or _NO_DOMAIN.search(domain):
        return ""
    if not local.strip('"') or (local[0] != '"' and _NO_LOCAL.search(local)):
        return ""
    return address


def date(raw: str, now: datetime) -> tuple[datetime | None, str | None]:
    """The moment that a Date field names, or None and the defect: "bad-date" or "implausible-date".

    Plausible is from 1971 until two days from `now`: what is outside was written by a broken clock.
    """
    value = unfold(raw).strip()[:MAX_DATE_CHARS]
    try:
        moment = _moment(value)
    except (ValueError, OverflowError, TypeError, IndexError, AttributeError):
        # Years such as 102 or 3600 come this way too where the calendar refuses them.
        return None, "bad-date"
    if not EARLIEST <= moment <= now + MAX_FUTURE:
        return None, "implausible-date"
    return moment, None


def _moment(value: str) -> datetime:
    fields = email.utils.parsedate_tz(value)
    if fields is None:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    year, month, day, hour, minute, second = fields[:6]
    offset = fields[9] or 0
    if abs(offset) > 24 * 3600:
        offset = 0
    return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC) - timedelta(seconds=offset)


def earliest_received(fields: Iterable[str], now: datetime) -> datetime | None:
    """The earliest plausible moment at which a relay says it took the mail in."""
    moments = (date(field.rpartition(";")[2], now)[0] for field in fields if ";" in field)
    return min((moment for moment in moments if moment is not None), default=None)


def message_ids(fields: Iterable[str]) -> tuple[str, ...]:
    """All message ids of the fields, without angle brackets and white space. Of very many, the first and the
    latest."""
    ids: dict[str, None] = {}
    for field in fields:
        for match in _ID.finditer(unfold(field)):
            identifier = "".join(match[1].split())
            if identifier:
                ids[identifier] = None
    found = tuple(ids)
    return found if len(found) <= MAX_REFERENCES else found[:1] + found[1 - MAX_REFERENCES :]


def message_id(fields: list[str]) -> str | None:
    """The mail's own id, also where a broken mailer left the angle brackets out."""
    found = message_ids(fields[:1])
    if found:
        return found[0]
    bare = "".join(unfold(fields[0]).strip("<> \t").split()) if fields else ""
    return bare if 0 < len(bare) <= 998 else None
