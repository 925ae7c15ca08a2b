"""`lethe audit alerts`, `seen`, `compare`, `clear`: what the audit service saw of the logs, and what is wrong with them.

Unlike the other commands of the group these ask a service, the operator's own watch. Whoever trusts nobody keeps checkpoints of
their own: `lethe audit verify`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from audit.checkpoints import read_checkpoints
from cli.audit_commands import audit
from cli.exit_status import TAMPERED
from cli.options import After, Json, Limit
from cli.output import moment, note, show, show_json, table
from cli.session import Session
from services.audit.alert import TEXTS
from services.audit.commands import (
    AlertPage,
    AlertView,
    ClearAlert,
    CompareCheckpoint,
    ComparedCheckpoint,
    ListAlerts,
    ListSeenCheckpoints,
    SeenCheckpoint,
    SeenCheckpointPage,
)
from shared.errors import InvalidArgument, NotFound
from shared.settings import SERVICES

MOST_FILE_BYTES: Final = 1_000_000
COMPARISONS: Final = {
    "agrees": "agrees with what was seen",
    "contradicts": "contradicts what was seen: the log was rewritten, or signed twice",
    "ahead": "larger than what is published: the log was cut short",
    "not signed": "not signed by this log's key",
    "unknown": "can't be compared: the tiles are missing or changed",
}


def register(_: typer.Typer) -> None:
    """Nothing to add to the program itself: these commands are in the group `audit`."""


@audit.command("alerts")
def alerts_command(
    everything: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    limit: Limit = 100,
    after: After = None,
    json: Json = False,
) -> None:
    """Show what the watch found wrong with the logs. Ends with 5 while an alert is open.

    Example: lethe audit alerts
    """
    with Session() as session:
        asked = ListAlerts(only_open=not everything, after=after, limit=limit)
        page = session.operate("audit", "list_alerts", asked, result_type=AlertPage, repeatable=True)
    if json:
        show_json(page)
    elif page.alerts:
        show(_alert_table(page.alerts))
        if page.next_after:
            note(f"More: lethe audit alerts{' --all' if everything else ''} --after {page.next_after}")
    else:
        show("No alerts." if everything else "No open alerts.")
    if page.open:
        raise typer.Exit(TAMPERED)


@audit.command("clear")
def clear_command(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="Its id: lethe audit alerts.")], json: Json = False
) -> None:
    """Say that an alert was looked into. If its cause is still there, it is raised anew.

    Example: lethe audit clear 7f2c1a90-55b0-4f6e-9a51-1d7c4a1f0b3e
    """
    with Session() as session:
        view = session.operate("audit", "clear_alert", ClearAlert(alert_id=alert), result_type=AlertView, repeatable=True)
    if json:
        show_json(view)
    else:
        show(_alert_table([view]))


@audit.command("seen")
def seen_command(
    service: Annotated[str | None, typer.Option("--service", "-s", metavar="SERVICE", help="Of this log only.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many of each log at most.")] = 10,
    below: Annotated[int | None, typer.Option("--below", min=0, help="Only smaller ones than this.")] = None,
    json: Json = False,
) -> None:
    """Show the checkpoints that the watch keeps: the newest, ever fewer of the older ones, and all that are evidence.

    Example: lethe audit seen --service tickets
    """
    found: list[SeenCheckpoint] = []
    with Session() as session:
        for name in SERVICES if service is None else (service,):
            asked = ListSeenCheckpoints(service=name, below=below, limit=limit)
            page = session.operate("audit", "list_seen_checkpoints", asked, result_type=SeenCheckpointPage, repeatable=True)
            found += page.checkpoints
    if json:
        show_json(found)
        return
    columns = ("log", "events", "root", "seen at (UTC)", "standing", "evidence")
    rows = [
        (one.service, one.size, one.root, moment(one.seen_at), one.standing, "yes" if one.is_evidence else "") for one in found
    ]
    show(table("Checkpoints that were seen", columns, rows))


@audit.command("compare")
def compare_command(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", dir_okay=False, help="What `lethe audit checkpoint --out` wrote, or one signed note."),
    ],
    json: Json = False,
) -> None:
    """Hand in checkpoints that somebody outside has seen. Ends with 5 where they are not of the history that was seen here.

    Example: lethe audit compare kept.json
    """
    with Session() as session:
        compared = [
            session.operate(
                "audit", "compare_checkpoint", CompareCheckpoint(service=service, note=text), result_type=ComparedCheckpoint,
                repeatable=True,
            )
            for service, text in _notes(file).items()
        ]  # fmt: skip
    if json:
        show_json(compared)
    else:
        columns = ("log", "handed in", "newest seen", "result", "alert id")
        rows = [
            (
                one.service, _number(one.size), _number(one.seen_size), COMPARISONS[one.comparison],
                one.alert_id or "",
            )
            for one in compared
        ]  # fmt: skip
        show(table("Checkpoints compared", columns, rows))
    if any(one.comparison != "agrees" for one in compared):
        raise typer.Exit(TAMPERED)


def _notes(path: Path) -> dict[str, str]:
    """The signed notes in a file, by service."""
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise InvalidArgument(field="checkpoint", rule="is too large for a file of checkpoints")
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}") from None
    return read_checkpoints(path).notes


def _alert_table(alerts: list[AlertView]) -> object:
    columns = ("alert id", "log", "cause", "what", "seen", "now", "raised at (UTC)", "cleared")
    rows = [
        (
            one.alert_id, one.service, one.cause, TEXTS[one.reason] + (", handed in" if one.handed_in else ""),
            _number(one.seen_size), _number(one.size), moment(one.raised_at),
            f"{moment(one.cleared_at)} by {one.cleared_by}" if one.cleared_at else "",
        )
        for one in alerts
    ]  # fmt: skip
    return table("Alerts", columns, rows)


def _number(value: int | None) -> str:
    return "" if value is None else str(value)
