"""`lethe erase` and `lethe erasure …`: a person's erasure, from the preview to the certificate."""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated, Final

import msgspec
import typer

from cli.certificate_commands import check, print_certificate
from cli.certificate_page import HOLDS
from cli.erase_progress import follow, holds_table, progress_table
from cli.exit_status import INCOMPLETE, TAMPERED
from cli.insisting import insist
from cli.options import HELP, Account, After, As, Json, Limit, Out, Yes
from cli.output import check_writable, moment, note, one_line, show, show_json, table, write_file
from cli.session import Session
from services.contacts.commands import PersonView, ShowPerson
from services.erasure.commands import (
    CertificateDocument,
    Done,
    ErasureList,
    ErasureView,
    ListErasures,
    PreviewedErasure,
    PreviewErasure,
    RequestedErasure,
    RequestErasure,
    ShowErasure,
)
from shared import certificate
from shared.errors import InvalidArgument, LetheError, TimedOut, Unavailable
from shared.ids import new_id
from shared.personal import NotPersonal

erasures = typer.Typer(
    help="Requests for erasure: list, show, retry.", no_args_is_help=True, context_settings=HELP
)
RequestId = Annotated[
    str, typer.Argument(metavar="ID", help="The request's id, as erase and erasure list print it.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.0, metavar="SECONDS", help="How long to wait for the certificate.")
]


_WAITS: Final = "It waits for the end of"


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """The end of `lethe erase`: the request, and the certificate's file if one was written."""

    erasure: ErasureView
    claim_code: Annotated[str, NotPersonal("a random code")] | None
    certificate_holds: bool | None
    certificate_file: Annotated[str, NotPersonal("where the user wanted it")] | None


def register(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.command("erase", context_settings=HELP)(erase)
    app.add_typer(erasures, name="erasure")


def erase(
    who: Annotated[str, typer.Argument(metavar="WHO", help="The person: by id or by an address.")],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; kept sealed until it is done.")
    ] = "",
    address: Annotated[
        list[str] | None,
        typer.Option("--address", metavar="A", help="A further address of the same human; may be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be erased; change nothing.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the certificate.")] = True,
    timeout: Timeout = 60.0,
    out: Out = None,
    yes: Yes = False,
    account: Account = None,
    as_user: As = None,
    json: Json = False,
) -> None:
    """Erase a person everywhere, and get the certificate.

    Shows what will be erased and what is kept, and at a terminal asks first. Exit status 4 if it was not completed in time, or
    waits for the end of a legal hold; it goes on by itself.

    Example: lethe erase greta.lindqvist@example.org --reason "asked on 3 March" --yes --out greta.certificate.json
    """
    addresses = list(address or [])
    if not dry_run and not reason:
        raise InvalidArgument(
            "Say why with --reason TEXT; it is kept with the request.", field="reason", rule="is required"
        )
    check_writable(out)
    with Session(account, as_user) as session:
        preview = _preview(session, PreviewErasure(who=who, addresses=addresses))
        if dry_run:
            show_json(preview) if json else _show_preview(session, preview)
            return
        if not json:
            _show_preview(session, preview)
        if not yes and sys.stdin.isatty():
            typer.confirm("Erase this for good? Nobody can bring it back.", abort=True, err=True)
        request = RequestErasure(who=who, reason=reason, addresses=addresses)
        asked = _request(session, request, timeout)
        note(
            f"Request {asked.request_id}"
            + (f", claim code {asked.claim_code} (shown once)" if asked.claim_code else "")
        )
        if wait:
            view = follow(session, asked.request_id, timeout, quiet=json)
        else:
            view = session.query(
                "erasure", "show_erasure", ShowErasure(request_id=asked.request_id), ErasureView
            )
        if view.state != "completed":
            if json:
                show_json(
                    Erased(
                        erasure=view,
                        claim_code=asked.claim_code,
                        certificate_holds=None,
                        certificate_file=None,
                    )
                )
            if not wait:
                return
            if view.holds and not json:
                show(holds_table(_WAITS, view.holds))
            note(f"Not completed yet; it goes on by itself: lethe erasure show {asked.request_id}")
            raise typer.Exit(INCOMPLETE)
        _finish(session, view, asked.claim_code, out, json)


@erasures.command("list")
def list_erasures(
    limit: Limit = 50, after: After = None, account: Account = None, as_user: As = None, json: Json = False
) -> None:
    """List the requests for erasure, the newest first.

    Example: lethe erasure list
    """
    with Session(account, as_user) as session:
        found = session.query("erasure", "list_erasures", ListErasures(after=after, limit=limit), ErasureList)
    if json:
        show_json(found)
        return
    rows = [
        (one.request_id, one.state, one.asked_by, moment(one.requested_at), moment(one.completed_at), len(one.person_ids))
        for one in found.requests
    ]
    show(table("Erasures", ("request id", "state", "asked by", "requested (UTC)", "completed (UTC)", "persons"), rows))
    if found.next_after:
        note(f"There are more: --after {found.next_after}")


@erasures.command("show")
def show_erasure(
    request_id: RequestId, out: Out = None, account: Account = None, as_user: As = None, json: Json = False
) -> None:
    """Show where a request stands; with --out also get its certificate. Exit status 4 if it is not completed.

    Example: lethe erasure show 7c1d4cf1-0d9e-4b3a-8f5f-6f6f0c6a2b11 --out greta.certificate.json
    """
    with Session(account, as_user) as session:
        view = session.query("erasure", "show_erasure", ShowErasure(request_id=request_id), ErasureView)
        if out is not None and view.state == "completed":
            write_file(out, _document(session, request_id))
            note(f"The certificate is in {out}")
    if json:
        show_json(view)
    else:
        end = view.completed_at or view.requested_at
        show(progress_table(view, (end - view.requested_at).total_seconds()))
        if view.holds:
            show(holds_table(_WAITS, view.holds))
    if view.state != "completed":
        raise typer.Exit(INCOMPLETE)


@erasures.command("retry")
def retry(
    request_id: RequestId,
    timeout: Timeout = 60.0,
    out: Out = None,
    account: Account = None,
    as_user: As = None,
    json: Json = False,
) -> None:
    """Tell the participants of a request once more, and wait. Each does only what it has not done.

    Example: lethe erasure retry 7c1d4cf1-0d9e-4b3a-8f5f-6f6f0c6a2b11
    """
    check_writable(out)
    with Session(account, as_user) as session:
        session.call(
            "erasure", "retry_erasure", ShowErasure(request_id=request_id), result_type=Done, repeatable=True
        )
        view = follow(session, request_id, timeout, quiet=json)
        if view.state == "completed":
            _finish(session, view, None, out, json)
            return
    if json:
        show_json(Erased(erasure=view, claim_code=None, certificate_holds=None, certificate_file=None))
    raise typer.Exit(INCOMPLETE)


def _request(session: Session, request: RequestErasure, timeout: float) -> RequestedErasure:
    """Makes the request once, whatever breaks: under one key it is asked again until there is an answer."""
    begun, key = monotonic(), new_id()
    while True:
        try:
            return session.call(
                "erasure", "request_erasure", request, result_type=RequestedErasure, idempotency_key=key
            )
        except (TimedOut, Unavailable):
            if monotonic() - begun > timeout:
                raise
        sleep(0.5)


def _finish(
    session: Session, view: ErasureView, claim_code: str | None, out: Path | None, json: bool
) -> None:
    document = _document(session, view.request_id)
    if out is not None:
        write_file(out, document)
    verdict = check(document, session.settings.path("verifiers"))
    if json:
        where = str(out) if out is not None else None
        show_json(
            Erased(
                erasure=view, claim_code=claim_code, certificate_holds=verdict.holds, certificate_file=where
            )
        )
    else:
        text = HOLDS if verdict.holds else f"It does NOT hold: {verdict.reason}"
        print_certificate(certificate.read(document).certificate, text, verdict.holds)
        if out is not None:
            note(f"The certificate is in {out}; check it anywhere: lethe certificate verify {out} --keys DIR")
    if not verdict.holds:
        raise typer.Exit(TAMPERED)


def _preview(session: Session, asked: PreviewErasure) -> PreviewedErasure:
    return insist(lambda _: session.query("erasure", "preview_erasure", asked, PreviewedErasure))


def _document(session: Session, request_id: str) -> bytes:
    asked = ShowErasure(request_id=request_id)
    return insist(lambda _: session.query("erasure", "show_certificate", asked, CertificateDocument)).document


def _show_preview(session: Session, preview: PreviewedErasure) -> None:
    people = []
    for person in preview.person_ids:
        try:
            people.append(session.query("contacts", "show_person", ShowPerson(who=person), PersonView))
        except LetheError:
            continue
    rows = [(one.person_id, one_line(one.name or ""), "\n".join(map(str, one.addresses))) for one in people]
    removed = [
        (one.service, kind, count)
        for one in preview.services
        for kind, count in sorted(one.counts.items())
        if count
    ]
    kept = [
        (one.service, two.what, two.reason, two.until) for one in preview.services for two in one.retained
    ]
    show(table("To be erased", ("person id", "name", "addresses"), rows))
    show(table("", ("service", "what", "how many"), removed))
    if kept:
        show(table("Kept, and why", ("service", "what", "why", "until"), kept))
    if preview.holds:
        show(holds_table("Under a legal hold: a request waits, and nothing is erased before", preview.holds))
