"""`lethe clock …`: the local stack's clock, so that a year can pass in a second. It only goes forward."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec
import typer

from cli.options import HELP, Json
from cli.output import moment, show, show_json
from cli.session import load_settings
from shared import clock
from shared.errors import InvalidArgument

clocks = typer.Typer(
    help="The local stack's clock: show, advance.", no_args_is_help=True, context_settings=HELP
)
_PART = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d|w)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class ClockView(msgspec.Struct, frozen=True, kw_only=True):
    """The stack's time, and how far it is ahead of the machine's."""

    now: datetime
    ahead_seconds: float


def register(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.add_typer(clocks, name="clock")


@clocks.command("show")
def show_clock(json: Json = False) -> None:
    """Show the stack's time.

    Example: lethe clock show
    """
    load_settings()
    _show(json)


@clocks.command("advance")
def advance(
    by: Annotated[str, typer.Argument(metavar="TIME", help="For example 14d, 36h, 90m, 1d12h.")],
    json: Json = False,
) -> None:
    """Move the stack's clock ahead.

    Example: lethe clock advance 14d
    """
    load_settings()
    clock.advance(span(by))
    _show(json)


def span(text: str) -> timedelta:
    """A length of time from a text such as `14d` or `1d12h`. Raises `InvalidArgument`."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidArgument(
            "TIME is a number and s, m, h, d or w, as in 14d or 1d12h",
            field="time",
            rule="is a length of time",
        )
    return sum((timedelta(**{_UNITS[unit]: float(number)}) for number, unit in parts), timedelta())


def _show(json: bool) -> None:
    view = ClockView(now=clock.now(), ahead_seconds=clock.offset().total_seconds())
    if json:
        show_json(view)
    else:
        show(f"{moment(view.now)} UTC, {timedelta(seconds=view.ahead_seconds)} ahead of this machine")
