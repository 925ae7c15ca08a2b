"""`lethe audit replay` and `lethe audit ticket`: what was, rebuilt from the logs. A part of `audit_commands.py`."""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from typing import Annotated

import typer

from audit.comparison import Difference
from audit.replay import ReplayResult, replay
from audit.ticket_state import TicketRow, TicketState, ticket_state
from cli.audit_options import AsOf, Service, services_named, shown_progress
from cli.exit_status import TAMPERED
from cli.options import Json, moment_of
from cli.output import moment, note, show, show_json, table
from cli.session import load_settings
from shared import clock
from shared.errors import InvalidArgument
from shared.ids import is_id

_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_SHOWN_CHARACTERS = 24
"""Of a digest: enough to compare it by eye."""


def register(audit: typer.Typer) -> None:
    """Adds the commands to the group `lethe audit`."""
    audit.command("replay")(replay_command)
    audit.command("ticket")(ticket_command)


def replay_command(
    compare: Annotated[bool, typer.Option("--compare", help="Compare what was rebuilt with the live rows.")] = False,
    service: Service = None,
    as_of: AsOf = None,
    restart: Annotated[bool, typer.Option("--restart", help="Do not go on with a replay that was interrupted.")] = False,
    json: Json = False,
) -> None:
    """Rebuild the read models from the first event on, beside the live ones, and throw them away again.

    Goes on where an earlier run was interrupted. As of a time: with the events that the last checkpoint signed at or before it
    covers. Ends with 5 where rows differ, or an event is not as it was signed. Example: lethe audit replay --compare
    """
    home = load_settings()
    then = _past(as_of)
    if compare and then is not None:
        raise InvalidArgument(field="as-of", rule="what was at an earlier time can't be compared with what is live now")
    results: list[ReplayResult] = []
    for name in services_named(service):
        with shown_progress(name) as report:
            result = replay(home, name, compare, then, report, restart=restart)
        if result.resumed_at:
            note(f"{name}: went on after {result.resumed_at} events that an interrupted run had played (anew: --restart)")
        results.append(result)
    if json:
        show_json(results)
    else:
        _show_replays(results)
    if any(result.equal is False for result in results):
        raise typer.Exit(TAMPERED)


def ticket_command(
    ticket: Annotated[str, typer.Argument(metavar="TICKET", help="The ticket's id.")],
    as_of: AsOf = None,
    account: Annotated[
        str | None, typer.Option("--account", metavar="ID", help="The account's id. Default: all accounts are asked.")
    ] = None,
    json: Json = False,
) -> None:
    """Show a ticket as it was at a time, from its own events: what happened, and the rows that it had.

    Without keys, so what was written in it is shown as digests, and what was erased since then as erased.

    Example: lethe audit ticket 0e729602-9984-48a1-91f3-4b3263c53077 --as-of 2026-05-31T12:00:00Z
    """
    state = ticket_state(load_settings(), _id(ticket, "ticket"), _past(as_of), account and _id(account, "account"))
    if json:
        show_json(state)
    else:
        _show_ticket(state)


def _id(text: str, field: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise InvalidArgument(field=field, rule="must be an id such as 0e729602-9984-48a1-91f3-4b3263c53077") from None


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
    for result in results:
        for one in result.tables:
            if one.differences:
                _show_differences(result.service, one.table, one.differing, one.differences)
        if result.unfinished and result.equal is False:
            note(f"{result.service}: {result.unfinished} erasure(s) were under way; compare again when they are finished.")


def _show_differences(service: str, name: str, differing: int, differences: list[Difference]) -> None:
    """The first row that differs column by column, the others by their keys."""
    first, others = differences[0], differences[1:]
    show(f"{service}, {name}: {differing} row(s) differ. The first, {first.what}: {_key(first)}")
    columns = [(one.column, _value(one.live), _value(one.rebuilt)) for one in first.columns]
    if columns:
        show(table("", ("column", "live", "rebuilt from the log"), columns))
    if others:
        rows = [(_key(one), one.what, ", ".join(column.column for column in one.columns)) for one in others]
        show(table(f"The next of {name}", ("key", "what", "columns"), rows))


def _key(difference: Difference) -> str:
    return ", ".join(f"{name} {value}" for name, value in difference.key.items())


def _value(value: str | None) -> str:
    return "NULL" if value is None else value[:_SHOWN_CHARACTERS] + "…" if value.startswith("sha256:") else value


def _short(value: str | None) -> str:
    """A value so that a row with its dozen of them fits on a screen: of an id the first letters, of a time the seconds."""
    if value is None:
        return "-"
    if is_id(value):
        return value[:8]
    return value[:19] if _TIME.match(value) else value[:11] + "…" if value.startswith("sha256:") else value


def _show_ticket(state: TicketState) -> None:
    when = "now" if state.as_of is None else f"as of {moment(state.as_of)} UTC"
    rows = [
        (one.index, moment(one.time), one.type.partition(".")[2], one.sealed, one.actor_id[:8], one.event_id[:8])
        for one in state.events
    ]
    columns = ("index", "time (UTC)", "event", "sealed parts", "actor", "event id")
    show(table(f"Ticket {state.ticket_id} {when}: its story", columns, rows))
    if not state.rows:
        show("By then it was erased: no row of it was left.")
    for name in dict.fromkeys(row.table for row in state.rows):
        _show_rows(name, [row for row in state.rows if row.table == name])
    note(f"The log of tickets had {state.size} events then. Account: {state.account_id}. Ids whole: --json")


def _show_rows(name: str, rows: list[TicketRow]) -> None:
    shown = [column for column in rows[0].values if column not in ("account_id", "ticket_id")]
    values = [[_short(row.values[column]) for column in shown] for row in rows]
    show(table(f"Its rows in {name}", [column.replace("_", " ") for column in shown], values))


def _past(text: str | None) -> datetime | None:
    """The time of --as-of. Raises `InvalidArgument` where it is still ahead: nobody knows what the log will say then."""
    moment = moment_of(text, "as-of")
    if moment is not None and moment > clock.now():
        raise InvalidArgument(field="as-of", rule="is a time that is over")
    return moment
