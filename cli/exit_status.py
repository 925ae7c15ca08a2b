"""What a command's end means to the program that called it: one number for each kind of end, and nothing else."""

from __future__ import annotations

from typing import Final

from shared.errors import (
    Incomplete,
    InternalError,
    InvalidArgument,
    LetheError,
    NotFound,
    Tampered,
    TimedOut,
    Unavailable,
)

DONE: Final = 0
REFUSED: Final = 1
WRONG_USAGE: Final = 2
NOT_FOUND: Final = 3
INCOMPLETE: Final = 4
TAMPERED: Final = 5
UNAVAILABLE: Final = 6
INTERRUPTED: Final = 130
"""What shells give for a command that Ctrl+C has ended."""

_OF_ERRORS: tuple[tuple[type[LetheError], int], ...] = (
    (NotFound, NOT_FOUND),
    (InvalidArgument, WRONG_USAGE),
    (Incomplete, INCOMPLETE),
    (Tampered, TAMPERED),
    (Unavailable, UNAVAILABLE),
    (TimedOut, UNAVAILABLE),
    (InternalError, UNAVAILABLE),
)


def exit_status_of(error: LetheError) -> int:
    """The exit status for an error; what is not on the list is a refusal with a reason."""
    return next((status for kind, status in _OF_ERRORS if isinstance(error, kind)), REFUSED)
