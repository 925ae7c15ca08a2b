"""Parses a mail into its tree of parts with the standard library, inside limits that no mail can break out
of.

The tree is made under `compat32`, not under `email.policy.default`: only that one leaves every header as it
came. The `default` policy parses by grammar while it reads, raises on some malformed fields and took six
times as long on real mail.
"""

from __future__ import annotations

import re
from email.errors import MessageError
from email.message import Message
from email.parser import BytesFeedParser, BytesHeaderParser
from email.policy import Compat32
from typing import Any

from shared.mail.charsets import decode_raw
from shared.mail.headers import decode_words

MAX_DEPTH = 30
MAX_PARTS = 2_000
MAX_PARAMETER_CHARS = 8_000
MAX_NAME_CHARS = 200

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]+")


class Part(Message):
    """A part whose headers are text (never `Header` objects) and bounded, since parameters are parsed in
    quadratic time."""

    def get(self, name: str, failobj: Any = None) -> Any:
        wanted = name.lower()
        for field, value in self._headers:  # type: ignore[attr-defined]
            if field.lower() == wanted:
                return decode_raw(value[:MAX_PARAMETER_CHARS])
        return failobj


class _TooComplex(Exception):
    """More parts, or parts more deeply nested, than any honest mail has."""


_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")
"""What RFC 6838 §4.2 lets a media type be"""


def parse(raw: bytes) -> tuple[Part, set[str]]:
    """The root part and the defects of the structure. A mail that is too complex keeps its headers, and all
    that follows them is one text."""
    made = 0
    parser: BytesFeedParser[Part]

    def new_part(policy: Any = None) -> Part:
        nonlocal made
        made += 1
        # The parser's stack of open parts: each line is tested against all of them, so its depth bounds the
        # time.
        if made > MAX_PARTS or len(getattr(parser, "_msgstack", ())) > MAX_DEPTH:
            raise _TooComplex
        return Part(policy=Compat32())

    parser = BytesFeedParser.__new__(BytesFeedParser)
    parser.__init__(new_part, policy=Compat32())  # type: ignore[misc]
    try:
        parser.feed(raw)
        root = parser.close()
    except (_TooComplex, RecursionError):
        return _flat(raw), {"too-many-parts"}
    except (MessageError, ValueError, LookupError, TypeError, AttributeError, AssertionError, IndexError):
        return _flat(raw), {"broken-mime"}
    return root, _defects(root)


def _flat(raw: bytes) -> Part:
    """The headers parsed, the body untouched. Its MIME headers are dropped: they are what could not be
    followed."""
    parser: BytesHeaderParser[Part] = BytesHeaderParser(Part, policy=Compat32())
    root = parser.parsebytes(raw)
    del root["content-type"]
    del root["content-transfer-encoding"]
    return root


_DEFECT_NAMES = {
    "InvalidBase64": "broken-base64",
    "MissingHeaderBodySeparatorDefect": "broken-headers",
    "FirstHeaderLineIsContinuationDefect": "broken-headers",
    "MalformedHeaderDefect": "broken-headers",
    "MisplacedEnvelopeHeaderDefect": "broken-headers",
}


def _defects(root: Part) -> set[str]:
    names = set()
    for part in root.walk():
        for defect in part.defects:
            kind = type(defect).__name__
            names.add(
                next(
                    (ours for theirs, ours in _DEFECT_NAMES.items() if kind.startswith(theirs)), "broken-mime"
                )
            )
    return names


def content_type(part: Part) -> str:
    """Such as text/plain: lower case, and text/plain for what is malformed (RFC 2045 section 5.2)."""
    try:
        kind = str(part.get_content_type())
        return kind if _MEDIA_TYPE.fullmatch(kind) else "text/plain"
    except (ValueError, LookupError, TypeError):
        return "text/plain"


def charset(part: Part) -> str | None:
    """The declared charset, None where there is none."""
    try:
        declared = part.get_content_charset()
    except (ValueError, LookupError, TypeError):
        return None
    return str(declared) if declared else None


def is_attached(part: Part) -> bool:
    """Whether the part says that it is an attachment. `inline` with a file name is to be shown, so it is
    none."""
    return str(part.get("content-disposition") or "").strip().lower().startswith("attachment")


def file_name(part: Part) -> str:
    """The name of a part without folders and control characters; "" where it has none."""
    try:
        name = part.get_filename("") or ""
    except (ValueError, LookupError, TypeError):
        name = ""
    name = _UNSAFE.sub("_", " ".join(decode_words(decode_raw(str(name))).split())).strip(" ._\"'")
    if len(name) > MAX_NAME_CHARS:
        stem, dot, suffix = name.rpartition(".")
        name = (
            name[:MAX_NAME_CHARS]
            if not dot or len(suffix) > 10
            else f"{stem[: MAX_NAME_CHARS - 11]}.{suffix}"
        )
    return name


def content(part: Part) -> bytes:
    """The bytes of a leaf, its transfer encoding undone as far as it goes."""
    try:
        decoded = part.get_payload(decode=True)
    except (ValueError, LookupError, TypeError, AttributeError, IndexError, AssertionError):
        decoded = None
    if isinstance(decoded, bytes):
        return decoded
    payload = part.get_payload()
    return payload.encode("utf-8", "surrogateescape") if isinstance(payload, str) else b""
