"""How commands show things: results on stdout, progress and notes on stderr, tables for people, JSON for programs.

Texts that came from outside lose their control characters first: a mail must not steer the terminal of who reads it.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from shared.errors import InvalidArgument

NO_TERMINAL_WIDTH: Final = 200
"""Columns where the output goes to a file or a pipe: ids and addresses are not to be broken there."""

_TURNING: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def stdout() -> Console:
    """Where results go."""
    return Console(
        highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else NO_TERMINAL_WIDTH
    )


def stderr() -> Console:
    """Where progress, notes and errors go."""
    return Console(
        stderr=True,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if sys.stderr.isatty() else NO_TERMINAL_WIDTH,
    )


def note(text: str) -> None:
    """Says something to whoever watches."""
    stderr().print(text, style="dim", soft_wrap=True)


def safe(text: object) -> str:
    """A text without control characters and without marks that turn the direction of writing."""
    return "".join(
        letter if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cs") else "\ufffd"
        for letter in str(text).replace("\r\n", "\n")
        if letter not in _TURNING
    )


def one_line(text: object, length: int = 0) -> str:
    """A safe text in one line, cut at `length` letters if that is not 0."""
    line = " ".join(safe(text).split())
    return line if not length or len(line) <= length else line[: length - 1] + "…"


def moment(value: datetime | None) -> str:
    """A time as people read it, in UTC; empty where there is none."""
    return "" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table. Columns whose name ends in "id" are never broken, so that an id can be copied, nor are times; numbers stand at
    the right."""
    made = Table(title=title or None, title_justify="left", title_style="bold", header_style="bold")
    filled = [list(row) for row in rows]
    for number, name in enumerate(columns):
        numeric = bool(filled) and all(isinstance(row[number], (int, float)) for row in filled)
        made.add_column(
            name,
            justify="right" if numeric else "left",
            no_wrap=name.endswith(("id", "(UTC)")) or numeric,
            overflow="fold",
        )
    for row in filled:
        made.add_row(*(cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row))
    return made


def _is_too_wide(made: Table, console: Console) -> bool:
    """Whether a column would be broken within a word, or vanish."""
    return Measurement.get(console, console.options.update(max_width=10_000), made).minimum > console.width


def _as_records(made: Table) -> Table:
    """The same with a line for each value, for a narrow terminal: as psql's expanded display."""
    records = Table.grid(padding=(0, 2))
    records.title, records.title_justify, records.title_style = made.title, "left", "bold"
    records.add_column(style="bold", no_wrap=True)
    records.add_column(overflow="fold")
    columns = [[column.header, *column.cells] for column in made.columns]
    for row in zip(*(cells[1:] for cells in columns), strict=True):
        for (name, *_), cell in zip(columns, row, strict=True):
            records.add_row(name, cell)
        records.add_row("", "")
    return records


def show(*things: Any) -> None:
    """Prints results: tables, panels, plain texts."""
    console = stdout()
    for thing in things:
        if isinstance(thing, Table) and _is_too_wide(thing, console):
            thing = _as_records(thing)
        console.print(thing if not isinstance(thing, str) else Text(thing), soft_wrap=isinstance(thing, str))


def as_json(value: Any) -> bytes:
    """A result as JSON, two spaces deep. Bytes become base64, times RFC 3339."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def show_json(value: Any) -> None:
    """Prints a result for programs."""
    sys.stdout.write(as_json(value).decode() + "\n")
    sys.stdout.flush()


def check_writable(path: Path | None) -> None:
    """Raises `InvalidArgument` where the folder of a file that a result is to go to is not there."""
    if path is not None and not path.parent.is_dir():
        raise InvalidArgument(field="out", rule=f"lies in a folder that is there; {path.parent} is not")


def write_file(path: Path, content: bytes) -> None:
    """Writes a result to a file that the user named, whole or not at all; readable by its owner only. Before long work,
    `check_writable` says whether that can be done."""
    beside = path.with_name(path.name + ".part")
    beside.touch(mode=0o600)
    beside.write_bytes(content)
    beside.replace(path)
