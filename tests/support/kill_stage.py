"""A stack whose processes a test kills in the middle of the work, and what is to be the same afterwards as if nothing had been.

The work is that of the command line: an import by `cli.importing`, erasures, the canonical export. The kills come at seeded
points of its progress: after the k-th batch was answered, or after a request was, and some milliseconds.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from audit.verify import verify
from cli.canonical import encode
from cli.export_commands import gather
from cli.import_report import ImportReport
from cli.importing import Importer
from cli.session import Session
from deploy.demo_mail import generate
from deploy.stack import Stack
from services.erasure.commands import ErasureView, RequestedErasure, RequestErasure, ShowErasure
from shared.dead_letters import DeadLetters
from shared.errors import TimedOut, Unavailable
from shared.ids import new_id
from shared.settings import SERVICES, Settings
from tests.support.databases import superuser
from tests.support.desk import Callers, Desk

BATCH = 10
RECONNECT_SECONDS = 30.0
"""Within which services and clients are to be at work again after a kill."""


@dataclass(frozen=True)
class Archive:
    """A generated archive: its folder, how many mails are in it, and people who wrote, the busiest first."""

    folder: Path
    mails: int
    writers: list[str]

    @classmethod
    def generate(cls, folder: Path, mails: int, people: int, seed: int) -> Archive:
        manifest = generate(folder, mails=mails, people=people, seed=seed, large_part_bytes=50_000)
        crowd = folder / "broken" / "many-recipients.eml"
        crowd.unlink()  # its 2,000 people take longer than all the others together, and tell nothing more
        written = {person.address: 0 for person in manifest.people}
        for mail in manifest.mails:
            if mail.sender in written:
                written[mail.sender] += 1
        writers = sorted((one for one in written if written[one]), key=lambda one: (-written[one], one))
        return cls(folder, len(manifest.mails) - 1, writers)

    @property
    def batches(self) -> int:
        """How many batches an import of it has."""
        return -(-self.mails // BATCH)


@dataclass(frozen=True)
class Blow:
    """A kill: after so many steps of progress, and so many milliseconds."""

    after: int
    delay_ms: int


def blows(seed: int, count: int, steps: int, longest_ms: int) -> list[Blow]:
    """`count` kills at different steps of `steps`, by a seed."""
    source = random.Random(seed)
    places = sorted(source.sample(range(1, steps), count))
    return [Blow(place, source.randrange(longest_ms)) for place in places]


class Progress:
    """Counts the batches that were answered, and says so; keeps the longest time without an answer."""

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self._last = time.monotonic()
        self.batches = 0
        self.longest_silence = 0.0

    def advance(self, done: int) -> None:
        """Called by the importer; 0 are done when a window of mails begins."""
        now = time.monotonic()
        self.longest_silence = max(self.longest_silence, now - self._last)
        if done:
            self.batches += 1
            self._told(self.batches)
        self._last = time.monotonic()


class KillStage:
    """The stack, the archive, and what an undisturbed account looks like."""

    def __init__(self, stack: Stack, archive: Archive) -> None:
        self.stack = stack
        self.archive = archive
        self.settings = Settings.load(stack.home)
        self.callers = Callers(stack.home)
        self._undisturbed: dict[int, bytes] = {}

    # -- accounts and their work

    def account(self) -> Disturbed:
        """A fresh account, opened while all is quiet. All have an owner of the same name, for they are compared."""
        self.stack.await_ready(60)
        call, operator = self.callers.client.call, self.callers.operator
        opened = call("lifecycle", "open_account", {"name": f"desk {new_id()}"}, account=None, token=operator)
        account = opened["account_id"]
        owner = {"role": "owner", "name": "Olga Owl", "login": "olga@desk.example"}
        user = call("identity", "add_user", owner, account=account, token=operator)["user_id"]
        return Disturbed(self, Desk(self.callers, account, user, self.callers.user(account, user=user)))

    def undisturbed(self, erased: int) -> bytes:
        """The export of an account in which nothing was disturbed, with so many of the writers erased."""
        if erased not in self._undisturbed:
            quiet = self.account()
            report = quiet.take_in()
            assert report.interruptions == 0 and not report.failed
            for writer in self.archive.writers[:erased]:
                quiet.erase(writer)
            self._undisturbed[erased] = quiet.export()
        return self._undisturbed[erased]

    # -- what must hold afterwards

    def check_whole(self) -> None:
        """No dead letters; every event is in its log once, without a gap, and the tiles are those of the database."""
        self.stack.await_ready(60)
        for service in SERVICES:
            eventually(partial(self._is_whole, service), f"{service} at rest, with every event in its log once")
            assert 0 == DeadLetters(self.settings.amqp_url, service).count(), f"dead letters of {service}"

    def _is_whole(self, service: str) -> bool:
        """Whether all is published and in the log once. Not while the records of the last reads are being written."""
        self._await_published(service)
        verdict = verify(self.settings, service)
        assert verdict.good, verdict.findings
        return self._counts(service) == (verdict.size, verdict.size, verdict.size)

    def _await_published(self, service: str) -> None:
        def published() -> bool:
            events, logged, _ = self._counts(service)
            return events == logged == self._number(service, "SELECT published FROM lethe.relay_cursor")

        eventually(published, f"everything of {service} published")

    def _counts(self, service: str) -> tuple[int, int, int]:
        """Events (with those that went with their account, which a verification accounts for), rows of the log, and one more
        than its last index."""
        gone = "SELECT count(*) FROM lethe.log l WHERE NOT EXISTS (SELECT 1 FROM lethe.event e WHERE e.sequence = l.sequence)"
        return (
            self._number(service, "SELECT count(*) FROM lethe.event") + self._number(service, gone),
            self._number(service, "SELECT count(*) FROM lethe.log"),
            self._number(service, "SELECT coalesce(max(index), -1) + 1 FROM lethe.log"),
        )

    def _number(self, service: str, sql: str) -> int:
        connection = superuser(self.settings, service)
        with connection.cursor() as cursor:
            cursor.execute(sql)
            number = int(cursor.fetchone()[0])
        connection.close()
        return number

    def imported(self, account: str) -> int:
        """How many messages of an account are stored."""
        return self._number("tickets", f"SELECT count(*) FROM lethe.message WHERE account_id = '{account}'")


class Killer:
    """Kills one process of the stack again and again; the supervisor brings it back."""

    def __init__(self, stack: Stack, process: str) -> None:
        self._stack = stack
        self._process = process
        self._timer: threading.Timer | None = None
        self.killed: list[int] = []
        """The pids, in order."""

    def strike(self, delay_ms: int) -> None:
        """kill -9 in so many milliseconds. The process is back from the last time before this returns."""
        self.await_back()
        self._timer = threading.Timer(delay_ms / 1000, self._kill)
        self._timer.start()

    def _kill(self) -> None:
        pid = self._stack.pid(self._process)
        if pid is not None:
            self._stack.kill(self._process)
            self.killed.append(pid)

    def await_back(self) -> None:
        """Returns when a new process is there in the place of the one that was killed last, and the whole stack is at work."""
        if self._timer is not None:
            self._timer.join()
            self._timer = None
            eventually(lambda: self._stack.pid(self._process) not in (None, *self.killed), f"{self._process} started again")
        self._stack.await_ready(60)


class Disturbed:
    """An account, and the work in it during which something is killed."""

    def __init__(self, stage: KillStage, desk: Desk) -> None:
        self._stage = stage
        self.desk = desk
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LETHE_HOME", str(stage.stack.home))
            patch.setenv("LETHE_TOKEN", desk.token)
            self.session = Session()
            assert self.session.client is not None, "made here, while the home is named"

    def take_in(self, told: Callable[[int], None] = lambda _: None) -> ImportReport:
        """Imports the archive; `told` hears of each batch that was answered."""
        progress = Progress(told)
        importer = Importer(self.session, batch=BATCH, dry_run=False, advance=progress.advance)
        report = importer.run([self._stage.archive.folder])
        assert progress.longest_silence < RECONNECT_SECONDS
        assert self._stage.archive.mails == report.mails
        return report

    def take_in_under(self, killer: Killer, kills: Sequence[Blow]) -> None:
        """Imports the archive; meanwhile a process is killed and comes back."""
        due = {blow.after: blow for blow in kills}

        def told(batches: int) -> None:
            if blow := due.pop(batches, None):
                killer.strike(blow.delay_ms)

        report = self.take_in(told)
        assert not due and not report.failed and not report.refused
        killer.await_back()

    def erase(self, who: str, asked: Callable[[], object] = lambda: None) -> None:
        """Erases a person and waits for the certificate; `asked` is called when the request has been answered."""
        request = self.ask(who)
        asked()
        begun = time.monotonic()
        eventually(lambda: self._state(request) == "completed", f"the erasure {request} completed")
        assert time.monotonic() - begun < RECONNECT_SECONDS

    def erase_under(self, killer: Killer, who: str, delay_ms: int) -> None:
        """Erases a person; meanwhile a process is killed and comes back."""
        killer.await_back()
        self.erase(who, lambda: killer.strike(delay_ms))
        killer.await_back()

    def ask(self, who: str) -> str:
        """Asks for an erasure until there is an answer, under one key; gives the request."""
        key, deadline = new_id(), time.monotonic() + 60
        while True:
            try:
                return self.session.call(
                    "erasure", "request_erasure", RequestErasure(who=who, reason="asked"), result_type=RequestedErasure,
                    idempotency_key=key,
                ).request_id  # fmt: skip
            except (TimedOut, Unavailable):
                assert time.monotonic() < deadline, "the request is not taken"
            time.sleep(0.1)

    def _state(self, request: str) -> str | None:
        try:
            shown = self.session.query("erasure", "show_erasure", ShowErasure(request_id=request), ErasureView)
        except (TimedOut, Unavailable):
            return None
        return shown.state

    def export(self) -> bytes:
        """The canonical export, taken while all is quiet."""
        self._stage.stack.await_ready(60)
        return encode(gather(self.session))


def eventually(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Returns when the condition holds; fails naming what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


def first_difference(expected: bytes, actual: bytes) -> str:
    """The first lines in which two exports differ; empty if they are the same."""
    pairs: Iterable[tuple[int, tuple[bytes, bytes]]] = enumerate(
        zip([*expected.splitlines(), b""], [*actual.splitlines(), b""], strict=False), 1
    )
    for number, (one, other) in pairs:
        if one != other:
            return f"line {number}: {one!r} became {other!r}"
    return "" if expected == actual else "one is longer"
