"""`lethe audit prove …`: proofs that stand alone, made from the logs, and checked anywhere.

`event` and `extends` read the home (or a log that is served or exported) as the auditor; `check` needs files and public keys.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from audit.proof_check import ProofCheck, check_proof, kept_of, read_kept, read_limited, read_verifiers
from audit.prove import EventProof, log_of, prove_event, prove_extension
from cli.audit_commands import audit
from cli.exit_status import TAMPERED
from cli.options import HELP, Json, Out
from cli.output import moment, note, safe, show, show_json, table, write_file
from shared.checkpoint import open_checkpoint
from shared.errors import InvalidArgument, Unavailable
from shared.personal import NotPersonal
from shared.settings import SERVICES, Settings

prove = typer.Typer(help="Proofs that stand alone.", no_args_is_help=True, context_settings=HELP, rich_markup_mode=None)

ServiceOption = Annotated[str | None, typer.Option("--service", "-s", metavar="SERVICE", help="In the log of this service.")]
Kept = Annotated[
    Path | None,
    typer.Option("--kept", metavar="FILE", dir_okay=False, help="The checkpoint that was kept, or a file of them."),
]
Keys = Annotated[
    Path | None,
    typer.Option("--keys", metavar="DIR", file_okay=False, help="A folder with *.vkey. Default: verifiers/ of the home."),
]


class EventProofView(msgspec.Struct, frozen=True, kw_only=True):
    """The proof of an event, and what it is about. Without an event's id the event is gone with its account."""

    service: Annotated[str, NotPersonal("the name of a service")]
    origin: Annotated[str, NotPersonal("the name of a log")]
    index: int
    size: int
    event_id: Annotated[str | None, NotPersonal("an opaque id")]
    type: Annotated[str | None, NotPersonal("the name of an event type")]
    entry: Annotated[str, NotPersonal("a commitment, in hexadecimal")]
    tiles_read: int
    proof: Annotated[str, NotPersonal("hashes, a checkpoint, an envelope")]


class ExtensionProofView(msgspec.Struct, frozen=True, kw_only=True):
    """The proof that a log extends a checkpoint that was kept."""

    service: Annotated[str, NotPersonal("the name of a service")]
    origin: Annotated[str, NotPersonal("the name of a log")]
    kept_size: int
    size: int
    proof: Annotated[str, NotPersonal("hashes and a checkpoint")]
    file: Annotated[str | None, NotPersonal("the name of a file that the caller gave")]


def register(app: typer.Typer) -> None:
    """Adds the commands to `lethe audit`, which the program has already."""
    audit.add_typer(prove, name="prove")


@prove.command("event")
def event_command(
    event: Annotated[str | None, typer.Argument(metavar="[EVENT]", help="Its id, or --service and --index.")] = None,
    service: ServiceOption = None,
    index: Annotated[int | None, typer.Option("--index", "-i", min=0, help="The event's index in the log.")] = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Prove that an event is in its service's log. The proof (a .tlog-proof) holds its envelope and a signed checkpoint.

    Example: lethe audit prove event --service tickets --index 0 --out first.tlog-proof
    """
    made = prove_event(_settings(), event_id=event, service=_service(service), index=index)
    octets = made.proof.encode()
    if out is not None:
        write_file(out, octets)
        note(f"Event {made.proof.index} of {made.origin}, of {made.size}. Check it: lethe audit prove check {out}")
    if json:
        show_json(_view(made, octets))
    elif out is None:
        show(octets.decode().rstrip("\n"))
    if made.proof.extra is None:
        note(
            "No event is there any more: it is gone with its account, or was lost when a database was put back from a copy. The"
            f" proof does not open its entry, {made.entry.hex()}"
        )


@prove.command("extends")
def extends_command(
    kept: Annotated[Path, typer.Argument(metavar="KEPT", dir_okay=False, help="A checkpoint that was kept, or several.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", dir_okay=False, help="A later one. Default: the published ones.")
    ] = None,
    service: ServiceOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", file_okay=False, help="Write the proofs into this folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Prove that logs extend checkpoints that were kept. Ends with 5 where one does not: it was cut short, or rewritten.

    Example: lethe audit prove extends kept.json --out proofs
    """
    settings = _settings()
    old_notes, new_notes = read_kept(kept), None if to is None else read_kept(to)
    made: list[ExtensionProofView] = []
    for name in SERVICES if service is None else (str(_service(service)),):
        origin = f"{settings.cell}/{name}"
        old_note = next(iter(kept_of(old_notes, origin)), None)
        new_note = None if new_notes is None else next(iter(kept_of(new_notes, origin)), None)
        if old_note is None or (new_notes is not None and new_note is None):
            continue
        log = log_of(settings, name)
        old = open_checkpoint(old_note, [log.verifier])
        proof = prove_extension(log, old, new_note)
        new = open_checkpoint(proof.checkpoint, [log.verifier])
        path = None if out is None else out / f"{name}-{old.size}-{new.size}.consistency"
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, proof.encode())
        made.append(
            ExtensionProofView(
                service=name, origin=origin, kept_size=old.size, size=new.size, proof=proof.encode().decode(),
                file=None if path is None else str(path),
            )
        )  # fmt: skip
    if not made:
        raise InvalidArgument("No checkpoint of these logs was kept there.", field="kept", rule="has a checkpoint of the log")
    _show_extensions(made, json)


@prove.command("check")
def check_command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", dir_okay=False, help="Proofs of either kind.")],
    keys: Keys = None,
    kept: Kept = None,
    entry: Annotated[
        str | None, typer.Option("--entry", metavar="HEX", help="The entry, for a proof that does not open it.")
    ] = None,
    json: Json = False,
) -> None:
    """Check proofs offline, from what an entry opens to up to the root that the log's key signed. Ends with 5 if one fails.

    Example: lethe audit prove check first.tlog-proof --keys verifiers
    """
    verifiers = read_verifiers(keys or Path(os.environ.get("LETHE_HOME", ".lethe")))
    notes = [] if kept is None else read_kept(kept)
    named = None if entry is None else _hex(entry)
    checks = [check_proof(str(path), read_limited(path, "file"), verifiers, notes, named) for path in files]
    if json:
        show_json(checks)
    else:
        for check in checks:
            _show_check(check)
    if not all(check.holds for check in checks):
        raise typer.Exit(TAMPERED)


def _view(made: EventProof, octets: bytes) -> EventProofView:
    return EventProofView(
        service=made.service, origin=made.origin, index=made.proof.index, size=made.size, event_id=made.event_id,
        type=made.type, entry=made.entry.hex(), tiles_read=made.tiles_read, proof=octets.decode(),
    )  # fmt: skip


def _show_extensions(made: list[ExtensionProofView], json: bool) -> None:
    if json:
        show_json(made)
        return
    columns = ("log", "kept", "extended to", "proof")
    show(table("Extends what was kept", columns, [(one.origin, one.kept_size, one.size, one.file or "") for one in made]))
    if made[0].file is None:
        note("To keep the proofs: --out DIR")


def _show_check(check: ProofCheck) -> None:
    if not check.holds:
        show(Text(f"{safe(check.file)} does NOT hold: {check.reason}", style="bold red"))
        return
    show(Text(f"{safe(check.file)} holds.", style="bold green"))
    if check.form == "consistency":
        show(f"  {check.origin}: the tree of {check.size} events extends the one of {check.old_size} that was kept.")
        return
    show(f"  {check.origin}: entry {check.index} of the signed tree of {check.size} events is {check.entry}.")
    event = check.event
    if event is not None:
        when = moment(event.occurred_at)
        show(f"  It is {event.type}, event {event.event_id}, version {event.version} of {event.stream}, {when} UTC.")
        show(f"  Account {event.account_id}.")


def _settings() -> Settings:
    try:
        return Settings.load()
    except FileNotFoundError:
        raise Unavailable("There is no stack here. Start one (lethe up), or set LETHE_HOME.") from None


def _service(named: str | None) -> str | None:
    if named is not None and named not in SERVICES:
        raise InvalidArgument(field="service", rule=f"must be one of {', '.join(SERVICES)}")
    return named


def _hex(text: str) -> bytes:
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if len(octets) != 32:
        raise InvalidArgument(field="entry", rule="must be 32 bytes in hexadecimal")
    return octets
