"""`lethe audit`: verify, export and replay the logs, take their checkpoints. It reads databases and files by itself.

Unlike other commands it asks no service: an auditor does not take the word of what is audited.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from audit.checkpoints import KeptCheckpoints, read_checkpoints, take_checkpoints, write_checkpoints
from audit.export import export
from audit.findings import Verdict
from audit.replay import ReplayResult, replay
from audit.verification_state import LogState, VerificationState, read_state, write_state
from audit.verify import verify
from audit.verify_offline import verify_offline
from cli.audit_verdict import show_limits, show_verdicts
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
    since: Annotated[
        Path | None,
        typer.Option(
            "--since-checkpoint", metavar="FILE", dir_okay=False,
            help="Look only at what came after these kept checkpoints, and that the logs extend them. Does not show whether"
            " what was signed before is still there.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", metavar="FILE", dir_okay=False,
            help="Keep in this file how far it has come, and go on from there if it is there. Ctrl+C leaves it.",
        ),
    ] = None,
    offline: Annotated[
        Path | None,
        typer.Option(
            "--offline", metavar="FOLDER", file_okay=False,
            help="Check this export (audit export), without server, network and keys.",
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="DIR", file_okay=False, help="With --offline: your own copies of the verifier keys."),
    ] = None,
    service: Service = None,
    json: Json = False,
) -> None:
    """Check every event of the logs against the signed trees, and those against kept checkpoints.

    Ends with 5 where anything is not as it was signed. Example: lethe audit verify --checkpoint kept.json
    """
    _refuse_together({"--checkpoint": checkpoint, "--since-checkpoint": since})
    _refuse_together({"--offline": offline, "--since-checkpoint": since})
    _refuse_together({"--offline": offline, "--resume": resume})
    if keys is not None and offline is None:
        raise InvalidArgument(field="keys", rule="goes with --offline; a stack's keys are in its home")
    file = checkpoint or since
    kept = None if file is None else read_checkpoints(file)
    names = _services(service)
    if offline is not None:
        with _progress("export") as report:
            verdicts = verify_offline(
                offline, kept, keys, names if service else (), lambda name, done, of: report(f"{name} events", done, of)
            )
    else:
        verdicts = _verify_here(_settings(), names, kept, since is not None, resume)
    if json:
        show_json(verdicts)
    else:
        show_verdicts(verdicts)
        show_limits(verdicts, kept is not None, offline is not None, keys is not None)
    if not all(verdict.good for verdict in verdicts):
        raise typer.Exit(TAMPERED)


@audit.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where it goes: an empty folder, or one to be made.")],
    json: Json = False,
) -> None:
    """Write all logs into a folder that can be verified elsewhere: events, tiles, checkpoints and public keys, no secret.

    Check it, also on another machine: lethe audit verify --offline FOLDER. Example: lethe audit export august
    """
    with _progress("export") as report:
        manifest = export(_settings(), folder, lambda name, step, done, of: report(f"{name} {step}", done, of))
    if json:
        show_json(manifest)
        return
    events = sum(log.events for log in manifest.services.values())
    show(f"{events} events of {len(manifest.services)} logs are in {folder}")
    note(f"Check it on any machine, without network and keys: lethe audit verify --offline {folder}")


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


def _verify_here(
    settings: Settings, names: Sequence[str], kept: KeptCheckpoints | None, since: bool, resume: Path | None
) -> list[Verdict]:
    """The verdicts on the logs of a stack. With a file to resume from, an interruption leaves it and the end removes it."""
    state = VerificationState(kept=kept.notes if kept else None, since=since)
    if resume is not None:
        state = read_state(resume, state.kept, since)

    def save(log: LogState | None) -> None:
        state.log = log
        if resume is not None:
            write_state(resume, state)

    for name in names:
        if any(verdict.service == name for verdict in state.verdicts):
            continue
        with _progress(name) as report, _interruptible(report) if resume else nullcontext(report) as progress:
            begun = state.log if state.log is not None and state.log.service == name else None
            note_kept = kept.note(name) if kept else None
            verdict = verify(settings, name, note_kept, progress, since=since, state=begun, save=save if resume else None)
        state.verdicts.append(verdict)
        save(None)
    if resume is not None:
        resume.unlink(missing_ok=True)
    return [verdict for verdict in state.verdicts if verdict.service in names]


@contextmanager
def _interruptible(report: Callable[[str, int, int], None]) -> Iterator[Callable[[str, int, int], None]]:
    """Makes Ctrl+C stop the work where its state is whole, at the next report; a second one stops it at once."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def report_or_stop(step: str, done: int, of: int) -> None:
        report(step, done, of)
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield report_or_stop
    finally:
        signal.signal(signal.SIGINT, before)


def _refuse_together(options: dict[str, Path | None]) -> None:
    first, other = options
    if options[first] is not None and options[other] is not None:
        raise InvalidArgument(field=other.removeprefix("--"), rule=f"does not go together with {first}")


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
