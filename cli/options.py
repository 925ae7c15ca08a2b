"""The options that many commands have in common, each declared once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, overload

import typer

from shared.errors import InvalidArgument

Account = Annotated[
    str | None,
    typer.Option(
        "--account",
        envvar="LETHE_ACCOUNT",
        metavar="NAME",
        help="The account, by name or id. Default: the only one.",
    ),
]
As = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="USER", help="On behalf of this user (login or id). Default: the account's owner."
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="For programs: JSON on stdout (its schema: lethe schema COMMAND).")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", dir_okay=False, help="Write to this file.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500, help="How many at most.")]
After = Annotated[
    str | None,
    typer.Option("--after", metavar="ID", help="The page after this one: the id that was printed."),
]

HELP: Final = {"help_option_names": ["-h", "--help"]}
"""Context settings of every command: `-h` helps."""


@overload
def moment_of(text: str, option: str) -> datetime: ...


@overload
def moment_of(text: str | None, option: str) -> datetime | None: ...


def moment_of(text: str | None, option: str) -> datetime | None:
    """The time that an option gives. Raises `InvalidArgument`."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(field=option, rule="must be a time such as 2026-05-31T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
