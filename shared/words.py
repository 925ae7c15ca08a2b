"""The words of a text by which it can be found: stemmed, folded, bounded. What a blind index is made over.

A text and a query go through the same function, so what is done to words here need not be right in every
language, only the same on both sides. This module knows neither keys nor indexes, and keeps nothing but a
bounded memory of word stems.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import snowballstemmer

MAX_WORDS = 2_000
MAX_BEGINNINGS = 1_000
MAX_WORD_CHARS = 40
MAX_TEXT_CHARS = 2_000_000
SHORTEST_BEGINNING = 2
LONGEST_BEGINNING = 12

STOP_WORDS = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "i", "if", "in", "is", "it", "of",
    "on", "or", "so", "that", "the", "this", "to", "was", "with", "you",
})  # fmt: skip
"""Words in nearly every English text: they would be most of the index and distinguish nothing."""

_WORD = re.compile(r"[^\W_]+")
# Writings without spaces between words: Han, kana, Hangul, Thai, Lao, Khmer, Burmese.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003134f]+"
)
_stemmer = snowballstemmer.stemmer("english")


def words(text: str) -> set[str]:
    """The distinct search words of a text, at most `MAX_WORDS`: those that come first in it.

    Folded (compatibility forms, case, accents), English endings cut off, numbers kept, single letters and the
    commonest words left out. Writings without spaces give each pair of neighbouring characters.
    """
    found: set[str] = set()
    for token in _tokens(text):
        stem = _stem(token)
        if stem:
            found.add(stem)
            if len(found) >= MAX_WORDS:
                break
    return found


def beginnings(text: str) -> set[str]:
    """The beginnings, 2 to 12 letters long, of the words of a name, a subject or a tag: for finding while
    typing."""
    found: set[str] = set()
    for token in _tokens(text):
        for length in range(SHORTEST_BEGINNING, min(len(token), LONGEST_BEGINNING) + 1):
            found.add(token[:length])
        if len(found) >= MAX_BEGINNINGS:
            break
    return found


def typed_beginnings(query: str) -> set[str]:
    """What to look up among `beginnings` for a query: each of its words, cut to the longest beginning that is
    kept."""
    return {token[:LONGEST_BEGINNING] for token in _tokens(query) if len(token) >= SHORTEST_BEGINNING}


def _tokens(text: str) -> dict[str, None]:
    """The distinct folded words in the order of their first occurrence, cut to `MAX_WORD_CHARS`."""
    folded = _fold(text[:MAX_TEXT_CHARS])
    tokens = dict.fromkeys(_WORD.findall(folded))
    if folded.isascii():
        return {token[:MAX_WORD_CHARS]: None for token in tokens}
    parted: dict[str, None] = {}
    for token in tokens:
        if token.isascii() or not _UNSPACED.search(token):
            parted[token[:MAX_WORD_CHARS]] = None
            continue
        position = 0
        for run in _UNSPACED.finditer(token):
            if run.start() > position:
                parted[token[position : run.start()][:MAX_WORD_CHARS]] = None
            characters = run[0]
            parted.update(dict.fromkeys(characters[n : n + 2] for n in range(max(1, len(characters) - 1))))
            position = run.end()
        if position < len(token):
            parted[token[position:][:MAX_WORD_CHARS]] = None
    return parted


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    spread = unicodedata.normalize("NFKD", text).casefold()
    # Accents of Latin, Greek and Cyrillic letters are folded away: who searches for Muller finds Müller.
    return unicodedata.normalize("NFC", _ACCENTS.sub("", spread))


_ACCENTS = re.compile("[\u0300-\u036f]+")


@lru_cache(maxsize=65_536)
def _stem(token: str) -> str:
    """The stem, or "" for a word that is not indexed."""
    if token in STOP_WORDS:
        return ""
    if len(token) < 2:
        return "" if token.isascii() else token
    if not token.isascii() or not token.isalpha():
        return token
    return str(_stemmer.stemWord(token))
