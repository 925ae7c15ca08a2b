"""`lethe account …` and `lethe user …`: make an account with its people and mailboxes, and what becomes of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from time import monotonic, sleep
from typing import Annotated, Final, Literal

import msgspec
import typer
from rich.live import Live
from rich.table import Table

from cli.exit_status import INCOMPLETE
from cli.options import HELP, Account, As, Json, Yes
from cli.output import moment, note, show, show_json, stderr, table
from cli.session import Session, pages
from services.contacts.commands import AddedThing, AddMailbox
from services.identity.commands import AddUser, ListUsers, UserList, UserView
from services.identity.events import Role
from services.lifecycle.account import Step
from services.lifecycle.commands import (
    AccountEndView,
    AccountPage,
    AccountView,
    NoteBilling,
    OfAccount,
    OpenAccount,
    SuspendAccount,
)
from services.lifecycle.events import SuspensionReason
from shared.errors import LetheError
from shared.ids import new_id

accounts = typer.Typer(
    help="Accounts: make, list, show, upgrade, bill, forecast, suspend, resume, end.", no_args_is_help=True,
    context_settings=HELP,
)  # fmt: skip
users = typer.Typer(help="The users of an account: add, list.", no_args_is_help=True, context_settings=HELP)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's name or id.")]
RoleOption = Annotated[Role, typer.Option("--role", help="What they may do.")]

_WHY: Final = {
    "trial-ended": "the trial is over, and nobody upgraded it", "billing-failed": "billing it has failed for too long",
    "by-operator": "the operator wants it", "not-resumed": "nobody asked for it to be opened again",
    "dissolved": "its time in storage is over",
}  # fmt: skip


class CreatedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it was made, with its first users."""

    account: AccountView
    users: list[UserView]
    mailboxes: int


def register(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.add_typer(accounts, name="account")
    app.add_typer(users, name="user")


@accounts.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the new account.")],
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="ADDRESS", help="The owner's mail address.")
    ] = None,
    owner_name: Annotated[str, typer.Option("--owner-name", metavar="NAME", help="The owner's name.")] = "",
    agent: Annotated[
        list[str] | None, typer.Option("--agent", metavar="ADDRESS", help="An agent; may be repeated.")
    ] = None,
    mailbox: Annotated[
        list[str] | None,
        typer.Option(
            "--mailbox",
            metavar="ADDRESS",
            help="An address of the account's own: it is nobody's; may be repeated.",
        ),
    ] = None,
    trial: Annotated[bool, typer.Option("--trial", help="A trial account.")] = False,
    json: Json = False,
) -> None:
    """Make an account, with its owner, agents and mailboxes.

    Example: lethe account create "Harbour Kettles" --owner olga@harbour-kettles.example
    --agent aaron@harbour-kettles.example --mailbox support@harbour-kettles.example
    """
    with Session() as session:
        asked = OpenAccount(name=name, plan="trial" if trial else "paid")
        account = session.operate(
            "lifecycle", "open_account", asked, result_type=AccountView, idempotency_key=new_id()
        )
    try:
        added = _add_people(account, owner, owner_name, agent or [], mailbox or [])
    except LetheError:
        note(f"The account is there: go on with lethe user add … --account {account.account_id}")
        raise
    if json:
        show_json(CreatedAccount(account=account, users=added, mailboxes=len(mailbox or [])))
        return
    show(_accounts_table([account]))
    if added:
        show(_users_table(added))
    else:
        note(f"It has no owner yet: lethe user add ADDRESS --role owner --account {account.account_id}")


def _add_people(
    account: AccountView, owner: str | None, owner_name: str, agents: Sequence[str], mailboxes: Sequence[str]
) -> list[UserView]:
    with Session(account.account_id) as session:
        people: list[tuple[str, str, Role]] = [(owner, owner_name, "owner")] if owner else []
        people += [(login, "", "agent") for login in agents]
        added = [_add_user(session, login, person, role) for login, person, role in people]
        for address in mailboxes:
            session.operate(
                "contacts", "add_mailbox", AddMailbox(address=address), account=account.account_id, result_type=AddedThing,
                repeatable=True,
            )  # fmt: skip
    return added


@accounts.command("list")
def list_accounts(json: Json = False) -> None:
    """List the accounts.

    Example: lethe account list
    """
    with Session() as session:
        found = session.accounts()
    show_json(AccountPage(accounts=found, next_after=None)) if json else show(_accounts_table(found))


@accounts.command("show")
def show_account(name: Name, json: Json = False) -> None:
    """Show an account and its users.

    Example: lethe account show "Harbour Kettles"
    """
    with Session(name) as session:
        account, people = _account(session), _users(session)
    if json:
        show_json(account)
        return
    show(_accounts_table([account]), _users_table(people.users))


@accounts.command("upgrade")
def upgrade(name: Name, json: Json = False) -> None:
    """Have an account paid for: its trial has no end any more. A suspended one stays so until it is resumed.

    Example: lethe account upgrade "Harbour Kettles"
    """
    with Session(name) as session:
        account = session.operate(
            "lifecycle", "upgrade_account", account=session.account_id, result_type=AccountView, repeatable=True
        )
    show_json(account) if json else show(_accounts_table([account]))


@accounts.command("billing")
def billing(
    name: Name,
    outcome: Annotated[Literal["failed", "recovered"], typer.Argument(metavar="failed|recovered", help="What came of it.")],
    json: Json = False,
) -> None:
    """Note that billing an account failed, or works again. Where it fails for too long the account is suspended.

    Example: lethe account billing "Harbour Kettles" failed
    """
    with Session(name) as session:
        account = session.operate(
            "lifecycle", "note_billing", NoteBilling(outcome=outcome), account=session.account_id, result_type=AccountView,
            repeatable=True,
        )  # fmt: skip
    show_json(account) if json else show(_accounts_table([account]))


@accounts.command("forecast")
def forecast(name: Name, json: Json = False) -> None:
    """Show what happens to an account by itself, and when, unless somebody does something before.

    Example: lethe account forecast "Harbour Kettles"
    """
    with Session(name) as session:
        account = _account(session)
    if json:
        show_json(account.ahead)
        return
    if not account.ahead:
        note(f"Nothing happens to it by itself: it stays {account.state}.")
        return
    rows = [(moment(step.at), step.to, _WHY[step.reason]) for step in account.ahead]
    show(table(f"Account {account.account_id}, {account.state} now", ("at (UTC)", "becomes", "because"), rows))
    note("Not ended as long as legal holds are in force, or erasures not completed.")


@accounts.command("suspend")
def suspend(
    name: Name,
    reason: Annotated[SuspensionReason, typer.Option("--reason", help="Why.")] = "by-operator",
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Close an account to its users. Erasures go on. If nobody resumes it in time it is dissolved, and ended: see forecast.

    Example: lethe account suspend "Harbour Kettles" --reason billing-failed --yes
    """
    with Session(name) as session:
        if not yes:
            question = f"Suspend {name}? Nobody can log in then; if nobody resumes it in time, it goes."
            typer.confirm(question, abort=True, err=True)
        session.operate(
            "lifecycle", "suspend_account", SuspendAccount(reason=reason), account=session.account_id, repeatable=True
        )
        account = _account(session)
    show_json(account) if json else show(_accounts_table([account]))


@accounts.command("resume")
def resume(name: Name, json: Json = False) -> None:
    """Open a suspended account again. Refused where it would be suspended again at once, and for a dissolved one.

    Example: lethe account resume "Harbour Kettles"
    """
    with Session(name) as session:
        session.operate("lifecycle", "resume_account", account=session.account_id, repeatable=True)
        account = _account(session)
    show_json(account) if json else show(_accounts_table([account]))


@accounts.command("end")
def end(
    name: Name,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.0, metavar="SECONDS", help="How long to wait until all of it is gone.")
    ] = 60.0,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove a suspended or dissolved account everywhere, for good: rows, keys, blobs, events. Its leaves stay in the logs,
    and say nothing.

    At a terminal its name has to be typed again. Exit status 4 if not all services are done in time; they go on by
    themselves. Given again, with the account's id, it tells how far they are.

    Example: lethe account end "Harbour Kettles" --yes
    """
    with Session(name) as session:
        account_id = session.account_id
        if not yes and sys.stdin.isatty():
            typed = typer.prompt(f"Nobody can bring it back. Type {name!r} to end it", err=True)
            if typed != name:
                raise typer.Abort()
        asked = OfAccount(account_id=account_id)
        view = session.operate("lifecycle", "end_account", asked, result_type=AccountEndView, repeatable=True)
        begun = monotonic()
        with nullcontext() if json else Live(console=stderr(), refresh_per_second=10, transient=True) as screen:
            while not view.is_gone and monotonic() - begun < timeout:
                if screen is not None:
                    screen.update(_end_table(view))
                sleep(0.2)
                view = session.operate(
                    "lifecycle", "show_account_end", asked, result_type=AccountEndView, repeatable=True
                )
    show_json(view) if json else show(_end_table(view))
    if not view.is_gone:
        note(f"Not all of it is gone yet; it goes on by itself: lethe account end {account_id} --yes")
        raise typer.Exit(INCOMPLETE)


@users.command("add")
def add_user(
    login: Annotated[str, typer.Argument(metavar="ADDRESS", help="The mail address that they log in with.")],
    role: RoleOption = "agent",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Their name.")] = "",
    account: Account = None,
    as_user: As = None,
    json: Json = False,
) -> None:
    """Add a user to an account.

    Example: lethe user add berta@harbour-kettles.example --name "Berta Blum" --role agent
    """
    with Session(account, as_user) as session:
        added = _add_user(session, login, name, role)
    show_json(added) if json else show(_users_table([added]))


@users.command("list")
def list_users(account: Account = None, as_user: As = None, json: Json = False) -> None:
    """List the users of an account.

    Example: lethe user list
    """
    with Session(account, as_user) as session:
        found = _users(session)
    show_json(found) if json else show(_users_table(found.users))


def _account(session: Session) -> AccountView:
    return session.operate(
        "lifecycle", "show_account", account=session.account_id, result_type=AccountView, repeatable=True
    )


def _users(session: Session) -> UserList:
    def fetch(after: str | None) -> tuple[list[UserView], str | None]:
        page = session.operate(
            "identity", "list_users", ListUsers(after=after, limit=500), account=session.account_id, result_type=UserList,
            repeatable=True,
        )  # fmt: skip
        return page.users, page.next_after

    return UserList(users=pages(fetch), next_after=None)


def _add_user(session: Session, login: str, name: str, role: Role) -> UserView:
    """The first owner is added by the operator, everybody else on behalf of the owner (or of `--as USER`)."""
    asked = AddUser(role=role, name=name or login.partition("@")[0], login=login)
    key = new_id()
    if not any(user.role == "owner" for user in _users(session).users):
        return session.operate(
            "identity", "add_user", asked, account=session.account_id, result_type=UserView, idempotency_key=key
        )
    return session.call("identity", "add_user", asked, result_type=UserView, idempotency_key=key)


def _accounts_table(found: list[AccountView]) -> object:
    rows = [
        (one.account_id, one.name, one.plan, one.state, moment(one.opened_at), "\n".join(map(_step, one.ahead)))
        for one in found
    ]
    return table("Accounts", ("account id", "name", "plan", "state", "opened (UTC)", "ahead (UTC)"), rows)


def _step(step: Step) -> str:
    return f"{step.to} {moment(step.at)}"


def _end_table(view: AccountEndView) -> Table:
    rows = [(one.service, moment(one.gone_at) or "under way") for one in view.services]
    return table(f"Account {view.account_id}, ended {moment(view.ended_at)} UTC", ("service", "nothing left since (UTC)"), rows)


def _users_table(found: list[UserView]) -> object:
    return table(
        "Users",
        ("user id", "role", "name", "login"),
        [(one.user_id, one.role, one.name, one.login) for one in found],
    )
