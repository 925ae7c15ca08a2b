"""`lethe mail …`: what the stack's private mailbox holds. A stack that sends its mail by a real server has none."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from cli.options import HELP, Json
from cli.output import moment, one_line, safe, show, show_json, table
from cli.session import load_settings
from deploy.stack import control
from shared.errors import NotFound, Unavailable

group = typer.Typer(
    help="The mails in the stack's private mailbox: list, show.", no_args_is_help=True, context_settings=HELP
)
T = TypeVar("T")


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that the stack sent. `number`: from 1, in the order of their coming; `recipients`: to whom it was handed over."""

    number: int
    received_at: datetime
    recipients: list[str]
    sender: str = msgspec.field(name="from")
    to: str
    subject: str
    date: str
    message_id: str


class MailWithText(Mail, frozen=True, kw_only=True):
    """The same with its text."""

    text: str


class MailList(msgspec.Struct, frozen=True, kw_only=True):
    """The mails in the mailbox, oldest first: the last 200 since the stack came up."""

    mails: list[Mail]


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    mail: MailWithText | None


def register(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.add_typer(group, name="mail")


@group.command("list")
def list_mails(json: Json = False) -> None:
    """List the mails that the stack sent to its private mailbox, which keeps the last 200 in memory.

    Example: lethe mail list
    """
    found = _asked({"do": "list"}, MailList)
    if json:
        show_json(found)
        return
    rows = [(one.number, moment(one.received_at), one_line(one.to), one_line(one.subject)) for one in found.mails]
    show(table("Mails", ("number", "received (UTC)", "to", "subject"), rows))


@group.command("show")
def show_mail(
    number: Annotated[int | None, typer.Argument(metavar="[N]", min=1, help="The mail's number.")] = None,
    last: Annotated[bool, typer.Option("--last", help="The one that came last.")] = False,
    json: Json = False,
) -> None:
    """Show a mail from the stack's private mailbox: by its number, or the last.

    Example: lethe mail show --last
    """
    if (number is None) != last:
        raise typer.BadParameter("either a number, or --last", param_hint="N")
    found = _asked({"do": "show", "number": number}, _Found).mail
    if found is None:
        raise NotFound("The mailbox is empty." if last else f"There is no mail {number} in the mailbox: lethe mail list")
    if json:
        show_json(found)
        return
    heads = (("From", found.sender), ("To", found.to), ("Subject", found.subject), ("Date", found.date))
    show("\n".join([*(f"{name}: {one_line(value)}" for name, value in heads), "", safe(found.text)]))


def _asked(request: dict[str, Any], kind: type[T]) -> T:
    """The mailbox's answer. Raises `Unavailable` where there is no mailbox."""
    answer = control.ask(load_settings().home, request, control.MAILBOX)
    if answer is None:
        raise Unavailable("This stack has no mailbox running: it is down, or sends its mail by a server (LETHE_SMTP_URL).")
    return msgspec.convert(answer, kind)
