"""Looks for words in every file below a folder, in every form in which a store might keep them.

Forms: UTF-8, UTF-16 (both byte orders), hexadecimal (both cases), and base64 at its three alignments. Used with a control
that is planted in each kind of store, so that a scan that finds nothing has shown that it would have found something.
"""

from __future__ import annotations

import base64
import gzip
import mmap
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SHORTEST = 6
"""Shorter words occur by chance in gigabytes of ciphertext."""


@dataclass(frozen=True)
class Hit:
    """Where a word was found, and in which form."""

    path: Path
    form: str
    word: str


def forms_of(word: str) -> Iterator[tuple[str, bytes]]:
    """The byte strings that betray a word."""
    plain = word.encode()
    yield "utf-8", plain
    yield "utf-16-le", word.encode("utf-16-le")
    yield "utf-16-be", word.encode("utf-16-be")
    yield "hex", plain.hex().encode()
    yield "HEX", plain.hex().upper().encode()
    for alignment in range(3):
        # the characters that depend on neighbouring bytes are cut off at both ends
        encoded = base64.b64encode(b"\0" * alignment + plain + b"\0" * (-(alignment + len(plain)) % 3))
        start = -(-alignment * 8 // 6)
        end = (alignment + len(plain)) * 8 // 6
        yield f"base64+{alignment}", encoded[start:end]


def pattern_of(words: Iterable[str]) -> tuple[re.Pattern[bytes], dict[bytes, tuple[str, str]]]:
    """One regular expression for all forms of all words, and what each match means."""
    meaning = {form: (name, word) for word in words if len(word) >= SHORTEST for name, form in forms_of(word)}
    alternatives = sorted(meaning, key=len, reverse=True)
    return re.compile(b"|".join(re.escape(form) for form in alternatives)), meaning


def scan(folder: Path, words: Iterable[str], *, skip: Iterable[Path] = ()) -> list[Hit]:
    """Every form of every word in every file below `folder`; also inside gzip and zlib files."""
    pattern, meaning = pattern_of(words)
    skipped = {path.resolve() for path in skip}
    hits = []
    for path in sorted(folder.rglob("*")):
        if (
            path.is_symlink()
            or not path.is_file()
            or any(parent in skipped for parent in (path.resolve(), *path.resolve().parents))
        ):
            continue
        hits += [Hit(path, *meaning[found]) for found in _found_in(path, pattern)]
    return hits


def scan_bytes(content: bytes, words: Iterable[str]) -> list[tuple[str, str]]:
    """The forms found in bytes that stand in no file: a dump, a column."""
    pattern, meaning = pattern_of(words)
    return [meaning[found] for found in set(pattern.findall(content))]


def _found_in(path: Path, pattern: re.Pattern[bytes]) -> set[bytes]:
    try:
        size = path.stat().st_size
        if size == 0:
            return set()
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = {match[0] for match in pattern.finditer(content)}  # type: ignore[arg-type]
            head = content[:2]
            if head == b"\x1f\x8b":
                found |= set(pattern.findall(gzip.decompress(content[:])))
            elif head in (b"x\x9c", b"x\xda", b"x\x01"):
                try:
                    found |= set(pattern.findall(zlib.decompress(content[:])))
                except zlib.error:
                    pass
            return found
    except FileNotFoundError:  # a server removed it meanwhile
        return set()
