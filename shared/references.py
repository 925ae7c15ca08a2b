"""Finds exact identifiers (mail addresses, international phone numbers) in text and puts references in their
place.

Mission E11: when text comes in, each identifier is cut out and kept as a row of its own, so that it can
vanish from other people's texts with its person. This module finds, normalises, splits and joins; it must not
store, seal or resolve anything. All functions need time linear in their input, whatever it holds.
"""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import unquote

import idna
import msgspec
import phonenumbers

from shared.errors import InvalidArgument

Kind = Literal["address", "phone"]
ERASED_MARKER = "[erased]"
MAX_LOCAL_CHARS = 256
MAX_DOMAIN_CHARS = 253
MAX_PHONE_GROUPS = 6


class Found(NamedTuple):
    """One occurrence: `text[start:end] == spelling`, which stands for the identifier `normalised`."""

    start: int
    end: int
    kind: Kind
    normalised: str
    spelling: str


class Spelling(msgspec.Struct, frozen=True):
    """A way in which an identifier was written. Rendering needs it to give a text back exactly."""

    kind: Kind
    normalised: str
    spelling: str


class Segments(msgspec.Struct, frozen=True):
    """A text with its identifiers cut out: strings, and for each identifier the index of its spelling."""

    parts: list[str | int]


def split_text(text: str, found: Sequence[Found] | None = None) -> tuple[Segments, list[Spelling]]:
    """The text around its identifiers, and the distinct spellings in the order of their first occurrence.

    found: what `find_identifiers` gave for this text, sorted and without overlap; found here where it is left
    out."""
    occurrences = find_identifiers(text) if found is None else found
    numbers: dict[Spelling, int] = {}
    parts: list[str | int] = []
    position = 0
    for occurrence in occurrences:
        if occurrence.start > position:
            parts.append(text[position : occurrence.start])
        spelling = Spelling(occurrence.kind, occurrence.normalised, occurrence.spelling)
        parts.append(numbers.setdefault(spelling, len(numbers)))
        position = occurrence.end
    if position < len(text):
        parts.append(text[position:])
    return Segments(parts), list(numbers)


def join(segments: Segments, spellings: Sequence[str | None]) -> str:
    """The text again, exactly. A spelling that is None was erased with its person: `ERASED_MARKER` stands
    there."""
    out: list[str] = []
    for part in segments.parts:
        if isinstance(part, str):
            out.append(part)
        else:
            spelling = spellings[part]
            out.append(ERASED_MARKER if spelling is None else spelling)
    return "".join(out)


def refuse_identifiers(field: str, text: str | None) -> None:
    """For a text that is sealed as it is: identifiers are kept in contacts only, where an erasure finds them. Raises
    `InvalidArgument`."""
    if text is not None and find_identifiers(text):
        raise InvalidArgument(field=field, rule="holds no mail address and no phone number")


def find_identifiers(text: str) -> list[Found]:
    """All mail addresses and international phone numbers in a text, in order, without overlap.

    Addresses also as HTML entities (`alice&#64;example.org`), percent-encoded (`alice%40example.org`) and
    inside a bounce address (`bounces-alice=example.org@list.example`: the whole of it is then a spelling of
    the inner one).
    Phone numbers with their country code only: without it a number names nobody exactly.
    """
    addresses = _addresses(text)
    phones = _phones(text)
    if not phones:
        return addresses
    starts = [found.start for found in addresses]
    kept = list(addresses)
    for phone in phones:
        position = bisect.bisect_left(starts, phone.end) - 1
        if position < 0 or addresses[position].end <= phone.start:
            kept.append(phone)
    kept.sort()
    return kept


# Addresses
# ------------------------------------------------------------------------------------------------------------

_AT = re.compile(r"[@＠﹫]|&#0{0,4}64;|&#[xX]0{0,4}40;|&commat;|%(?:25)?40")
_LATIN = "A-Za-z0-9\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u0300-\u036f\u1e00-\u1eff"
_MARKS = r"!#$%&'*+/=?^_`{|}~.\-"
_REVERSED_ENTITY = r";[0-9a-fA-F]{1,7}[xX]?#&"
# Read backwards from the @: a run of one writing, so that an address ends where a Chinese or Thai sentence
# without spaces begins.
_LEFT = re.compile(
    rf"(?:{_REVERSED_ENTITY}|[{_LATIN}{_MARKS}])+|(?:{_REVERSED_ENTITY}|(?![{_LATIN}])[\w.\-])+"
)
_OTHER = rf"(?![{_LATIN}_])\w"
_LABEL = (
    rf"(?:[{_LATIN}](?:[{_LATIN}_-]{{0,61}}[{_LATIN}])?"
    rf"|{_OTHER}(?:(?:(?![{_LATIN}])\w|[0-9-]){{0,61}}{_OTHER})?)"
)
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL}){{0,20}}|\[[0-9A-Fa-f.:IPVv]{{3,60}}\]")
_NO_DOMAIN = re.compile(r"[^\w.\-\[\]:\u0300-\u036f]")
_UNIT = re.compile(
    r"&#([0-9]{1,7});|&#[xX]([0-9a-fA-F]{1,6});|&(?:period|dot);|%([0-9a-fA-F]{2})|.", re.DOTALL
)
_QUOTED_LOCAL = re.compile(r'"[^"\r\n\\]{1,64}"\Z')
_CUT = re.compile(r".*[/?#|{}^!`~*:]", re.DOTALL)
_LEADING_MARKS = "'_-.+*%=&$"
_VERP = re.compile(r"(?P<local>[^=]{1,128})=(?P<domain>[^=@]{1,253}\.[^=@.]{2,63})")
_SRS = re.compile(r"SRS[01][=+-].*?=(?P<domain>[^=@]+\.[^=@.]+)=(?P<local>[^=@]+)", re.IGNORECASE)
# What stands before an = in a query or a log line, so that `to=alice.smith@example.org` is not taken for a
# bounce address.
_QUERY_KEY = re.compile(
    r"(?:.*&)?(?:to|from|cc|bcc|e?-?mail|addr(?:ess)?|user(?:name)?|login|sender|recipient|rcpt|contact|subscriber|reply-?to|id|u|e)",
    re.IGNORECASE | re.DOTALL,
)
_COMMON_ENDING = re.compile(
    r"(?:[a-z]{2}|com|org|net|edu|gov|mil|int|info|biz|name|example|test|invalid)", re.IGNORECASE
)
_FILE_ENDINGS = frozenset(
    (
        "asc", "avi", "bin", "bmp", "bz2", "csv", "dat", "doc", "docx", "eml", "exe", "gif", "gz", "heic", "htm", "html",
        "ics", "jpeg", "jpg", "json", "log", "mbox", "mov", "mp3", "mp4", "msg", "odp", "ods", "odt", "ogg", "p7m", "p7s",
        "pdf", "png", "ppt", "pptx", "rar", "rtf", "sig", "svg", "tar", "tgz", "tif", "tiff", "txt", "vcf", "wav", "webp",
        "xls", "xlsx", "xml", "yaml", "yml", "zip", "7z",
    )
)  # fmt: skip
_VERP_TOKEN = re.compile(
    r"(?:bounces?|bounced?|returns?|owner|errors?|admin|request|list|lists|verp|sentto|news|newsletter|mailer|confirm|reply"
    r"|sub|unsub|subscribe|unsubscribe|help|msprvs\d*|prvs|no|b|\d+|[0-9a-f]*\d[0-9a-f]{5,})",
    re.IGNORECASE,
)


def _addresses(text: str) -> list[Found]:
    found: list[Found] = []
    floor = 0  # where the next local part may begin: after the last address, or the last @ that made none
    for at in _AT.finditer(text):
        if at.start() < floor:
            continue
        occurrence = _address_at(text, floor, at)
        if occurrence is not None:
            found.append(occurrence)
        floor = at.end() if occurrence is None else occurrence.end
    return found


def _address_at(text: str, floor: int, at: re.Match[str]) -> Found | None:
    domain, end = _domain_after(text, at.end())
    if not domain:
        return None
    local, start = _local_before(text, max(floor, at.start() - MAX_LOCAL_CHARS), at.start())
    if not local or (
        "." not in domain and not (local[0].isalpha() and domain[0].isalpha() and len(domain) > 1)
    ):
        return None
    return Found(start, end, "address", normalise_address(_inner(local, domain)), text[start:end])


def _domain_after(text: str, position: int) -> tuple[str, int]:
    """The domain that begins at `position`, decoded, and where it ends in the text."""
    window = text[position : position + MAX_DOMAIN_CHARS]
    if "&" in window or "%" in window:
        decoded, ends = _decoded(text[position : position + 3 * MAX_DOMAIN_CHARS], until=_NO_DOMAIN)
        domain = _domain_at_start(decoded)
        return (domain, position + ends[len(domain) - 1]) if domain else ("", position)
    domain = _domain_at_start(window)
    return domain, position + len(domain)


def _domain_at_start(text: str) -> str:
    """The domain with which a text begins; without the ending of a file that is named after an address
    (`notes on alice@example.org.txt`), where enough is left to be a domain.
    """
    match = _DOMAIN.match(text)
    if match is None:
        return ""
    domain, _, last = match[0].rpartition(".")
    return domain if "." in domain and last.lower() in _FILE_ENDINGS else match[0]


def _local_before(text: str, floor: int, end: int) -> tuple[str, int]:
    """The local part that ends at `end`, decoded, and where it starts in the text; not before `floor`."""
    window = text[floor:end]
    if window.endswith('"'):
        quoted = _QUOTED_LOCAL.search(window, max(0, len(window) - 66))
        return (quoted[0], floor + quoted.start()) if quoted else ("", end)
    match = _LEFT.match(window[::-1])
    if match is None:
        return "", end
    start = end - match.end()
    run = text[start:end]
    decoded, ends = _decoded(run) if "&#" in run or "%" in run else (run, range(1, len(run) + 1))
    drop = _dropped(decoded)
    return decoded[drop:], start + (ends[drop - 1] if drop else 0)


def _decoded(window: str, until: re.Pattern[str] | None = None) -> tuple[str, list[int]]:
    """The text with numeric entities and percent-encoding undone, as far as the first character that is
    `until`, and for each of its characters where it ends in `window`."""
    characters: list[str] = []
    ends: list[int] = []
    for unit in _UNIT.finditer(window):
        code = int(unit[1]) if unit[1] else int(unit[2] or unit[3] or "0", 16)
        if code:
            character = chr(code) if code < 0x110000 else " "
        else:
            character = "." if unit[0] in ("&period;", "&dot;") else unit[0]
        # An encoded character that no address has (<, a space) ends it, as the character itself would.
        characters.append(character if len(character) == 1 else " ")
        ends.append(unit.end())
        if until is not None and until.match(characters[-1]):
            break
    return "".join(characters), ends


def _dropped(run: str) -> int:
    """How many characters at the front of the run belong to what surrounds the address: a path, a query,
    quotes, markup."""
    drop = 0
    for position in range(len(run) - 1, -1, -1):
        character = run[position]
        if not (character.isalnum() or character in _LOCAL_MARKS or unicodedata.combining(character)):
            drop = position + 1
            break
    cut = _CUT.match(run, drop)
    drop = cut.end() if cut else drop
    while drop < len(run) and run[drop] in _LEADING_MARKS:
        drop += 1
    equals = run.rfind("=", drop)
    if equals >= 0 and _bounced(run[drop:], in_query=drop > 0 and run[drop - 1] in "?&/#") is None:
        drop = equals + 1
        while drop < len(run) and run[drop] in _LEADING_MARKS:
            drop += 1
    return drop


_LOCAL_MARKS = frozenset("!#$%&'*+/=?^_`{|}~.-")


def _inner(local: str, domain: str) -> str:
    """The address that a bounce address carries in its local part; otherwise the address itself."""
    return _bounced(local, in_query=False) or f"{local}@{domain}"


def _bounced(local: str, *, in_query: bool) -> str | None:
    """The address inside the local part of a bounce address (VERP, SRS), or None."""
    forwarded = _SRS.fullmatch(local)
    if forwarded:
        return f"{forwarded['local']}@{forwarded['domain']}"
    bounce = _VERP.fullmatch(local)
    if bounce is None or in_query or _QUERY_KEY.fullmatch(bounce["local"]):
        return None
    inner = _without_role(bounce["local"])
    if inner == bounce["local"] and not _COMMON_ENDING.fullmatch(bounce["domain"].rpartition(".")[2]):
        return None
    return f"{inner}@{bounce['domain']}"


def _without_role(local: str) -> str:
    """`alice` for `bounces-123-alice`: what follows the last token that is a role or a number."""
    pieces = re.split(r"([-+])", local)
    last_role = max((n for n in range(0, len(pieces), 2) if _VERP_TOKEN.fullmatch(pieces[n])), default=None)
    if last_role is not None and last_role + 2 < len(pieces):
        return "".join(pieces[last_role + 2 :]).lstrip("-+") or local
    return pieces[-1] if len(pieces) > 1 and pieces[-1] else local


def normalise_address(text: str) -> str:
    """The form by which addresses are compared: NFC, lower case, the domain in its ASCII form (IDNA), no
    final dots."""
    address = unicodedata.normalize("NFC", text).strip().strip("<>").lower()
    if "@" not in address:
        address = address.replace("＠", "@").replace("﹫", "@")
    local, at, domain = address.rpartition("@")
    if not at:
        return address
    if len(local) > 2 and local[0] == local[-1] == '"' and _PLAIN_LOCAL.fullmatch(local, 1, len(local) - 1):
        local = local[1:-1]
    return f"{local}@{_ascii_domain(domain.rstrip('. '))}"


_PLAIN_LOCAL = re.compile(r"[^\s\"@<>(),:;\\]+")


@lru_cache(maxsize=4096)
def _ascii_domain(domain: str) -> str:
    if domain.isascii():
        return domain
    if len(domain) > MAX_DOMAIN_CHARS:
        return domain
    try:
        return idna.encode(domain, uts46=True, transitional=False).decode("ascii")
    except (idna.IDNAError, UnicodeError, IndexError):
        return domain


# Phone numbers
# --------------------------------------------------------------------------------------------------------

_PHONE = re.compile(
    r"(?<![\w+])(?:\+|＋|%2[Bb]|&#0{0,3}43;|&plus;)[ \u00a0]?\(?\d"
    r"(?:[ \u00a0().\-/\u2010-\u2015]{0,2}\d){6,19}(?!\d)"
)
_LAST_GROUP = re.compile(r"[^\d+;]{1,2}\d+\Z")
_PLUS = re.compile(r"＋|%2[Bb]|&#0{0,3}43;|&plus;")


def _phones(text: str) -> list[Found]:
    if "+" not in text and not _PLUS.search(text):
        return []
    found = []
    for match in _PHONE.finditer(text):
        spelling = match[0]
        for _ in range(MAX_PHONE_GROUPS):
            normalised = normalise_phone(spelling)
            if normalised is not None:
                end = match.start() + len(spelling)
                found.append(Found(match.start(), end, "phone", normalised, spelling))
                break
            # A year or a second number may follow without a word between: try without the last group of
            # digits.
            shorter = _LAST_GROUP.sub("", spelling)
            if shorter == spelling:
                break
            spelling = shorter
    return found


@lru_cache(maxsize=4096)
def normalise_phone(text: str) -> str | None:
    """The number as E.164 (`+4930123456`), or None where it has no country code or no country has such
    numbers."""
    try:
        number = phonenumbers.parse(unquote(_PLUS.sub("+", text)), None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
