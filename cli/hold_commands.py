"""`lethe hold …`: legal holds, which keep a person from being erased (mission E12)."""

from __future__ import annotations

from time import monotonic, sleep
from typing import Annotated, Final

import typer

from cli.options import HELP, Account, After, As, Json, Limit, moment_of
from cli.output import moment, note, one_line, show, show_json, table
from cli.session import Session
from services.erasure.commands import HoldList, HoldView, ListHolds, OfHold, PlacedHold, PlaceHold
from services.erasure.events import Basis
from shared.ids import new_id
from shared.settings import ACCOUNT_SERVICES

NOTED_SECONDS: Final = 10.0
"""How long to wait until every service has noted a hold."""

holds = typer.Typer(
    help="Legal holds: place, list, show, release.", no_args_is_help=True, context_settings=HELP
)
HoldId = Annotated[str, typer.Argument(metavar="ID", help="The hold's id, as hold place and hold list print it.")]


def register(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.add_typer(holds, name="hold")


@holds.command("place")
def place(
    who: Annotated[str, typer.Argument(metavar="WHO", help="The person: by id or by an address.")],
    basis: Annotated[
        Basis, typer.Option("--basis", help="Why they are kept: the exceptions of GDPR Art. 17(3), (a) to (e).")
    ],
    reference: Annotated[
        str, typer.Option("--reference", metavar="TEXT", help="The matter, such as a file number; kept sealed.")
    ],
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", help="When it ends by itself (ISO 8601; UTC), at most ten years ahead.")
    ],
    address: Annotated[
        list[str] | None,
        typer.Option("--address", metavar="A", help="A further address of the same human; may be repeated."),
    ] = None,
    account: Account = None,
    as_user: As = None,
    json: Json = False,
) -> None:
    """Keep a person from being erased. A request for their erasure waits until the hold ends, and then goes on by itself.

    Example: lethe hold place greta.lindqvist@example.org --basis legal-claims --reference "12 C 345/26" --until 2027-12-31
    """
    command = PlaceHold(
        who=who, basis=basis, reference=reference, expires_at=moment_of(until, "until"), addresses=list(address or [])
    )
    with Session(account, as_user) as session:
        placed = session.call(
            "erasure", "place_hold", command, result_type=PlacedHold, idempotency_key=new_id(), repeatable=True
        )
        view, until_seconds = _show(session, placed.hold_id), monotonic() + NOTED_SECONDS
        while set(view.noted_by) < set(ACCOUNT_SERVICES) and monotonic() < until_seconds:
            sleep(0.1)
            view = _show(session, placed.hold_id)
    show_json(view) if json else show(_table("Placed", [view]))
    if missing := sorted(set(ACCOUNT_SERVICES) - set(view.noted_by)):
        note(f"No erasure begins from now on. Not noted yet by {', '.join(missing)}: lethe hold show {view.hold_id}")


@holds.command("list")
def list_holds(
    every: Annotated[bool, typer.Option("--all", help="Those as well that have ended.")] = False,
    limit: Limit = 50,
    after: After = None,
    account: Account = None,
    as_user: As = None,
    json: Json = False,
) -> None:
    """List the holds in force, the newest first.

    Example: lethe hold list --all
    """
    asked = ListHolds(include_ended=every, after=after, limit=limit)
    with Session(account, as_user) as session:
        found = session.query("erasure", "list_holds", asked, HoldList)
    if json:
        show_json(found)
        return
    show(_table("Holds", found.holds))
    if found.next_after:
        note(f"There are more: --after {found.next_after}")


@holds.command("show")
def show_hold(hold_id: HoldId, account: Account = None, as_user: As = None, json: Json = False) -> None:
    """Show a hold, whom it keeps, and which requests for erasure wait for it.

    Example: lethe hold show 7c1d4cf1-0d9e-4b3a-8f5f-6f6f0c6a2b11
    """
    with Session(account, as_user) as session:
        view = _show(session, hold_id)
    if json:
        show_json(view)
        return
    show(
        _table("Hold", [view]), view.article, table("Keeps", ("person id",), [(one,) for one in view.person_ids]),
        table("Waits for it", ("request id",), [(one,) for one in view.requests]),
        table("Noted by", ("service",), [(one,) for one in view.noted_by]),
    )  # fmt: skip


@holds.command("release")
def release(hold_id: HoldId, account: Account = None, as_user: As = None, json: Json = False) -> None:
    """End a hold before its time. The erasures that waited for it alone go on at once.

    Example: lethe hold release 7c1d4cf1-0d9e-4b3a-8f5f-6f6f0c6a2b11
    """
    asked = OfHold(hold_id=hold_id)
    with Session(account, as_user) as session:
        waited = _show(session, hold_id).requests
        view = session.call("erasure", "release_hold", asked, result_type=HoldView, repeatable=True)
    if json:
        show_json(view)
        return
    show(_table("Ended", [view]))
    for request in waited:
        note(f"It waited for this hold, and perhaps for others: lethe erasure show {request}")


def _show(session: Session, hold_id: str) -> HoldView:
    return session.query("erasure", "show_hold", OfHold(hold_id=hold_id), HoldView)


def _table(title: str, views: list[HoldView]) -> object:
    rows = [
        (
            one.hold_id, one.basis, one_line(one.reference or "", 40), moment(one.placed_at), moment(one.expires_at),
            f"{one.end} {moment(one.ended_at)}" if one.end else "", len(one.person_ids), len(one.requests),
        )
        for one in views
    ]  # fmt: skip
    columns = ("hold id", "basis", "reference", "placed (UTC)", "until (UTC)", "ended (UTC)", "persons", "waiting")
    return table(title, columns, rows)
