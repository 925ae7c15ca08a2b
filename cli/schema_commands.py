"""`lethe schema COMMAND`: the JSON Schema of what a command's `--json` prints."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from cli.options import HELP
from cli.output import show, show_json
from cli.schemas import outputs
from shared.errors import NotFound


def register(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command("schema", context_settings=HELP)(schema)


def schema(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="A command, as in: person list.")
    ] = None,
) -> None:
    """Print the JSON Schema of a command's --json output. Without a command: list the commands that have one.

    Example: lethe schema person list
    """
    found = outputs()
    if not command:
        show("\n".join(sorted(found)))
        return
    name = " ".join(command)
    if name not in found:
        raise NotFound(f"no command {name} has --json; they are: {', '.join(sorted(found))}")
    declared = found[name]
    show_json(declared if isinstance(declared, dict) else msgspec.json.schema(declared))
