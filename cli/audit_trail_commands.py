"""`lethe audit trail`: what happened to an account, a person, a request, or by a user or staff member, as a timeline.

As all of `lethe audit` it asks no service: it reads the logs by itself, as the auditor, or an exported folder.
"""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer

from audit.sources import DatabaseSource, FolderSource, Source
from audit.trail import MOST_ENTRIES, TrailEntry, TrailPage, trail
from audit.trail_subjects import TrailSelection
from cli.audit_commands import audit
from cli.options import Json, moment_of
from cli.output import note, show, show_json, table
from cli.session import load_settings
from shared.errors import NotFound

DEEPEST = 4
"""So far effects are indented below their causes."""


def register(app: typer.Typer) -> None:
    """Adds nothing to the program by itself: the command belongs to `lethe audit`, which `audit_commands` adds."""


@audit.command("trail")
def trail_command(
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Of this account.")] = None,
    person: Annotated[str | None, typer.Option("--person", metavar="ID", help="Of this person, by pseudonym.")] = None,
    request: Annotated[str | None, typer.Option("--request", metavar="ID", help="Of this request for erasure.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="ID", help="Of this user, and what they did and saw.")] = None,
    staff: Annotated[
        str | None, typer.Option("--staff", metavar="ID", help="Of this one of the vendor's staff: grants and look-ups.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="From this time on (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before this time.")] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="PLACE", help="The page after this one: the place that was printed.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST_ENTRIES, help="How many at most.")] = 100,
    offline: Annotated[
        Path | None,
        typer.Option("--offline", metavar="FOLDER", file_okay=False, help="Of an exported folder: lethe audit export."),
    ] = None,
    json: Json = False,
) -> None:
    """Tell what happened, across all services, in causal order: who acted, by which door, where it stands in which log.

    Several options together mean what belongs to all of them.
    Example: lethe audit trail --request 5f0c7a8e-3a52-4b0e-9a43-5b8f0a3f8a11 --json
    """
    selection = TrailSelection(
        account=account, person=person, request=request, user=user, staff=staff, since=moment_of(since, "since"),
        until=moment_of(until, "until"),
    )  # fmt: skip
    selection.subjects()
    source: Source = DatabaseSource(load_settings()) if offline is None else FolderSource(offline)
    page = trail(source, selection, after=after, limit=limit)
    if not page.known:
        raise NotFound("No event in these logs belongs to that.")
    if json:
        show_json(page)
        return
    _show_trail(page)


def _show_trail(page: TrailPage) -> None:
    entries = page.entries
    services = len({one.service for one in entries})
    title = f"{len(entries)} of {page.matched} events, in {services} log(s); times are UTC"
    depths = _depths(entries)
    rows = [
        (
            f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3], f"{one.service} {one.index}", _who(one), _by(one),
            f"{'  ' * (depth - 1)}└ {one.what}" if depth else one.what,
        )
        for one, depth in zip(entries, depths, strict=True)
    ]  # fmt: skip
    show(table(title, ("at", "log, index", "who", "by", "what happened"), rows))
    if page.next_after:
        note(f"There is more: --after {page.next_after}")
    note("Ids whole: --json. Whether the logs are as they were signed: lethe audit verify")


def _depths(entries: list[TrailEntry]) -> list[int]:
    """How far below its cause, and that one's, each entry stands."""
    found: dict[tuple[str, int], int] = {}
    depths = []
    for one in entries:
        cause = one.caused_by
        depth = 0 if cause is None else min(found.get((cause.service, cause.index), 0) + 1, DEEPEST)
        found[one.service, one.index] = depth
        depths.append(depth)
    return depths


def _by(one: TrailEntry) -> str:
    return one.by if one.door_id is None else f"{one.by} {one.door_id[:8]}"


def _who(one: TrailEntry) -> str:
    if one.who.id is None:
        return one.service
    return f"{one.who.role or one.who.kind} {one.who.id[:8]}"
