"""`lethe up`, `down`, `status`, `logs`, `doctor`, `reset`: the local stack from the terminal. See `deploy/stack`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import psycopg2
import typer

from cli.exit_status import REFUSED, UNAVAILABLE
from cli.options import HELP, Json, Yes
from cli.output import note, show, show_json, table
from deploy.stack import Stack, StackError
from deploy.stack.doctor import Check, examine
from shared import clock
from shared.certificate import EPOCH_LENGTH
from shared.cut_journal import journal_path, oldest_open
from shared.errors import NotFound, Refused, Unavailable
from shared.events import ServiceName

FOLLOW_SECONDS: Final = 0.2
LINES: Final = 20


class ProcessView(msgspec.Struct, frozen=True, kw_only=True):
    """A process of the stack. `state`: starting, refused (it says why in its log, and is tried again after 30 s), running,
    stopping, stopped. `restarts`: since the stack came up."""

    name: str
    kind: str
    service: str | None
    replica: int | None
    pid: int | None
    state: str
    restarts: int
    log: str


class GatewayView(msgspec.Struct, frozen=True, kw_only=True):
    """Where the API is (of several gateways the first, and all), and the certificate that its clients trust."""

    url: str
    urls: list[str]
    certificate: str


class PushView(msgspec.Struct, frozen=True, kw_only=True):
    """A place that checkpoints are pushed to. `state`: waiting, pushed, away, refused; `since` when."""

    service: str
    place: str
    state: str
    size: int
    reason: str
    failures: int
    since: str


class StackView(msgspec.Struct, frozen=True, kw_only=True):
    """The stack: its processes, where its servers are (URLs hold passwords), its logs' tiles and verifier keys."""

    home: str
    up: bool
    supervisor: int | None
    processes: list[ProcessView]
    databases: dict[str, dict[str, str]]
    admin_url: str | None
    amqp_url: str | None
    smtp_url: str | None
    gateway: GatewayView | None
    tiles: dict[str, str]
    verifiers: dict[str, str]
    keys_overdue: list[ServiceName] = []
    """Services of which copies still open what was cut more than a day ago (`lethe keys status`)."""
    alerts: int | None = None
    """How many alerts about the logs are open; None where audit's database does not answer."""
    pushes: list[PushView] = []


OUTPUTS: Final[dict[str, Any]] = {"status": StackView, "doctor": list[Check]}
"""Command → the type of what its `--json` prints."""


def register(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    for command in (up, down, status, logs, doctor, reset):
        app.command(command.__name__, context_settings=HELP)(command)


def the_stack() -> Stack:
    """The stack of `LETHE_HOME`, by default of `.lethe` here."""
    return Stack(Path(os.environ.get("LETHE_HOME", ".lethe")), note=note)


@contextmanager
def said_plainly() -> Iterator[None]:
    """Turns what the stack can't do into an error of the command line."""
    try:
        yield
    except StackError as error:
        raise Unavailable(str(error)) from None


def up(
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return when everything takes calls, or at once.")] = True,
) -> None:
    """Bring up the local stack: PostgreSQL, RabbitMQ, a mailbox, the services and their relays. What runs already goes on.

    Example: lethe up
    """
    with said_plainly():
        the_stack().up(wait=wait)


def down() -> None:
    """Stop the local stack. All it holds stays.

    Example: lethe down
    """
    with said_plainly():
        the_stack().down()


def status(json: Json = False) -> None:
    """Show the processes of the stack, with --json also its URLs and paths. Exit status 6 if it is not up.

    Example: lethe status
    """
    with said_plainly():
        view = msgspec.convert(the_stack().status(), StackView)
    view = msgspec.structs.replace(view, alerts=_open_alerts(view), keys_overdue=_keys_overdue(view))
    if json:
        show_json(view)
    else:
        _show(view)
    if not view.up:
        raise typer.Exit(UNAVAILABLE)


def _show(view: StackView) -> None:
    if view.keys_overdue:
        note(f"Copies still open what was cut more than a day ago ({', '.join(view.keys_overdue)}): lethe keys rotate")
    if not view.processes:
        show(f"The stack in {view.home} is down. Bring it up: lethe up")
        return
    rows = [
        (one.name, one.kind, one.pid or "", one.state, one.restarts, os.path.relpath(one.log, view.home))
        for one in view.processes
    ]
    show(table(view.home, ("process", "kind", "pid", "state", "restarts", "log"), rows))
    if view.alerts:
        note(f"{view.alerts} alert(s) about the logs: lethe audit alerts")
    if view.pushes:
        pushes = [(one.service, one.place, one.state, one.size, one.reason) for one in view.pushes]
        show(table("Checkpoints pushed outside", ("service", "place", "state", "events", "reason"), pushes))


def _keys_overdue(view: StackView) -> list[str]:
    """By the cut journals, whether anything runs or not."""
    oldest = {service: oldest_open(journal_path(Path(tiles))) for service, tiles in view.tiles.items()}
    return [service for service, at in oldest.items() if at is not None and at + EPOCH_LENGTH < clock.now()]


def _open_alerts(view: StackView) -> int | None:
    """Asked of audit's database, as its auditor: the watch itself may be what is down."""
    url = view.databases.get("audit", {}).get("auditor")
    if not view.processes or url is None:
        return None
    try:
        with closing(psycopg2.connect(url, connect_timeout=2)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM lethe.alert WHERE cleared_at IS NULL")
            rows = cursor.fetchall()
    except psycopg2.Error:
        return None
    return int(rows[0][0])


def logs(
    service: Annotated[str | None, typer.Argument(metavar="[SERVICE]", help="A service or a process. Default: all.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines of each.")] = LINES,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what comes.")] = False,
) -> None:
    """Show the logs of the stack. They never hold personal data.

    Example: lethe logs tickets -n 50
    """
    found = _log_files(the_stack().home, service)
    read: dict[Path, int] = {}
    for path in found:
        text = path.read_bytes()
        read[path] = len(text)
        _print_lines(path, text.decode("utf-8", "replace").splitlines()[-lines:] if lines else [], len(found) > 1)
    while follow:
        time.sleep(FOLLOW_SECONDS)
        for path in found:
            read[path] = _print_new(path, read[path], len(found) > 1)


def _log_files(home: Path, service: str | None) -> list[Path]:
    """The logs of a process, or of a service: its replicas' and its relay's."""
    found = sorted((home / "logs").glob("*.log"))
    if service is not None:
        found = [
            path for path in found
            if path.stem in (service, f"relay-{service}") or (path.stem.rpartition("-")[0] == service != "relay")
        ]  # fmt: skip
    if not found:
        raise NotFound(f"There is no log of {service}" if service else f"There are no logs in {home}")
    return found


def _print_new(path: Path, seen: int, named: bool) -> int:
    """Prints the whole lines that came since; returns how far it has read. A log that began anew is read from its start."""
    size = path.stat().st_size if path.exists() else 0
    if size <= seen:
        return seen if size == seen else 0
    with path.open("rb") as file:
        file.seek(seen)
        whole = file.read().rpartition(b"\n")[0]
    _print_lines(path, whole.decode("utf-8", "replace").splitlines(), named)
    return seen + len(whole) + 1 if whole else seen


def _print_lines(path: Path, lines: list[str], named: bool) -> None:
    for line in lines:
        show(f"{path.stem:16} {line}" if named else line)


def doctor(json: Json = False) -> None:
    """Examine this machine and the stack, and say what to do about what is wrong. Exit status 1 if anything is.

    Example: lethe doctor
    """
    checks = examine(the_stack().home)
    if json:
        show_json(checks)
    else:
        show(table("", ("", "what", "found", "to do"), [_row(one) for one in checks]))
    if not all(one.holds for one in checks):
        raise typer.Exit(REFUSED)


def _row(check: Check) -> tuple[str, str, str, str]:
    return "ok" if check.holds else "wrong", check.name, check.found, "" if check.holds else check.remedy


def reset(yes: Yes = False) -> None:
    """Stop the stack and destroy all it holds, the root keys as well.

    Example: lethe reset --yes
    """
    stack = the_stack()
    if not yes and not typer.confirm(f"Destroy everything in {stack.home}?", err=True):
        raise Refused("Nothing was destroyed.", reason="not confirmed")
    with said_plainly():
        stack.reset()
