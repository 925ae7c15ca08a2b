"""`lethe audit`: verify, export and replay the logs, take their checkpoints. It reads databases and files by itself.

Unlike other commands it asks no service: an auditor does not take the word of what is audited.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from audit import fast_path
from audit.checkpoints import KeptCheckpoints, read_checkpoints, take_checkpoints, write_checkpoints
from audit.export import export
from audit.findings import Verdict
from audit.log_agreement import compared, reading_order
from audit.verification_state import LogState, VerificationState, read_state, recoveries_of, write_state
from audit.verify import verify
from audit.verify_offline import verify_offline
from cli import replay_commands
from cli.audit_options import Service, services_named, shown_progress
from cli.audit_verdict import show_limits, show_verdicts
from cli.exit_status import TAMPERED
from cli.options import HELP, Json, Out
from cli.output import note, show, show_json, write_file
from cli.session import load_settings
from shared.errors import InvalidArgument, Refused
from shared.settings import Settings

audit = typer.Typer(help="Check that the logs are whole.", no_args_is_help=True, context_settings=HELP, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.add_typer(audit, name="audit")


replay_commands.register(audit)


@audit.command("verify")
def verify_command(
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint", metavar="FILE", dir_okay=False,
            help="Checkpoints that were kept (audit checkpoint), or one log's own checkpoint.",
        ),
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

    Ends with 5 where anything is not as it was signed. Example: lethe audit verify --checkpoint kept.checkpoint
    """
    _refuse_together({"--checkpoint": checkpoint, "--since-checkpoint": since})
    _refuse_together({"--offline": offline, "--since-checkpoint": since})
    _refuse_together({"--offline": offline, "--resume": resume})
    if keys is not None and offline is None:
        raise InvalidArgument(field="keys", rule="goes with --offline; a stack's keys are in its home")
    file = checkpoint or since
    kept = None if file is None else read_checkpoints(file)
    names = services_named(service)
    if offline is not None:
        with shown_progress("export") as report:
            verdicts = verify_offline(
                offline, kept, keys, names if service else (), lambda name, done, of: report(f"{name} events", done, of)
            )
    else:
        verdicts = _verify_here(load_settings(), names, kept, since is not None, resume)
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
    with shown_progress("export") as report:
        manifest = export(load_settings(), folder, lambda name, step, done, of: report(f"{name} {step}", done, of))
    if json:
        show_json(manifest)
        return
    events = sum(log.events for log in manifest.services.values())
    show(f"{events} events of {len(manifest.services)} logs are in {folder}")
    note(f"Check it on any machine, without network and keys: lethe audit verify --offline {folder}")


@audit.command("checkpoint")
def checkpoint_command(out: Out = None) -> None:
    """Take the signed checkpoints of all logs. Keep the file where nobody who runs the stack can change it.

    Example: lethe audit checkpoint --out kept.checkpoint
    """
    kept = take_checkpoints(load_settings())
    if out is None:
        show(write_checkpoints(kept).decode().rstrip("\n"))
        return
    if out.exists():
        text = "There is a file of this name. What it keeps shows what the logs were then: give another name."
        raise Refused(text, file=str(out))
    write_file(out, write_checkpoints(kept))
    note(f"{len(kept.notes)} checkpoints written to {out}. Keep it elsewhere: lethe audit verify --checkpoint {out}")


def _verify_here(
    settings: Settings, names: Sequence[str], kept: KeptCheckpoints | None, since: bool, resume: Path | None
) -> list[Verdict]:
    """The verdicts on the logs of a stack. With a file to resume from, an interruption leaves it and the end removes it."""
    if not fast_path.is_compiled:
        note("The hot path of a verification is not compiled here, so it takes three times as long: make setup")
    state = VerificationState(kept=kept.notes if kept else None, since=since, recoveries=recoveries_of(settings))
    if resume is not None:
        earlier = read_state(resume, state.kept, since)
        if earlier is not None and earlier.recoveries == state.recoveries:
            state = earlier
        elif earlier is not None:
            note("Databases were recovered since this verification was interrupted: it begins anew.")

    def save(log: LogState | None) -> None:
        state.log = log
        if resume is not None:
            write_state(resume, state)

    for name in reading_order(names):
        if any(verdict.service == name for verdict in state.verdicts):
            continue
        with shown_progress(name) as report, _interruptible(report) if resume else nullcontext(report) as progress:
            begun = state.log if state.log is not None and state.log.service == name else None
            note_kept = kept.note(name) if kept else None
            verdict = verify(settings, name, note_kept, progress, since=since, state=begun, save=save if resume else None)
        state.verdicts.append(verdict)
        save(None)
    if resume is not None:
        resume.unlink(missing_ok=True)
    by_name = {verdict.service: verdict for verdict in compared(state.verdicts)}
    return [by_name[name] for name in names]


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
