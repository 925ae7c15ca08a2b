"""`lethe audit`: verify the logs, replay them, take their checkpoints. It reads databases and files by itself, as the auditor.

Unlike other commands it asks no service: an auditor does not take the word of what is audited.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audit.checkpoints import read_checkpoints, take_checkpoints, write_checkpoints
from audit.findings import Verdict
from audit.verify import verify
from cli import replay_commands
from cli.audit_options import Service
from cli.audit_options import progress as _progress
from cli.audit_options import services as _services
from cli.audit_options import settings as _settings
from cli.exit_status import TAMPERED
from cli.options import HELP, Json, Out
from cli.output import note, show, show_json, table, write_file

audit = typer.Typer(help="Check that the logs are whole.", no_args_is_help=True, context_settings=HELP, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.add_typer(audit, name="audit")


replay_commands.register(audit)


@audit.command("verify")
def verify_command(
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", dir_okay=False, help="Checkpoints that were kept: audit checkpoint."),
    ] = None,
    service: Service = None,
    json: Json = False,
) -> None:
    """Check every event of the logs against the signed trees, and those against kept checkpoints.

    Ends with 5 where anything is not as it was signed. Example: lethe audit verify --checkpoint kept.json
    """
    settings = _settings()
    kept = read_checkpoints(checkpoint) if checkpoint is not None else None
    verdicts: list[Verdict] = []
    for name in _services(service):
        with _progress(name) as report:
            verdicts.append(verify(settings, name, kept.note(name) if kept else None, report))
    if json:
        show_json(verdicts)
    else:
        _show_verdicts(verdicts, checkpoint is not None)
    if not all(verdict.good for verdict in verdicts):
        raise typer.Exit(TAMPERED)


@audit.command("checkpoint")
def checkpoint_command(out: Out = None) -> None:
    """Take the signed checkpoints of all logs. Keep the file where nobody who runs the stack can change it.

    Example: lethe audit checkpoint --out kept.json
    """
    kept = take_checkpoints(_settings())
    if out is None:
        show(write_checkpoints(kept).decode().rstrip("\n"))
        return
    write_file(out, write_checkpoints(kept))
    note(f"{len(kept.notes)} checkpoints written to {out}. Keep it elsewhere: lethe audit verify --checkpoint {out}")


def _show_verdicts(verdicts: list[Verdict], with_kept: bool) -> None:
    show(
        table(
            "Event logs",
            ("log", "events", "pruned parts", "not signed yet", "kept checkpoint", "verdict"),
            [
                (
                    verdict.origin, verdict.size, verdict.pruned, verdict.pending,
                    "none" if verdict.kept_size is None else f"of {verdict.kept_size} events",
                    "whole" if verdict.good else f"{len(verdict.findings) + verdict.left_out} finding(s)",
                )
                for verdict in verdicts
            ],
        )
    )  # fmt: skip
    found = [(verdict, finding) for verdict in verdicts for finding in verdict.findings]
    if found:
        columns = ("service", "kind", "index", "stream", "event id", "what")
        rows = [
            (
                verdict.service, one.kind, "" if one.index is None else str(one.index), one.stream or "", one.event_id or "",
                one.text,
            )
            for verdict, one in found
        ]  # fmt: skip
        show(table("Findings", columns, rows))
    if not with_kept:
        note("Compared with no kept checkpoint, so a log that was cut short and signed anew would pass: lethe audit checkpoint")
