"""`lethe import-mail PATH…` and `lethe import-mail put-aside list`: the importing itself is in `importing.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cli.default_group import DefaultGroup
from cli.exit_status import INCOMPLETE
from cli.import_report import ImportReport, rows
from cli.importing import Importer
from cli.options import HELP, Account, After, As, Json, Limit
from cli.output import moment, note, show, show_json, stderr, table
from cli.session import Session
from services.tickets.commands import MAILS_IN_A_BATCH, ListPutAside, PutAsideList, PutAsideView, ShowPutAside
from shared.mail.archive import count

group = typer.Typer(
    cls=DefaultGroup,
    help="Import mail: mbox files, Maildirs, .eml files, folders of them.\n\nlethe import-mail PATH... imports"
    " (lethe import-mail run --help has its options).\n\nExample: lethe import-mail mail/inbox archive.mbox",
    no_args_is_help=True,
    context_settings=HELP,
)
Paths = Annotated[
    list[Path],
    typer.Argument(metavar="PATH...", exists=True, help="mbox files, Maildirs, .eml files, folders of these."),
]
put_aside = typer.Typer(
    help="The mails that could not be parsed at all.", no_args_is_help=True, context_settings=HELP
)


def register(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    group.add_typer(put_aside, name="put-aside")
    app.add_typer(group, name="import-mail")


@group.command("run")
def import_mail(
    paths: Paths,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be imported; change nothing.")
    ] = False,
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=MAILS_IN_A_BATCH, help="Mails sent in one call.")
    ] = 25,
    account: Account = None,
    as_user: As = None,
    json: Json = False,
) -> None:
    """Import mail. Importing the same mail twice changes nothing; an import that was stopped goes on where it was.

    Exit status 4 if the services could not take in some of the mails.

    Example: lethe import-mail mail/inbox archive.mbox --account "Harbour Kettles"
    """
    with Session(account, as_user) as session, progress_bar() as progress:
        task = progress.add_task("importing", total=count(paths))
        importer = Importer(
            session, batch=batch, dry_run=dry_run, advance=lambda done: progress.update(task, advance=done)
        )
        report = importer.run(paths)
    show_json(report) if json else show_report(report)
    if report.failed:
        note("Some mails could not be taken in by the services; the same command tries them again.")
        raise typer.Exit(INCOMPLETE)


@put_aside.command("list")
def list_put_aside(
    limit: Limit = 50, after: After = None, account: Account = None, as_user: As = None, json: Json = False
) -> None:
    """List the mails that were put aside, with their reasons. Nothing of their content was kept.

    Example: lethe import-mail put-aside list
    """
    with Session(account, as_user) as session:
        found = session.query("tickets", "list_put_aside", ListPutAside(after=after, limit=limit), PutAsideList)
    if json:
        show_json(found)
        return
    lines = [(one.put_aside_id, one.reason, one.size, moment(one.put_aside_at)) for one in found.mails]
    show(table("Put aside", ("put-aside id", "reason", "bytes", "at (UTC)"), lines))
    if found.next_after:
        note(f"There are more: --after {found.next_after}")


@put_aside.command("show")
def show_put_aside(put_aside_id: str, account: Account = None, as_user: As = None, json: Json = False) -> None:
    """Show one mail that was put aside: why, when, how large. Nothing of its content was kept.

    Example: lethe import-mail put-aside show 0e729602-9984-48a1-91f3-4b3263c53077
    """
    with Session(account, as_user) as session:
        found = session.query("tickets", "show_put_aside", ShowPutAside(put_aside_id=put_aside_id), PutAsideView)
    if json:
        show_json(found)
        return
    note("Mend the mail where it came from, then: lethe import-mail put-aside retry PATH")
    line = (found.put_aside_id, found.reason, found.size, moment(found.put_aside_at))
    show(table("Put aside", ("put-aside id", "reason", "bytes", "at (UTC)"), [line]))


@put_aside.command("retry")
def retry_put_aside(paths: Paths, account: Account = None, as_user: As = None, json: Json = False) -> None:
    """Import mail that was put aside again, from where it came: its bytes are kept nowhere else (an erasure could not reach
    them). What can be read by now is taken in, and is put aside no longer.

    Example: lethe import-mail put-aside retry mail/broken
    """
    import_mail(paths, account=account, as_user=as_user, json=json)


def progress_bar() -> Progress:
    """A bar with the count, the speed and the time left, on stderr."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=40), MofNCompleteColumn(), _MailsPerSecond(),
        TimeRemainingColumn(), console=stderr(),
    )  # fmt: skip


class _MailsPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} mails/s" if speed else "", style="cyan")


def show_report(report: ImportReport) -> None:
    """The report as a table."""
    size, speed = f"{report.mails:,} mails, {report.bytes / 1e6:,.1f} MB", f"{report.mails_per_second:,.0f}/s"
    again = f", {report.interruptions} interruptions bridged" if report.interruptions else ""
    show(table(f"Import: {size} in {report.seconds:,.1f} s ({speed}){again}", ("what", "mails", "why"), rows(report)))
