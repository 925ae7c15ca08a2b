"""Pushes a log's newest checkpoint outside, so that whoever owns this machine can't rewrite the log unseen (mission A2).

Where: `LETHE_CHECKPOINT_PUSH`, places with white space between (`shared/checkpoint_places.py`); how often at most:
`LETHE_CHECKPOINT_PUSH_SECONDS`. Runs in the process of the leading relay, which is the one that publishes, in a thread for each
place: it shares nothing with the relay's own work but the published file, which it reads, so a place that is slow or away
delays neither the relay nor another place. What happened last is in `home/run/push-<service>.json`, for `lethe status`.

What happens if we crash: the place is told again. The size that a place knows is kept nowhere: the place says it.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from shared.checkpoint import open_checkpoint
from shared.checkpoint_places import Place, PlaceRefused, Published, places_of
from shared.clock import now
from shared.durable_files import read_if_there, replace
from shared.errors import LetheError
from shared.settings import Settings
from shared.signed_note import Verifier

SETTING: Final = "LETHE_CHECKPOINT_PUSH"
LEAST_SECONDS: Final = 0.1
DEFAULT_SECONDS: Final = 10.0
LONGEST_WAIT_SECONDS: Final = 300.0
"""Between two tries at a place that is away."""

log = logging.getLogger("lethe.push")


@dataclass(frozen=True)
class PushState:
    """How one place stands: `size` is what it took last in this process, `failures` how often it failed since."""

    place: str
    state: Literal["waiting", "pushed", "away", "refused"]
    size: int = 0
    reason: str = ""
    failures: int = 0
    since: str = ""


def read_push_states(path: Path) -> list[PushState]:
    """What a pusher wrote last; nothing where there is none."""
    try:
        return [PushState(**one) for one in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def pushes_of(run: Path, services: Iterable[str]) -> list[dict[str, str | int]]:
    """Every place of every service, as `lethe status` shows it."""
    found = {service: read_push_states(run / f"push-{service}.json") for service in services}
    return [{"service": service, **asdict(state)} for service, states in found.items() for state in states]


class CheckpointPusher:
    """The pushes of one service's log, from `start` to `stop`."""

    def __init__(
        self, settings: Settings, service: str, verifier: Verifier, environment: Mapping[str, str] = os.environ
    ) -> None:
        """Raises `ValueError` for settings that it can't understand."""
        self._service = service
        self._places: Sequence[Place] = places_of(environment.get(SETTING, ""))
        self._seconds = float(environment.get(f"{SETTING}_SECONDS") or DEFAULT_SECONDS)
        if not LEAST_SECONDS <= self._seconds <= 86_400:
            raise ValueError(f"{SETTING}_SECONDS is a number from {LEAST_SECONDS} to 86400")
        self._tiles = settings.path("tiles", service)
        self._verifier = verifier
        self._state_path = settings.path("run", f"push-{service}.json")
        self._states = {place.name: PushState(place.name, "waiting", since=now().isoformat()) for place in self._places}
        self._lock = threading.Lock()  # guards the states and their file
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begins, where there is a place."""
        self._write()
        for place in self._places:
            threading.Thread(target=self._run, args=(place,), name="checkpoint-push", daemon=True).start()

    def stop(self) -> None:
        """Ends it, without waiting for a push that is under way: it does no harm, and is bounded."""
        self._stopping.set()

    def _run(self, place: Place) -> None:
        wait_seconds = 0.0
        while not self._stopping.wait(wait_seconds):
            state = self._states[place.name]
            new = self._pushed(place, state)
            wait_seconds = self._seconds
            if new.failures:
                wait_seconds = max(wait_seconds, min(LONGEST_WAIT_SECONDS, 2.0 ** min(new.failures - 1, 16)))
            if new != state:
                self._note(state, new)

    def _pushed(self, place: Place, state: PushState) -> PushState:
        """The state after a look at the log, and a push if it has grown. Never raises: a thread that died tells nobody."""
        try:
            published = self._published()
            if published is None or (published.checkpoint.size == state.size and not state.failures):
                return state
            place.push(published, min(state.size, published.checkpoint.size))
        except PlaceRefused as error:
            return self._failed(state, "refused", error.message)
        except LetheError as error:
            return self._failed(state, "away", error.message)
        except Exception as error:
            return self._failed(state, "away", type(error).__name__)
        return PushState(place.name, "pushed", published.checkpoint.size, since=now().isoformat())

    def _published(self) -> Published | None:
        note = read_if_there(self._tiles / "checkpoint")
        if note is None:
            return None
        return Published(note, open_checkpoint(note, [self._verifier]), self._tiles, self._verifier)

    @staticmethod
    def _failed(state: PushState, kind: Literal["away", "refused"], reason: str) -> PushState:
        return PushState(state.place, kind, state.size, reason, state.failures + 1, now().isoformat())

    def _note(self, old: PushState, new: PushState) -> None:
        """Keeps the state, and tells the log of what is new: not of every push, and not of every failure of a place."""
        if new.failures and (old.state, old.reason) != (new.state, new.reason):
            level = logging.ERROR if new.state == "refused" else logging.WARNING
            text = "checkpoint not pushed service=%s place=%s state=%s reason=%s"
            log.log(level, text, self._service, new.place, new.state, new.reason)
        elif old.failures and not new.failures:
            log.info("checkpoint pushed again service=%s place=%s size=%d", self._service, new.place, new.size)
        with self._lock:
            self._states[new.place] = new
        self._write()

    def _write(self) -> None:
        """Writes the states. That this fails (a full disk) is no reason to push nothing."""
        with self._lock:
            text = json.dumps([asdict(state) for state in self._states.values()])
            try:
                if self._states or self._state_path.exists():
                    replace(self._state_path, f"{text}\n".encode(), durable=False)
            except OSError as error:
                log.warning("push state not written service=%s reason=%s", self._service, type(error).__name__)
