"""Turns the bytes of mail into text, whatever they claim to be. Never raises, never loses more than single
characters."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_SURROGATE = re.compile("[\ud800-\udfff]")
# Python's codecs include things that are no charsets (zlib, rot13) and some whose time is not linear (idna).
_CHARSET = re.compile(r"(?:ascii|utf|iso|cp\d|koi|gb|big5|euc|shift|mac|johab|hz|ptcp|tis|hp|kz)")
_MULTIBYTE = re.compile(r"(?:gb|big5|euc|shift|johab|cp9(?:32|49|50)|iso2022|utf|hz)")
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932", "big5": "big5hkscs"}


@lru_cache(maxsize=512)
def codec_name(charset: str) -> str | None:
    """Python's name of a charset, or None where it is unknown or no charset at all."""
    if len(charset) > 40:
        return None
    try:
        name = codecs.lookup(charset.strip(" \"'")).name.replace("-", "_")
    except (LookupError, ValueError):
        return None
    return name if _CHARSET.match(name) else None


def decode(content: bytes, charset: str | None) -> tuple[str, bool]:
    """The text, and whether the declared charset (None: US-ASCII) was right.

    Tried in this order: the declared charset; its wider relative that mailers mean by its name; UTF-8; for a
    multi-byte charset itself with U+FFFD for the broken characters; windows-1252; ISO 8859-1, which fits
    always.
    """
    name = codec_name(charset) if charset else "ascii"
    if name is not None:
        try:
            return content.decode(name), True
        except (UnicodeError, ValueError):
            pass
        if name in _WIDER:
            try:
                return content.decode(_WIDER[name]), True
            except UnicodeError:
                pass
    try:
        return content.decode("utf-8"), False
    except UnicodeError:
        pass
    if name is not None and _MULTIBYTE.match(name):
        text = content.decode(name, "replace")
        if text.count(REPLACEMENT) * 20 < len(text):
            return text, False
    try:
        return content.decode("cp1252"), False
    except UnicodeError:
        return content.decode("latin-1"), False


def clean(text: str) -> tuple[str, bool]:
    """The text as a database can hold it (PostgreSQL knows no NUL, UTF-8 no lone surrogate), and whether it
    was so."""
    if "\0" not in text and text.isascii():
        return text, True
    cleaned = _SURROGATE.sub(REPLACEMENT, text.replace("\0", REPLACEMENT))
    return cleaned, cleaned == text


def decode_raw(value: str) -> str:
    """A header as the parser gives it, in which surrogates stand for bytes above 127, as text."""
    if value.isascii():
        return value
    try:
        content = value.encode("ascii", "surrogateescape")
    except UnicodeEncodeError:  # it has been decoded already
        return clean(value)[0]
    return decode(content, "utf-8")[0]
