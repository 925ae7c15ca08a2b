"""What came from outside can't steer the terminal of who reads it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cli.clock_commands import span
from cli.output import one_line, safe
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
