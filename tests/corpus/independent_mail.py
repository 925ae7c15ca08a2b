"""A second reading of mail, written apart from `shared.mail` and without the standard library's `email`.

It splits, unfolds and decodes the bytes by hand. Only for comparing: it knows no limits and no malice.
"""

from __future__ import annotations

import binascii
import html.parser
import quopri
import re


def independent_text(raw: bytes) -> tuple[str, bool]:
    """The text of a mail, and whether it was read from HTML."""
    found = _texts(raw[raw.index(b"\n") + 1 :] if raw.startswith(b"From ") else raw, top=True)
    return "\n".join(text for text, _ in found), any(is_html for _, is_html in found)


def _split(raw: bytes) -> tuple[dict[str, str], bytes]:
    headers: dict[str, str] = {}
    lines = raw.split(b"\n")
    name = ""
    for number, line in enumerate(lines):
        shown = line.rstrip(b"\r").decode("latin-1")
        if not shown:
            return headers, b"\n".join(lines[number + 1 :])
        if shown[0] in " \t" and name:
            headers[name] += shown if name in headers else ""
        elif re.match(r"[\x21-\x39\x3b-\x7e]+[ \t]*:", shown):
            name, _, value = shown.partition(":")
            name = name.strip().lower()
            headers.setdefault(name, value)
        elif not re.match(r"From ", shown):
            return headers, b"\n".join(lines[number:])
    return headers, b""


def _parameter(field: str, name: str) -> str:
    match = re.search(rf';\s*{name}\s*=\s*(?:"([^"]*)"?|([^\s;]+))', field, re.IGNORECASE)
    return (match[1] or match[2] or "") if match else ""


def _texts(raw: bytes, *, top: bool = False, default: str = "text/plain") -> list[tuple[str, bool]]:
    headers, body = _split(raw)
    field = headers.get("content-type", default)
    kind = field.partition(";")[0].strip().lower()
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", kind):
        kind = "text/plain"
    attached = headers.get("content-disposition", "").strip().lower().startswith("attachment")
    boundary = _parameter(field, "boundary").encode("latin-1")
    if kind.startswith("multipart/") and boundary and re.search(rb"(?m)^--" + re.escape(boundary), body):
        pieces = re.split(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)", body)
        parts = []
        for closing, piece in zip(pieces[1::2], pieces[2::2], strict=True):
            if closing:
                break
            inner = "message/rfc822" if kind == "multipart/digest" else "text/plain"
            parts.append(
                (
                    _kind(piece.lstrip(b"\r").removeprefix(b"\n")),
                    _texts(piece.lstrip(b"\r").removeprefix(b"\n"), default=inner),
                )
            )
        if kind == "multipart/alternative":
            plain = [
                texts
                for name, texts in parts
                if name == "text/plain" and any(text.strip() for text, _ in texts)
            ]
            return plain[0] if plain else next((texts for _, texts in reversed(parts) if texts), [])
        return [text for _, texts in parts for text in texts]
    if attached or not (kind in ("text/plain", "text/html") or kind.startswith("multipart/")):
        return []
    text = _decode(
        _untransfer(body, headers.get("content-transfer-encoding", "")), _parameter(field, "charset")
    )
    if kind == "text/html":
        return [(_Stripper.read(text), True)]
    return [(re.sub("\r\n|\r", "\n", text), False)]


def _kind(raw: bytes) -> str:
    return _split(raw)[0].get("content-type", "text/plain").partition(";")[0].strip().lower()


def _untransfer(body: bytes, encoding: str) -> bytes:
    encoding = encoding.strip().lower()
    if encoding == "quoted-printable":
        return quopri.decodestring(body)
    if encoding == "base64":
        try:
            return binascii.a2b_base64(body)
        except binascii.Error:
            return body
    return body


def _decode(content: bytes, charset: str) -> str:
    for name in (
        charset or "ascii",
        "gb18030" if charset.lower() in ("gb2312", "gbk") else "utf-8",
        "utf-8",
        "cp1252",
    ):
        try:
            return content.decode(name).replace("\0", "\ufffd")
        except (UnicodeError, LookupError, ValueError):
            continue
    return content.decode("latin-1").replace("\0", "\ufffd")


class _Stripper(html.parser.HTMLParser):
    """Collects what is between the tags, without scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = 0
        self.out: list[str] = []
        self.lists: list[int | None] = []

    @classmethod
    def read(cls, source: str) -> str:
        stripper = cls()
        stripper.feed(source)  # and no close(): a tag that never ends is no text
        return " ".join(stripper.out)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.silent += tag in ("script", "style", "title", "noscript")
        if tag in ("ol", "ul"):
            self.lists.append(0 if tag == "ol" else None)
        if tag == "li" and self.lists and self.lists[-1] is not None:
            self.lists[-1] += 1
            self.out.append(f"{self.lists[-1]}.")

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in ("script", "style", "title", "noscript") and self.silent > 0
        if tag in ("ol", "ul") and self.lists:
            self.lists.pop()

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.out.append(data)
