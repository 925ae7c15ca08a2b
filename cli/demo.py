"""`lethe demo`: the main job from end to end, as a person wants to see it: import, look, erase, prove, import again, audit.

Each step is a command that anybody can type; the demonstration types them and says how long each took.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.rule import Rule
from rich.text import Text

from cli import exit_status
from cli.demo_sample import Sample, choose
from cli.main import invoke
from cli.options import HELP
from cli.output import note, show, stdout, table
from cli.session import Session
from deploy.demo_mail import generate
from deploy.demo_people import DESK_ADDRESS
from deploy.stack.stack import Stack

RULE_WIDTH = 120
DOMAIN = DESK_ADDRESS.partition("@")[2]


def register(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command("demo", context_settings=HELP)(demo)


def demo(
    mail: Annotated[
        Path | None,
        typer.Option(
            "--mail",
            metavar="PATH",
            envvar="MAIL",
            exists=True,
            help="Your own mail archive, in place of a generated one.",
        ),
    ] = None,
    mails: Annotated[int, typer.Option("--mails", min=20, help="How many mails to generate.")] = 400,
) -> None:
    """Show the main job from end to end, in an account of its own. A stack that is not up is started for it, and stopped again.

    Example: lethe demo
    """
    home = Path(os.environ.setdefault("LETHE_HOME", str(Path(".lethe").absolute())))
    stack = Stack(home, note=note)
    was_up = bool(stack.status()["up"])
    steps = Steps("The main job", "The person is forgotten, everywhere, and that can be proved.")
    try:
        steps.begin("Start the local stack: PostgreSQL, RabbitMQ, six services, their relays")
        stack.up()
        steps.end()
        with tempfile.TemporaryDirectory(prefix="lethe-demo-") as folder:
            _main_job(steps, home, mail or _generated(steps, Path(folder), mails), own_mail=mail is not None)
    finally:
        if not was_up:
            steps.begin("Stop the stack")
            stack.down()
            steps.end()
    steps.summary()
    if steps.failed:
        raise typer.Exit(exit_status.REFUSED)


class Steps:
    """The headings, the commands and the times."""

    def __init__(self, title: str, verdict: str) -> None:
        self._title = title
        self._verdict = verdict
        self.times: list[tuple[str, float]] = []
        self.failed: list[str] = []
        self._begun = self._first = monotonic()

    def begin(self, title: str) -> None:
        """A heading."""
        self._begun = monotonic()
        self.times.append((title, 0.0))
        rule = Rule(Text(f"{len(self.times)}. {title}", style="bold cyan"), align="left", style="cyan")
        stdout().print(rule, width=min(RULE_WIDTH, stdout().width))

    def end(self) -> None:
        """How long the step took."""
        seconds = monotonic() - self._begun
        self.times[-1] = (self.times[-1][0], seconds)
        note(f"{seconds:.1f} s")

    def run(self, arguments: Sequence[str], expected: int = exit_status.DONE) -> bool:
        """Types a command and runs it. Whether it ended as expected; if not, the demonstration fails, and goes on."""
        show(Text(f"$ lethe {shlex.join(arguments)}", style="bold"))
        status = invoke(arguments)
        if status != expected:
            self.failed.append(f"lethe {arguments[0]}: exit status {status}, expected {expected}")
        return status == expected

    def step(self, title: str, *commands: Sequence[str], expected: int = exit_status.DONE) -> None:
        """A step that is made of commands."""
        self.begin(title)
        for arguments in commands:
            self.run(arguments, expected)
        self.end()

    def summary(self) -> None:
        """All steps with their times, and the verdict."""
        rows = [(title, f"{seconds:.1f} s") for title, seconds in self.times]
        show(
            table(self._title, ("step", "time"), [*rows, ("in all", f"{monotonic() - self._first:.1f} s")])
        )
        for problem in self.failed:
            show(Text(f"FAILED: {problem}", style="bold red"))
        if not self.failed:
            show(Text(self._verdict, style="bold green"))


def _generated(steps: Steps, folder: Path, mails: int) -> Path:
    steps.begin(f"Generate a mail archive of {mails} mails: .eml, Maildir, mbox, malformed ones among them")
    manifest = generate(folder, mails=mails)
    show(f"{len(manifest.mails)} mails of {len(manifest.people)} invented people")
    steps.end()
    return folder


def _main_job(steps: Steps, home: Path, mail: Path, *, own_mail: bool) -> None:
    name = _free_name("Your desk" if own_mail else "Harbour Kettles")
    create = [
        "account",
        "create",
        name,
        "--owner",
        f"olga@{DOMAIN}",
        "--owner-name",
        "Olga Owner",
        "--agent",
        f"aaron@{DOMAIN}",
    ]
    steps.step(
        "Make an account with its owner and an agent",
        create if own_mail else [*create, "--mailbox", DESK_ADDRESS],
    )
    os.environ["LETHE_ACCOUNT"] = name
    note(f"From here on: export LETHE_ACCOUNT={shlex.quote(name)}")
    steps.step("Import the mail: people, tickets, messages, sealed attachments", ["import-mail", str(mail)])
    with Session(name) as session:
        sample = choose(session)
    kept = str(home / "demo-checkpoints.json")
    Path(kept).unlink(missing_ok=True)  # of an earlier demonstration: what somebody kept is not written over
    steps.step("Keep the logs' checkpoints, as an auditor would elsewhere", ["audit", "checkpoint", "--out", kept])
    _look(steps, sample)
    certificate = str(home / "demo-certificate.json")
    steps.step(
        f"Erase {sample.address} everywhere",
        ["erase", sample.address, "--reason", "asked by letter", "--yes", "--out", certificate],
    )
    steps.step(
        "Check the certificate, as anybody can, without a server", ["certificate", "verify", certificate]
    )
    _look_again(steps, sample)
    steps.step("Import the same archive again: nothing comes back", ["import-mail", str(mail)])
    steps.step("Still nothing", ["person", "show", sample.address], expected=exit_status.NOT_FOUND)
    steps.step(
        "Audit: the logs against the databases and the kept checkpoints; a replay against the read models",
        ["audit", "verify", "--checkpoint", kept],
        ["audit", "replay", "--compare"],
    )


def _look(steps: Steps, sample: Sample) -> None:
    commands = [
        ["person", "list", "--limit", "5"],
        ["person", "show", sample.address],
        ["search", sample.word, "--limit", "5"],
    ]
    if sample.own_ticket:
        commands.append(["ticket", "show", sample.own_ticket])
    steps.step("Look, as an agent does", *commands)
    if sample.quoting_ticket:
        steps.step(
            "Somebody else's ticket, in which that address stands", ["ticket", "show", sample.quoting_ticket]
        )


def _look_again(steps: Steps, sample: Sample) -> None:
    steps.begin("Look for them again")
    steps.run(["person", "show", sample.address], exit_status.NOT_FOUND)
    if sample.own_ticket:
        steps.run(["ticket", "show", sample.own_ticket], exit_status.NOT_FOUND)
    steps.run(["search", sample.word, "--limit", "5"])
    if sample.quoting_ticket:
        steps.run(["ticket", "show", sample.quoting_ticket])
    steps.end()


def _free_name(wanted: str) -> str:
    with Session() as session:
        taken = {one.name for one in session.accounts()}
    names = (wanted if number == 1 else f"{wanted} {number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
