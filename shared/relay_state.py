"""What a relay says of itself in `home/run/relay-<service>.json`, for `lethe status` and the tests.

Written whole and without waiting for the disk; nothing depends on it.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

MOST_OFTEN_SECONDS = 0.25


@dataclass(frozen=True)
class RelayState:
    """`size` leaves are signed, events below `published` are confirmed; `reason` says why a relay is not
    leading.
    """

    state: Literal["leading", "standby", "stopped"]
    reason: str = ""
    size: int = 0
    published: int = 0
    term: int = 0
    broker: str = ""
    pid: int = 0


def read_state(path: Path) -> RelayState | None:
    """What was written last, or None."""
    try:
        return RelayState(**json.loads(path.read_text("utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


class StateFile:
    """Writes the state on a change, numbers at most four times a second. A standby does not write over a
    living leader.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: RelayState | None = None
        self._written_at = 0.0

    def write(self, state: RelayState) -> None:
        state = RelayState(**{**asdict(state), "pid": os.getpid()})
        if state == self._written:
            return
        same_kind = self._written is not None and _kind(state) == _kind(self._written)
        if same_kind and time.monotonic() - self._written_at < MOST_OFTEN_SECONDS:
            return
        if state.state == "standby" and self._another_lives():
            return
        temporary = self._path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(asdict(state)) + "\n", "utf-8")
        temporary.replace(self._path)
        self._written, self._written_at = state, time.monotonic()

    def _another_lives(self) -> bool:
        last = read_state(self._path)
        if last is None or last.state == "standby" or last.pid in (0, os.getpid()):
            return False
        try:
            os.kill(last.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True


def _kind(state: RelayState) -> tuple[str, str, int, str]:
    return (state.state, state.reason, state.term, state.broker)
