"""`lethe recover`: after databases were put back from copies, cut again what was cut since, before anything answers.

The order is decided here; what is done in each service is `shared/recovery.py`'s, in processes of their own. Services start
again only when every log was verified: after a recovery that ended in between it is called once more.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Annotated, Any, Final

import msgspec
import typer

from audit.findings import Verdict
from audit.verify import verify
from cli.audit_verdict import show_verdicts
from cli.exit_status import TAMPERED
from cli.options import HELP, Json, Yes
from cli.output import note, show, show_json, table
from cli.session import load_settings
from cli.stack_commands import said_plainly, the_stack
from deploy.stack import Stack
from deploy.stack.processes import CHECKOUT, base_environment
from deploy.stack.stack import SERVERS
from shared.errors import Conflict, InternalError, LetheError, Refused, Tampered, Unavailable
from shared.put_back import RECOVERING, finish, needs_recovery
from shared.recovery import CUTS, PLACES, Recovered
from shared.settings import SERVICES, Settings

STEP_SECONDS: Final = 3_600.0
SIGNED_SECONDS: Final = 60.0
_ERRORS: Final[dict[str, type[LetheError]]] = {
    kind.code: kind for kind in (Conflict, Refused, Tampered, Unavailable, InternalError)
}


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery did, service by service, and how the logs stand after it."""

    services: list[Recovered]
    verdicts: list[Verdict]


def register(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command("recover", context_settings=HELP)(recover)


def recover(
    yes: Yes = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also where no database is older than its log.")] = False,
    json: Json = False,
) -> None:
    """Cut again what was cut since the copy from which databases were put back, verify the logs, and let services start again.

    Stop the system and put the databases back first (all of them, from copies of about the same time); root keys, tiles and cut
    journals stay as they are. What the databases have lost stays lost: their logs say which places that is.

    Example: lethe recover --yes
    """
    stack = the_stack()
    with said_plainly():
        running = [one["name"] for one in stack.status()["processes"] if one["name"] not in SERVERS]
        if running:
            raise Refused(f"The system runs ({', '.join(running)}). Stop it first: lethe down")
        Stack(stack.home, {}, note).up(wait=False)
    settings = load_settings()
    behind = [service for service in SERVICES if needs_recovery(settings, service)]
    if not behind and not anyway:
        note("No database is older than its log: there is nothing to recover.")
        _show(Recovery(services=[], verdicts=[]), json)
        return
    if not yes:
        which = f"Older than their logs: {', '.join(behind)}" if behind else "No database is older than its log"
        typer.confirm(f"{which}. What was lost stays lost. Go on?", abort=True, err=True)
    try:
        services = _in_order(stack, settings)
        verdicts = [_verified(settings, service) for service in SERVICES]
        if all(verdict.good for verdict in verdicts):
            for service in SERVICES:
                finish(settings, service)
    finally:
        with said_plainly():
            stack.down()
    _show(Recovery(services=services, verdicts=verdicts), json)
    if not all(verdict.good for verdict in verdicts):
        raise typer.Exit(TAMPERED)


def _in_order(stack: Stack, settings: Settings) -> list[Recovered]:
    """All places first, so that no service starts before its cuts; then the relays, by which the ends of accounts are told;
    erasure before the others, which tell it what must not come back."""
    places = {}
    for service in SERVICES:
        note(f"{service}: giving the log its places back")
        places[service] = _step(settings, service, PLACES)
    with said_plainly():
        Stack(stack.home, dict.fromkeys(SERVICES, 0), note).up()
    found = []
    for service in sorted(SERVICES, key=lambda one: one != "erasure"):
        note(f"{service}: cutting again what was cut since the copy")
        cuts = _step(settings, service, CUTS)
        found.append(msgspec.structs.replace(cuts, keys_reloaded=places[service].keys_reloaded))
        if service == "erasure":
            with said_plainly():
                stack.start("erasure-0", {RECOVERING: "1"})
                stack.await_ready()
    return found


def _step(settings: Settings, service: str, step: str) -> Recovered:
    done = subprocess.run(
        [sys.executable, "-m", "shared.recovery_runner", service, step], cwd=CHECKOUT, env=base_environment(settings.home),
        stdin=subprocess.DEVNULL, capture_output=True, timeout=STEP_SECONDS, check=False,
    )  # fmt: skip
    last = done.stdout.splitlines()[-1:] or [b""]
    if done.returncode == 0:
        return msgspec.json.decode(last[0], type=Recovered)
    try:
        said: dict[str, Any] = msgspec.json.decode(last[0], type=dict[str, Any])
    except msgspec.DecodeError:
        raise Unavailable(f"{service}: {done.stderr.decode('utf-8', 'replace').strip()[-1_000:]}") from None
    kind = _ERRORS.get(str(said["code"]), Refused)
    raise kind(f"{service}: {said['message']}", **said["details"])


def _verified(settings: Settings, service: str) -> Verdict:
    """The verdict on a log, once all that was appended is signed."""
    note(f"{service}: verifying the log")
    deadline = time.monotonic() + SIGNED_SECONDS
    while True:
        verdict = verify(settings, service)
        if not verdict.good or not verdict.pending or time.monotonic() > deadline:
            return verdict
        time.sleep(0.2)


def _show(recovery: Recovery, json: bool) -> None:
    if json:
        show_json(recovery)
        return
    if not recovery.verdicts:
        return
    lost = {verdict.service: verdict.lost for verdict in recovery.verdicts}
    rows = [
        (one.service, lost[one.service], one.keys_reloaded, one.persons, one.items, one.accounts) for one in recovery.services
    ]
    columns = ("service", "events lost", "keys of a later epoch", "persons cut again", "items", "accounts")
    show(table("Put back", columns, rows))
    show_verdicts(recovery.verdicts)
    if all(verdict.good for verdict in recovery.verdicts):
        note("Services may start again: lethe up")
    else:
        note("Services do not start as long as a log is not whole.")
