"""`lethe certificate …`: read a certificate and check it. Needs the file and public keys, and no server."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.certificate_page import HOLDS, UNVERIFIED, as_html, counts_of, lines_of
from cli.exit_status import TAMPERED
from cli.options import HELP, Json, Out
from cli.output import moment, note, safe, show, show_json, stdout, table, write_file
from cli.verifier_keys import verifier_keys
from services.erasure.participants import participants
from shared import certificate, clock
from shared.certificate import Certificate
from shared.cut_journal import epoch_end_after, journal_path, public_key
from shared.errors import InvalidArgument, LetheError, Tampered
from shared.ids import Id
from shared.personal import NotPersonal

certificates = typer.Typer(
    help="Certificates of erasures: show, verify.", no_args_is_help=True, context_settings=HELP
)
File = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The certificate.")]
Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="The public keys. Default: those of the home.",
    ),
]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of a certificate found. `reason` is null where it holds."""

    holds: bool
    reason: Annotated[str, NotPersonal("what is wrong with a certificate")] | None
    service: Annotated[str, NotPersonal("the name of a service")] | None
    request: Id | None
    participants: list[Annotated[str, NotPersonal("the name of a service")]]
    cut_at: datetime | None = None
    unrecoverable_by: datetime | None = None
    epoch_ended_at: datetime | None = None
    """When the last participant's key epoch ended after the cut, from the cut journals of the home; null where they are not
    at hand, or not all have ended."""


def register(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.add_typer(certificates, name="certificate")


@certificates.command("show")
def show_certificate(
    file: File,
    as_page: Annotated[
        bool, typer.Option("--html", help="As one HTML page that needs nothing else.")
    ] = False,
    out: Out = None,
    keys: Keys = None,
    json: Json = False,
    proofs: Annotated[
        Path | None,
        typer.Option(
            "--proofs", metavar="DIR", file_okay=False, help="Write each receipt's proof there: lethe audit prove check."
        ),
    ] = None,
) -> None:
    """Show a certificate, and whether it holds.

    Example: lethe certificate show greta.certificate.json --html --out greta.html
    """
    document = file.read_bytes()
    signed = certificate.read(document)
    verdict = check(document, keys)
    if proofs is not None:
        proofs.mkdir(parents=True, exist_ok=True)
        for service, proof in certificate.receipt_proofs(signed.certificate).items():
            write_file(proofs / f"{service}.tlog-proof", proof)
        note(f"The receipts' proofs are in {proofs}. Check them: lethe audit prove check {proofs}/*.tlog-proof")
    text = HOLDS if verdict.holds else f"It does NOT hold: {verdict.reason}" if verdict.reason else UNVERIFIED
    if as_page or (out is not None and not json):
        page = as_html(signed.certificate, text, verdict.holds).encode()
        if out is None:
            stdout().file.write(page.decode())
        else:
            write_file(out, page)
            note(f"The certificate is in {out}")
    elif json:
        show_json(signed)
    else:
        print_certificate(signed.certificate, text, verdict.holds)
    if not verdict.holds:
        raise typer.Exit(TAMPERED)


@certificates.command("verify")
def verify(file: File, keys: Keys = None, json: Json = False) -> None:
    """Check a certificate offline: its signature, that every participant is in it, each receipt, and each receipt's place in a
    signed log. Exit status 5 if anything does not hold.

    Example: lethe certificate verify greta.certificate.json
    """
    document = file.read_bytes()
    verdict = check(document, keys)
    if json:
        show_json(verdict)
    elif verdict.holds:
        show(Text("The certificate holds.", style="bold green"))
        show(f"Request {verdict.request}; receipts of {', '.join(verdict.participants)}.")
        show(second_stage(verdict))
        show(f"Its SHA-256, which the log of erasure has: {hashlib.sha256(document).hexdigest()}")
    else:
        where = f" ({verdict.service})" if verdict.service else ""
        show(Text(f"The certificate does NOT hold: {verdict.reason}{where}", style="bold red"))
    if not verdict.holds:
        raise typer.Exit(TAMPERED)


def second_stage(verdict: Verdict) -> str:
    """Whether copies from before the cut still open, in a sentence."""
    if verdict.epoch_ended_at is not None:
        return f"Since {moment(verdict.epoch_ended_at)} UTC it is unrecoverable from any copy: the key epochs ended."
    by = moment(verdict.unrecoverable_by)
    if verdict.unrecoverable_by is not None and verdict.unrecoverable_by < clock.now():
        return (
            f"By {by} UTC it was to be unrecoverable from any copy. That time is over, and that the key epochs ended is not"
            " known here: older copies may still open it (lethe keys rotate, then verify it beside the cut journals)."
        )
    return f"Unrecoverable from any copy once the key epochs end, at the latest {by} UTC (lethe keys rotate)."


def _epochs_ended(good: Certificate, folder: Path | None) -> datetime | None:
    home = (folder or Path(os.environ.get("LETHE_HOME", ".lethe")) / "verifiers").parent
    ends = []
    for one in good.participants:
        journal = journal_path(home / "tiles" / one.service)
        try:
            key = public_key(home / "verifiers" / f"journal-{one.service}.key")
            ends.append(epoch_end_after(journal, key, good.cut_at))
        except (OSError, ValueError, Tampered):
            ends.append(None)
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def check(document: bytes, keys: Path | None) -> Verdict:
    """The verdict on a certificate. Raises `InvalidArgument` where there are no keys to check it with."""
    held = verifier_keys(keys)
    try:
        good = certificate.verify(document, held.certificate, held.logs, participants())
    except InvalidArgument as error:
        return Verdict(holds=False, reason=error.message, service=None, request=None, participants=[])
    except Tampered as error:
        missing = error.details.get("missing")
        more = f": {', '.join(missing)}" if isinstance(missing, list) and missing else ""
        service = error.details.get("service")
        return Verdict(
            holds=False,
            reason=error.message + more,
            service=str(service) if service else None,
            request=None,
            participants=[],
        )
    except (LetheError, ValueError, KeyError, TypeError) as error:
        # a changed certificate can be wrong in ways that its reader did not foresee; it does not hold all the same
        return Verdict(
            holds=False,
            reason=f"a part of it can't be read ({type(error).__name__})",
            service=None,
            request=None,
            participants=[],
        )
    return Verdict(
        holds=True,
        reason=None,
        service=None,
        request=good.request,
        participants=[one.service for one in good.participants],
        cut_at=good.cut_at,
        unrecoverable_by=good.unrecoverable_by,
        epoch_ended_at=_epochs_ended(good, keys),
    )


def print_certificate(shown: Certificate, verdict: str, holds: bool) -> None:
    """A certificate on the terminal."""
    head = Table.grid(padding=(0, 2))
    for label, value in lines_of(shown):
        head.add_row(Text(label, style="dim"), Text(safe(value)))
    head.add_row("", "")
    head.add_row(Text("Statement", style="dim"), Text(safe(shown.statement), style="bold"))
    head.add_row(Text("Verdict", style="dim"), Text(safe(verdict), style="green" if holds else "bold red"))
    rows = [
        (one.service, one.outcome, counts_of(one), f"{one.cut_at:%Y-%m-%d %H:%M:%S}")
        for one in shown.participants
    ]
    kept = [(one.what, one.reason, one.until) for one in shown.retained]
    show(
        Panel(head, title="Certificate of erasure", border_style="green" if holds else "red", expand=False),
        table("What was erased", ("service", "outcome", "removed", "keys cut (UTC)"), rows),
        table("What is kept, and why", ("what", "why", "until"), kept),
    )
