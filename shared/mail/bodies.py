"""Chooses what of a mail is its text and what is attached, and reads both.

The text is every inline text/plain part in order, one line end between them; of alternatives the plain one;
HTML read as text where there is nothing else. Named `inline` plain text counts as text, since it is shown.
The rest is attached. The markup of an HTML mail is not kept.
"""

from __future__ import annotations

import re
from email.message import Message

from shared.mail.charsets import clean, decode
from shared.mail.headers import mailboxes, unstructured
from shared.mail.html import read_html
from shared.mail.model import Attachment
from shared.mail.parts import Part, charset, content, content_type, file_name, is_attached

MAX_TEXT_CHARS = 2_000_000
MAX_HTML_CHARS = 2_000_000
MAX_ATTACHMENTS = 1_000
SNIFFED_BYTES = 1_000_000

_LINE_END = re.compile(r"\r\n|\r(?!\n)")
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_TEXT_TYPES = frozenset({"application/json", "application/xml", "application/xhtml+xml", "application/x-sh"})
_HEADER_LINES = ("From", "To", "Cc", "Date", "Subject")


class Body:
    """Collects the text and the attachments of one mail."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.attachments: list[Attachment] = []
        self.defects: set[str] = set()

    def text(self) -> str:
        """The whole text. What is beyond `MAX_TEXT_CHARS` is not lost: the whole is a text attachment
        then."""
        whole = "\n".join(self.texts)
        if len(whole) <= MAX_TEXT_CHARS:
            return whole
        self.defects.add("oversized-part")
        self.attachments.insert(0, Attachment("text.txt", "text/plain", whole.encode("utf-8"), True))
        return whole[:MAX_TEXT_CHARS]

    def read(self, part: Part, *, root: bool = False) -> None:
        """Takes in a part with all below it."""
        kind = content_type(part)
        if kind.startswith("message/") and part.is_multipart():
            self._attach_message(part, kind)
        elif part.is_multipart():
            children = [child for child in part.get_payload() if isinstance(child, Part)]
            if kind == "multipart/alternative" and not is_attached(part):
                children = self._choose(children)
            for child in children:
                self.read(child)
        elif is_attached(part):
            self._attach(part, kind)
        elif kind == "text/plain" or kind.startswith(
            "multipart/"
        ):  # a multipart without parts is read as it stands
            self.texts.append(self._plain(part))
        elif kind == "text/html" and (root or not file_name(part) or not self.texts):
            self._html(part)
        else:
            self._attach(part, kind)

    def _choose(self, alternatives: list[Part]) -> list[Part]:
        """Of alternatives the plain text, if it says anything; else the last that can be read; what is no
        form of the text (a calendar entry) stays beside it."""
        plain = next(
            (part for part in alternatives if content_type(part) == "text/plain" and content(part).strip()),
            None,
        )
        texts = [part for part in alternatives if _is_form_of_text(part)]
        chosen = plain if plain is not None else (texts[-1] if texts else None)
        return [part for part in alternatives if part is chosen or not _is_form_of_text(part)]

    def _plain(self, part: Part) -> str:
        return self._decoded(part, content(part))

    def _decoded(self, part: Part, data: bytes) -> str:
        text, right = decode(data, charset(part))
        if not right:
            self.defects.add("bad-charset")
        text, fits = clean(text)
        if not fits:
            self.defects.add("nul-bytes" if b"\0" in data else "bad-charset")
        return _LINE_END.sub("\n", text) if "\r" in text else text

    def _html(self, part: Part) -> None:
        source = self._plain(part)
        if len(source) > MAX_HTML_CHARS:
            self.defects.add("oversized-part")
            self._attach(part, "text/html")
        self.texts.append(read_html(source[:MAX_HTML_CHARS]))

    def _attach(self, part: Part, kind: str) -> None:
        data = content(part)
        is_text = _is_text(kind, data)
        if is_text:
            data = decode(data, charset(part) or "utf-8")[0].encode("utf-8", "replace")
        self._add(Attachment(file_name(part) or _default_name(kind), kind, data, is_text))

    def _attach_message(self, part: Part, kind: str) -> None:
        """A mail within the mail: readable headers and text as one text attachment, its own attachments
        beside it."""
        inner = [child for child in part.get_payload() if isinstance(child, Part)]
        if kind == "message/delivery-status" or not inner:
            text = "\n".join(
                "".join(f"{name}: {unstructured(str(value))}\n" for name, value in _items(p)) for p in inner
            )
            self._add(
                Attachment(
                    file_name(part) or "delivery-status.txt", kind, text.encode("utf-8", "replace"), True
                )
            )
            return
        message = inner[0]
        body = Body()
        body.read(message, root=True)
        lines = [f"{name}: {value}" for name in _HEADER_LINES if (value := _readable(message, name))]
        subject = unstructured(str(message.get("subject", "")))[:100].replace("/", "_")
        text = "\n".join(lines) + "\n\n" + body.text()
        name = file_name(part) or f"{subject or 'message'}.eml"
        self._add(Attachment(name, kind, text.encode("utf-8", "replace"), True))
        for attachment in body.attachments:
            self._add(attachment)
        self.defects |= body.defects

    def _add(self, attachment: Attachment) -> None:
        if len(self.attachments) >= MAX_ATTACHMENTS:
            self.defects.add("too-many-attachments")
        else:
            self.attachments.append(attachment)


def _items(part: Message) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in part.raw_items()][:200]


def _readable(message: Part, name: str) -> str:
    values = [value for field, value in _items(message) if field.lower() == name.lower()]
    if name in ("From", "To", "Cc"):
        people = mailboxes(values)[0]
        return ", ".join(
            f"{person.name} <{person.address}>" if person.address else person.name for person in people
        )
    return unstructured(values[0]) if values else ""


def _is_form_of_text(part: Part) -> bool:
    kind = content_type(part)
    return kind in ("text/plain", "text/html", "text/enriched", "text/richtext") or kind.startswith(
        "multipart/"
    )


def _is_text(kind: str, data: bytes) -> bool:
    """Whether identifiers can be found in an attachment: by its type, or because it is plain UTF-8 whatever
    its type says."""
    if kind.startswith(("text/", "message/")) or kind in _TEXT_TYPES or kind.endswith(("+xml", "+json")):
        return len(_BINARY.findall(data[:SNIFFED_BYTES])) * 50 <= len(data[:SNIFFED_BYTES]) or data[:2] in (
            b"\xff\xfe",
            b"\xfe\xff",
        )
    if not data or kind.startswith(("image/", "audio/", "video/")) or data.startswith(b"%PDF"):
        return False
    if len(data) > SNIFFED_BYTES or _BINARY.search(data):
        return False
    try:
        data.decode("utf-8")
    except UnicodeError:
        return False
    return True


def _default_name(kind: str) -> str:
    main, _, sub = kind.partition("/")
    endings = {"plain": "txt", "jpeg": "jpg", "svg+xml": "svg", "pgp-signature": "asc", "octet-stream": "bin"}
    stem = main if main in ("image", "text", "audio", "video") else "attachment"
    return f"{stem}.{endings.get(sub, sub[:10])}"
