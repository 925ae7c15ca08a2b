"""Yields the mails of mbox files, Maildirs, single files and folders of all these, in a stable order, one at
a time.

Only reads; a file that can't be read is yielded with its reason, so that nothing stops an import and nothing
is lost without a word. The order is that of the names' bytes, and of the mails within an mbox, so that an
import can resume.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shared.mail.reading import MAX_MAIL_BYTES

MAX_LINE_BYTES = 1024 * 1024
MAX_FOLDER_DEPTH = 50

_SINGLE = frozenset({".eml", ".rfc822", ".mail"})
_MBOX = frozenset({".mbox", ".mbx"})
# "From " alone is not enough: texts have such lines, and not every mailer quotes them. A date must follow.
_SEPARATOR = re.compile(rb"From [^\r\n]{0,500}?\d\d:\d\d[^\r\n]{0,100}\r?\n")
_QUOTED = re.compile(rb">+From ")


@dataclass(frozen=True, slots=True, repr=False)
class MailSource:
    """The bytes of one mail and where they lie. `problem` is "" or a reason of `Unreadable`; then `raw` is
    empty."""

    path: Path
    position: int
    """Which mail of its file, from 0."""
    raw: bytes
    problem: str = ""


def walk(paths: Iterable[Path | str]) -> Iterator[MailSource]:
    """All mails below the paths. Raises FileNotFoundError, before anything else, for a path that is not
    there."""
    for path in _files(paths):
        yield from _mails(path)


def count(paths: Iterable[Path | str]) -> int:
    """How many mails `walk` will yield, found without reading more than mbox files: for a progress bar."""
    total = 0
    for path in _files(paths):
        try:
            with path.open("rb") as file:
                total += sum(1 for _ in _starts(file)) if _is_mbox(path) else 1
        except OSError:
            total += 1
    return total


def split_mbox(path: Path | str) -> Iterator[MailSource]:
    """The mails of an mbox file, one in memory at a time, the quoting of "From " lines undone (mboxrd and
    mboxo).

    A mail larger than `MAX_MAIL_BYTES` is yielded with the problem "too-large"."""
    path = Path(path)
    with path.open("rb") as file:
        position, lines, size = 0, list[bytes](), 0
        for line, starts in _lines(file):
            if starts:
                if size:
                    yield _source(path, position, lines, size)
                    position += 1
                lines, size = [], 0
            elif line.startswith(b">") and _QUOTED.match(line):
                line = line[1:]
            size += len(line)
            if size <= MAX_MAIL_BYTES:
                lines.append(line)
        if size:
            yield _source(path, position, lines, size)


def _source(path: Path, position: int, lines: list[bytes], size: int) -> MailSource:
    if size > MAX_MAIL_BYTES:
        return MailSource(path, position, b"", "too-large")
    raw = b"".join(lines)
    return MailSource(path, position, raw[:-1] if raw.endswith(b"\n\n") else raw)


def _lines(file: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each line, and whether a mail starts with it. A line beyond `MAX_LINE_BYTES` comes in pieces."""
    after_empty = at_start = True
    while line := file.readline(MAX_LINE_BYTES):
        yield line, at_start and after_empty and line.startswith(b"From ") and bool(_SEPARATOR.match(line))
        after_empty = at_start and line in (b"\n", b"\r\n")
        at_start = line.endswith(b"\n")


def _starts(file: IO[bytes]) -> Iterator[None]:
    """Once for each mail that `split_mbox` yields."""
    begun = False
    for line, starts in _lines(file):
        if starts or (not begun and line):
            yield None
        begun = True


def _mails(path: Path) -> Iterator[MailSource]:
    try:
        if _is_mbox(path):
            yield from split_mbox(path)
        elif path.stat().st_size > MAX_MAIL_BYTES:
            yield MailSource(path, 0, b"", "too-large")
        else:
            yield MailSource(path, 0, path.read_bytes())
    except OSError:
        yield MailSource(path, 0, b"", "unreadable-file")


def _is_mbox(path: Path) -> bool:
    """By its ending; otherwise a file outside of Maildirs that begins with a separator line."""
    suffix = path.suffix.lower()
    if suffix in _MBOX or suffix in _SINGLE or path.parent.name in ("cur", "new"):
        return suffix in _MBOX
    with path.open("rb") as file:
        return bool(_SEPARATOR.match(file.readline(1_000)))


def _files(paths: Iterable[Path | str]) -> Iterator[Path]:
    roots = [Path(path) for path in paths]
    for root in roots:
        if not root.exists():
            raise FileNotFoundError(f"there is no file or folder {root}")
    for root in roots:
        yield from _files_below(root, 0) if root.is_dir() else iter((root,))


def _files_below(folder: Path, depth: int) -> Iterator[Path]:
    """The files of a folder and the folders below. Of a Maildir only `new` and `cur`; hidden folders only
    where they are Maildirs themselves (Maildir++); links to folders are not followed, since they can lead
    round in circles."""
    try:
        entries = sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name))
    except OSError:
        return
    is_maildir = _is_maildir(folder)
    for entry in entries:
        if entry.is_dir():
            hidden = entry.name.startswith(".") and not _is_maildir(entry)
            unwanted = is_maildir and entry.name == "tmp"
            if not (hidden or unwanted or entry.is_symlink() or depth >= MAX_FOLDER_DEPTH):
                yield from _files_below(entry, depth + 1)
        elif entry.is_file() and not entry.name.startswith(".") and not is_maildir:
            yield entry


def _is_maildir(folder: Path) -> bool:
    return (folder / "cur").is_dir() and (folder / "new").is_dir()
