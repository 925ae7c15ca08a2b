"""Looks for words in every file below a folder, in every form in which a store might keep them.

Forms: UTF-8, UTF-16 (both byte orders), hexadecimal (both cases), and base64 at its three alignments. Used with a control
that is planted in each kind of store, so that a scan that finds nothing has shown that it would have found something.

GNU grep does the looking: it goes through hundreds of megabytes for thousands of forms in seconds. Nothing is mapped into
memory, since servers truncate and remove their files meanwhile.
"""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SHORTEST = 6
"""Shorter words occur by chance in gigabytes of ciphertext."""
CHUNK = 1 << 22
_COMPRESSED = (b"\x1f\x8b", b"x\x9c", b"x\xda", b"x\x01")


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


def scan(folder: Path, words: Iterable[str], *, skip: Iterable[Path] = ()) -> list[Hit]:
    """Every form of every word in every file below `folder`; also inside gzip and zlib files."""
    meaning = _meaning(words)
    files = list(_files(folder, skip))
    hits = [Hit(path, *meaning[found]) for path, found in _grep(files, meaning)]
    for path in files:
        if (content := _decompressed(path)) is not None:
            hits += [Hit(path, *found) for found in _found_in(content, meaning)]
    return sorted(set(hits), key=lambda hit: (hit.path, hit.word, hit.form))


def scan_bytes(content: bytes, words: Iterable[str]) -> list[tuple[str, str]]:
    """The forms found in bytes that stand in no file: a column."""
    return _found_in(content, _meaning(words))


def holds(folder: Path, octets: bytes) -> list[Path]:
    """The files below a folder in which these very bytes stand: for keys, which have no forms."""
    return [path for path in _files(folder, ()) if _has(path, octets)]


def _meaning(words: Iterable[str]) -> dict[bytes, tuple[str, str]]:
    """Each form, and what it means. grep looks at lines, so of a form with a newline in it the longest piece stands for it."""
    found = {}
    for word in words:
        if len(word) >= SHORTEST:
            for name, form in forms_of(word):
                found[max(form.split(b"\n"), key=len)] = (name, word)
    return found


def _files(folder: Path, skip: Iterable[Path]) -> Iterator[Path]:
    skipped = {path.resolve() for path in skip}
    for path in sorted(folder.rglob("*")):
        resolved = path.resolve()
        if path.is_file() and not path.is_symlink() and skipped.isdisjoint((resolved, *resolved.parents)):
            yield path


def _grep(files: Sequence[Path], forms: Iterable[bytes]) -> Iterator[tuple[Path, bytes]]:
    """(file, form) of each occurrence. A file that a server has removed meanwhile is passed over."""
    with tempfile.NamedTemporaryFile() as patterns:
        patterns.write(b"".join(form + b"\n" for form in forms))
        patterns.flush()
        for at in range(0, len(files), 1_000):
            some = [os.fsencode(path) for path in files[at : at + 1_000]]
            command = [b"grep", b"-s", b"-a", b"-o", b"-H", b"-Z", b"-F", b"-f", os.fsencode(patterns.name), b"--", *some]
            done = subprocess.run(command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, check=False)
            if done.returncode == 2 and done.stderr:
                raise RuntimeError(f"grep failed: {done.stderr.decode(errors='replace')[:500]}")
            for line in done.stdout.split(b"\n"):
                path, _, found = line.partition(b"\0")
                if found:
                    yield Path(os.fsdecode(path)), found


def _found_in(content: bytes, meaning: dict[bytes, tuple[str, str]]) -> list[tuple[str, str]]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return sorted({meaning[found] for _, found in _grep([Path(file.name)], meaning)})


def _decompressed(path: Path) -> bytes | None:
    """What is in a compressed file; None for any other."""
    try:
        with path.open("rb") as file:
            if file.read(2) not in _COMPRESSED:
                return None
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == _COMPRESSED[0] else zlib.decompress(content)
    except (OSError, EOFError, zlib.error):  # it only looked like one, or is gone
        return None


def _has(path: Path, octets: bytes) -> bool:
    try:
        with path.open("rb") as file:
            before = b""
            while chunk := file.read(CHUNK):
                if octets in before + chunk:
                    return True
                before = chunk[-len(octets) :]
    except FileNotFoundError:  # a server removed it meanwhile
        pass
    return False
