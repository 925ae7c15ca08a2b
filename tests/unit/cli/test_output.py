"""What came from outside can't steer the terminal of who reads it; files that results go to."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from cli.clock_commands import span
from cli.output import check_writable, one_line, safe
from shared.errors import InvalidArgument


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
