"""`lethe audit`: verify the logs, replay them, take their checkpoints. It reads databases and files by itself, as the auditor.

Unlike other commands it asks no service: an auditor does not take the word of what is audited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from audit.checkpoints import read_checkpoints, take_checkpoints, write_checkpoints
from audit.findings import Verdict
from audit.replay import ReplayResult, replay
from audit.verify import verify
from cli.exit_status import TAMPERED
from cli.options import HELP, Json, Out
from cli.output import note, show, show_json, stderr, table, write_file
from shared.errors import InvalidArgument, Unavailable
from shared.settings import SERVICES, Settings

Service = Annotated[str | None, typer.Option("--service", "-s", metavar="SERVICE", help="Of this service only. Default: all.")]

audit = typer.Typer(help="Check that the logs are whole.", no_args_is_help=True, context_settings=HELP, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.add_typer(audit, name="audit")


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


@audit.command("replay")
def replay_command(
    compare: Annotated[bool, typer.Option("--compare", help="Compare what was rebuilt with the live rows.")] = False,
    service: Service = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="As of this time (ISO 8601; UTC where no zone is named).")
    ] = None,
    json: Json = False,
) -> None:
    """Rebuild the read models from the first event on, beside the live ones, and throw them away again.

    Ends with 5 where they differ, or an event is not as it was signed. Example: lethe audit replay --compare
    """
    settings = _settings()
    moment = _time(at)
    if compare and moment is not None:
        raise InvalidArgument(field="at", rule="what was at an earlier time can't be compared with what is live now")
    results: list[ReplayResult] = []
    for name in _services(service):
        with _progress(name) as report:
            results.append(replay(settings, name, compare, moment, report))
    if json:
        show_json(results)
    else:
        _show_replays(results)
    if any(result.equal is False for result in results):
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


def _settings() -> Settings:
    try:
        return Settings.load()
    except FileNotFoundError:
        raise Unavailable("There is no stack here. Start one (lethe up), or set LETHE_HOME.") from None


def _services(named: str | None) -> tuple[str, ...]:
    if named is None:
        return SERVICES
    if named not in SERVICES:
        raise InvalidArgument(field="service", rule=f"must be one of {', '.join(SERVICES)}")
    return (named,)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(field="at", rule="must be a time such as 2026-05-31T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@contextmanager
def _progress(service: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr, gone when the work is done; only where somebody watches."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = stderr()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(service, total=None)
        yield lambda step, done, of: bars.update(task, description=f"{service}: {step}", completed=done, total=of)


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


def _show_replays(results: list[ReplayResult]) -> None:
    rows = [
        (
            result.service, result.size, one.table, one.rebuilt, "" if one.live is None else str(one.live),
            "not compared" if one.live is None else "equal" if not one.differing else f"{one.differing} row(s) differ",
        )
        for result in results
        for one in result.tables
    ]  # fmt: skip
    columns = ("service", "events", "table", "rows rebuilt", "rows live", "result")
    show(table("Read models, rebuilt from the logs", columns, rows))
    different = [
        (result.service, one.table, ", ".join(f"{name} {value}" for name, value in row.key.items()), row.what)
        for result in results
        for one in result.tables
        for row in one.differences
    ]
    if different:
        show(table("Differences", ("service", "table", "key", "what"), different))
    for result in results:
        if result.unfinished and result.equal is False:
            note(f"{result.service}: {result.unfinished} erasure(s) were under way; compare again when they are finished.")
