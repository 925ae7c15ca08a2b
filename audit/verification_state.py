"""How far a verification has come, in a file, so that one that was interrupted goes on where it stood.

The file belongs to the checkpoints under which the verification ran: one that goes on checks that the log still extends them,
so the part that was read before is bound to the tree that is judged at the end. It holds ids, hashes and numbers only.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec

from audit.displacements import DisplacementsState
from audit.event_checks import ChecksState
from audit.findings import Finding, Verdict
from audit.tile_check import TreePosition
from shared.durable_files import read_if_there, replace
from shared.errors import InvalidArgument
from shared.events import UNREADABLE
from shared.personal import NotPersonal
from shared.put_back import LOST_PLACES
from shared.settings import SERVICES, Settings

FORM = "lethe audit verification 2"
STEPS = 25
"""In how many parts a log is verified where a state is kept: what is done again after a crash is one of them at most."""
FEWEST_EVENTS_IN_A_STEP = 4_096


class LogState(msgspec.Struct, frozen=True, kw_only=True):
    """One log, verified up to `position`: what was gathered so far, and the notes that the tree must still extend."""

    service: str
    position: int
    notes: list[bytes]
    tree: TreePosition
    checks: ChecksState
    displaced: DisplacementsState
    findings: list[Finding]
    counts: dict[str, int]
    checked: int


class VerificationState(msgspec.Struct, kw_only=True):
    """A verification of several logs: what it was asked, the verdicts that stand, and the log that it was at."""

    form: Annotated[str, NotPersonal("the name of this form")] = FORM
    kept: dict[str, str] | None
    """The kept checkpoints by service; None where there were none."""
    since: bool
    recoveries: Annotated[str, NotPersonal("a digest")]
    """What `recoveries_of` gave when it began: events that it looked at may be lost since."""
    verdicts: list[Verdict] = []
    log: LogState | None = None


def recoveries_of(settings: Settings) -> str:
    """A digest that changes with each recovery of a database in which a place of a log was lost (`shared/recovery_log.py`)."""
    files = [settings.path("tiles", service) / LOST_PLACES for service in SERVICES]
    return sha256(b"".join(sha256(read_if_there(path) or b"").digest() for path in files)).hexdigest()


def read_state(path: Path, kept: dict[str, str] | None, since: bool) -> VerificationState | None:
    """The state in the file; None where there is no file. Raises `InvalidArgument` where it is of other work."""
    octets = read_if_there(path)
    if octets is None:
        return None
    try:
        state = msgspec.msgpack.decode(octets, type=VerificationState)
    except UNREADABLE:
        raise InvalidArgument(field="resume", rule="must be a file that an interrupted verification left") from None
    if state.form != FORM:
        raise InvalidArgument(field="resume", rule=f"must have the form {FORM!r}")
    if (state.kept, state.since) != (kept, since):
        raise InvalidArgument(field="resume", rule="was begun with other checkpoints: give the same, or another file")
    return state


def write_state(path: Path, state: VerificationState) -> None:
    """Puts the state in the place of the one before, whole or not at all."""
    replace(path, msgspec.msgpack.encode(state), mode=0o600)
