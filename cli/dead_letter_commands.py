"""`lethe dead-letters …`: events whose handling a service gave up, and how they get another chance."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from cli.options import HELP, Json, Limit
from cli.output import note, show, show_json, table
from cli.session import load_settings
from shared.dead_letters import DeadLetter, DeadLetters
from shared.settings import SERVICES

group = typer.Typer(
    help="Events whose handling was given up: list, replay.", no_args_is_help=True, context_settings=HELP
)
Service = Annotated[str | None, typer.Option("--service", metavar="S", help="Of this service only.")]


class DeadLetterList(msgspec.Struct, frozen=True, kw_only=True):
    """The dead letters, oldest first in each service."""

    letters: list[DeadLetter]


def register(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.add_typer(group, name="dead-letters")


@group.command("list")
def list_letters(service: Service = None, limit: Limit = 50, json: Json = False) -> None:
    """List the events whose handling was given up. They stay where they are.

    Example: lethe dead-letters list
    """
    url = load_settings().amqp_url
    letters = [one for name in _services(service) for one in DeadLetters(url, name).list(limit)]
    if json:
        show_json(DeadLetterList(letters=letters))
        return
    rows = [(one.queue, one.event_id or "unreadable", one.account_id or "", one.reason, one.deaths) for one in letters]
    show(table("Dead letters", ("queue", "event id", "account id", "why", "deaths"), rows))


@group.command("replay")
def replay(
    event_id: Annotated[str | None, typer.Argument(metavar="[EVENT]", help="One event's id. Default: all.")] = None,
    service: Service = None,
) -> None:
    """Put them back into their queues, after what made them fail was mended.

    Example: lethe dead-letters replay --service tickets
    """
    url = load_settings().amqp_url
    done = sum(DeadLetters(url, name).replay(event_id) for name in _services(service))
    note(f"{done} put back into their queues")


def _services(service: str | None) -> tuple[str, ...]:
    if service is not None and service not in SERVICES:
        raise typer.BadParameter(f"one of {', '.join(SERVICES)}", param_hint="--service")
    return SERVICES if service is None else (service,)
