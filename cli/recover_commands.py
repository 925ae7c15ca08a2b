"""`lethe recover`: after databases were put back from copies, cut again what was cut since, before anything answers.

The order is decided here; what is done in each service is `shared/recovery.py`'s, in processes of their own. Services start
again only when every log was verified: after a recovery that ended in between it is called once more.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import typer

from audit.findings import Verdict
from audit.log_agreement import compared, reading_order
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
from shared.errors import Refused, TimedOut, Unavailable, from_wire
from shared.put_back import RECOVERING, finish, is_empty, needs_recovery
from shared.recovery import CUTS, HOLDS, PLACES, Recovered, ReleasedHold
from shared.settings import SERVICES, Settings

STEP_SECONDS: Final = 3_600.0
SIGNED_SECONDS: Final = 60.0


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery did, service by service, and how the logs stand after it."""

    services: list[Recovered]
    verdicts: list[Verdict]


def register(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command("recover", context_settings=HELP)(recover)


def recover(yes: Yes = False, json: Json = False) -> None:
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
    try:
        with said_plainly():
            Stack(stack.home, {}, note).up(wait=False)
        recovery = _recovered(stack, load_settings(), yes)
    finally:
        with said_plainly():
            stack.down()
    if recovery is None:
        note("No database is older than its log: there is nothing to recover.")
        recovery = Recovery(services=[], verdicts=[])
    _show(recovery, json)
    if not all(verdict.good for verdict in recovery.verdicts):
        raise typer.Exit(TAMPERED)


def _recovered(stack: Stack, settings: Settings, yes: bool) -> Recovery | None:
    behind = [service for service in SERVICES if needs_recovery(settings, service)]
    if not behind:
        return None
    if empty := [service for service in SERVICES if is_empty(settings, service)]:
        note(f"There is nothing at all in the log of {', '.join(empty)}. If you did not put its copy back yet, stop here.")
    if not yes:
        which = f"Older than their logs: {', '.join(behind)}"
        typer.confirm(f"{which}. What was lost stays lost. Go on?", abort=True, err=True)
    services = _in_order(stack, settings)
    verdicts = compared([_verified(settings, service) for service in reading_order(SERVICES)])
    if all(verdict.good for verdict in verdicts):
        for service in SERVICES:
            finish(settings, service)
    return Recovery(services=services, verdicts=sorted(verdicts, key=lambda verdict: SERVICES.index(verdict.service)))


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
    _step(settings, "erasure", HOLDS, [hold for one in found for hold in one.released])
    return found


def _step(settings: Settings, service: str, step: str, holds: Sequence[ReleasedHold] = ()) -> Recovered:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "shared.recovery_runner", service, step], cwd=CHECKOUT, env=base_environment(settings.home),
            input=msgspec.json.encode(list(holds)), capture_output=True, timeout=STEP_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise TimedOut(f"{service}: a step took longer than {STEP_SECONDS / 60:.0f} minutes; call it again") from None
    last = done.stdout.splitlines()[-1:] or [b""]
    if done.returncode == 0:
        return msgspec.json.decode(last[0], type=Recovered)
    try:
        said: dict[str, Any] = msgspec.json.decode(last[0], type=dict[str, Any])
    except msgspec.DecodeError:
        raise Unavailable(f"{service}: {done.stderr.decode('utf-8', 'replace').strip()[-1_000:]}") from None
    raise from_wire(said)


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
        (
            one.service, lost[one.service], one.keys_reloaded, one.persons, one.items, one.accounts, one.suppressed
        )
        for one in recovery.services
    ]  # fmt: skip
    columns = (
        "service", "events lost", "keys of a later epoch", "persons cut again", "items", "accounts", "suppression entries"
    )  # fmt: skip
    show(table("Put back", columns, rows))
    show_verdicts(recovery.verdicts)
    if incomplete := sum(one.incomplete_lists for one in recovery.services):
        note(
            f"The suppression lists of {incomplete} account(s) lacked something, or were missing: what persons had sent who"
            " were erased in them is taken in if somebody imports it again. Import no archives from before."
        )
    if all(verdict.good for verdict in recovery.verdicts):
        note(
            "Nobody knows any more what was asked since the copy: requests for erasure that waited for a hold, or were not"
            " begun, are forgotten; holds, passwords and API tokens are those of the copy. Look after them."
        )
        note("Services may start again: lethe up")
    else:
        note("Services do not start as long as a log is not whole.")
