"""What came from outside can't steer the terminal of who reads it; files that results go to."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from cli import output
from cli.clock_commands import span
from cli.output import check_writable, one_line, safe, show, table
from shared.errors import InvalidArgument
from shared.ids import new_id


def test_control_characters_are_replaced() -> None:
    """No escape sequence of a mail reaches the terminal."""
    assert safe("\x1b[2Jhello\x07") == "\ufffd[2Jhello\ufffd"
    assert safe("a\r\nb\tc") == "a\nb\tc"


def test_marks_that_turn_the_direction_of_writing_are_left_out() -> None:
    """A name can't be shown as another one."""
    assert safe("\u202eexe.txt\u202c") == "exe.txt"


def test_one_line_is_cut_with_a_mark() -> None:
    """What was left out can be seen."""
    assert one_line("one\ntwo  three", 8) == "one two…"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("14d", timedelta(days=14)), ("1d12h", timedelta(hours=36)), ("90m", timedelta(minutes=90)), ("0.5s", timedelta(0, 0.5))],
)
def test_a_length_of_time(text: str, expected: timedelta) -> None:
    """Numbers with units, one after the other."""
    assert expected == span(text)


@pytest.mark.parametrize("text", ["", "14", "d", "-1d", "14d x"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidArgument):
        span(text)


def test_a_file_that_can_not_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    """Where its folder is not there; no file, and one that may be written, are no reason to."""
    check_writable(None)
    check_writable(tmp_path / "certificate.json")
    with pytest.raises(InvalidArgument, match="out"):
        check_writable(tmp_path / "nowhere" / "certificate.json")


@pytest.mark.parametrize(("width", "is_table"), [(80, False), (100, False), (140, True)])
def test_nothing_of_a_table_is_lost_in_a_narrow_terminal(
    width: int, is_table: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where columns would vanish or ids be broken, each row is shown as a record of lines."""
    monkeypatch.setattr(output, "stdout", lambda: Console(width=width, highlight=False))
    rows = [(new_id(), new_id(), "2026-11-29 23:00:00", "a matter", 3), (new_id(), new_id(), "", "another", 40)]
    show(table("Holds", ("hold id", "account id", "placed (UTC)", "reference", "persons"), rows))
    shown = capsys.readouterr().out
    assert shown.startswith("Holds") and ("┃" in shown) == is_table
    assert all(str(value) in shown for row in rows for value in row)
    assert max(map(len, shown.splitlines())) <= width
    assert all(shown.count(name) == (1 if is_table else 2) for name in ("hold id", "account id", "persons"))
