"""`lethe audit report`: an exported folder as a page for people. It needs no stack, no key and no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audit.report import NAME, write_report
from cli.audit_commands import audit
from cli.output import note, show


def register(app: typer.Typer) -> None:
    """Adds nothing to the program by itself: the command belongs to `lethe audit`, which `audit_commands` adds."""


@audit.command("report")
def report_command(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", file_okay=False, help="What lethe audit export wrote.")
    ],
) -> None:
    """Write report.html into an exported folder: erasures, late ones, events a day, who saw what, logs, cuts.

    Example: lethe audit report exported
    """
    write_report(folder)
    show(str(folder / NAME))
    note("It counts what the folder says. Whether that is what was signed: lethe audit verify --offline FOLDER")
