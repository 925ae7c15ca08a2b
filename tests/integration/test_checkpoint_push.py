"""Checkpoints get outside: into a folder and to a witness over HTTP, also when these were away, and over nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared import checkpoint_places
from shared.checkpoint import Checkpoint, open_checkpoint
from shared.checkpoint_push import CheckpointPusher, PushState, read_push_states
from shared.merkle import leaf_hash
from shared.settings import Settings
from shared.signed_note import SigningKey, sign_note
from shared.tile_writer import TileWriter
from tests.integration.audit.audit_stage import AuditStage
from tests.support.witness import Witness

PATIENCE_SECONDS = 20.0


class Grown:
    """A log in a home that grows when it is told to, signed by its key; and a pusher of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "run").mkdir(parents=True)
        self.settings = Settings(home=home, cell="test", amqp_url="", databases={})
        self.key = SigningKey.generate("test/contacts")
        self.tiles = home / "tiles" / "contacts"
        self.writer = TileWriter(self.tiles)
        self.pusher: CheckpointPusher | None = None

    def grow(self, leaves: int, word: str = "") -> None:
        first = self.writer.size
        self.writer.append([leaf_hash(f"{word}{number}".encode()) for number in range(first, first + leaves)])
        self.sign()

    def sign(self) -> None:
        note = sign_note(Checkpoint(self.key.name, self.writer.size, self.writer.root()).text(), self.key)
        (self.tiles / "checkpoint").write_bytes(note)

    def rewrite(self, leaves: int) -> None:
        """Another history under the same key, in another folder of tiles, as somebody who owns the machine can make it."""
        self.tiles.rename(self.home / "kept-tiles")
        self.writer = TileWriter(self.tiles)
        self.grow(leaves, "other")

    def push_to(self, *places: object, seconds: str = "0.1") -> None:
        if self.pusher is not None:
            self.pusher.stop()
        environment = {"LETHE_CHECKPOINT_PUSH": " ".join(map(str, places)), "LETHE_CHECKPOINT_PUSH_SECONDS": seconds}
        self.pusher = CheckpointPusher(self.settings, "contacts", self.key.verifier, environment)
        self.pusher.start()

    def states(self) -> dict[str, PushState]:
        return {state.place: state for state in read_push_states(self.home / "run" / "push-contacts.json")}

    def await_state(self, place: object, state: str, size: int | None = None) -> PushState:
        def there() -> bool:
            one = self.states().get(str(place))
            return one is not None and one.state == state and size in (None, one.size)

        eventually(there)
        return self.states()[str(place)]


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Grown]:
    made = Grown(tmp_path / "home")
    yield made
    if made.pusher is not None:
        made.pusher.stop()


@pytest.fixture
def witness(log: Grown) -> Iterator[Witness]:
    made = Witness(log.key.verifier)
    yield made
    made.stop()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    return tmp_path / "outside"


def size_in(folder: Path, log: Grown) -> int:
    return open_checkpoint((folder / "contacts.checkpoint").read_bytes(), [log.key.verifier]).size


def test_what_is_published_gets_to_every_place(log: Grown, witness: Witness, outside: Path) -> None:
    """As the log grows, across the borders of tiles; the witness has checked each step, and nothing is sent for nothing."""
    log.grow(10)
    log.push_to(outside, witness.url)
    for size in (10, 300, 70_000):
        log.grow(size - log.writer.size)
        log.await_state(outside, "pushed", size)
        log.await_state(witness.url, "pushed", size)
        assert (size, size) == (size_in(outside, log), witness.seen["test/contacts"].size)
    log.grow(1)
    log.await_state(witness.url, "pushed", 70_001)
    assert 4 * [200] == witness.answers


def test_a_place_that_was_away_gets_the_newest_when_it_is_back(log: Grown, witness: Witness, outside: Path) -> None:
    """A server that is down and a folder that is missing do not hold up each other, are named, and are served when back."""
    witness.stop()
    missing = outside / "unmounted"
    log.grow(5)
    log.push_to(outside, witness.url)
    assert "does not answer" in log.await_state(witness.url, "away").reason
    log.await_state(outside, "pushed", 5)
    log.grow(7)
    log.await_state(outside, "pushed", 12)
    witness.start()
    log.await_state(witness.url, "pushed", 12)
    assert 12 == witness.seen["test/contacts"].size
    log.push_to(missing)
    assert "no such folder" in log.await_state(missing, "away").reason
    assert not missing.exists()
    (missing / "contacts.checkpoint").mkdir(parents=True)  # nothing that a place does may end the pushing
    eventually(lambda: log.states()[str(missing)].reason == "IsADirectoryError")
    (missing / "contacts.checkpoint").rmdir()
    log.await_state(missing, "pushed", 12)


def test_a_pusher_that_starts_anew_asks_the_witness_how_far_it_is(log: Grown, witness: Witness) -> None:
    """After a restart the size that the place knows is learnt from it, and the proof goes on from there."""
    log.grow(100)
    log.push_to(witness.url)
    log.await_state(witness.url, "pushed", 100)
    assert log.pusher is not None
    log.pusher.stop()
    log.grow(157)
    witness.answers.clear()
    log.push_to(witness.url)
    log.await_state(witness.url, "pushed", 257)
    assert [409, 200] == witness.answers


def test_no_place_takes_another_history(log: Grown, witness: Witness, outside: Path) -> None:
    """A log that was rewritten and signed anew, longer or shorter, is refused everywhere; what was kept stays as it was."""
    log.grow(300)
    log.push_to(outside, witness.url)
    log.await_state(outside, "pushed", 300)
    log.await_state(witness.url, "pushed", 300)
    kept = (outside / "contacts.checkpoint").read_bytes()
    log.rewrite(400)
    assert "does not extend" in log.await_state(outside, "refused").reason
    log.await_state(witness.url, "refused")
    assert kept == (outside / "contacts.checkpoint").read_bytes()
    assert 300 == witness.seen["test/contacts"].size


def test_no_place_takes_a_log_that_was_cut_short(log: Grown, witness: Witness, outside: Path) -> None:
    """An older checkpoint in the place of the newest, after a restart of the pusher as well."""
    log.grow(20)
    older = (log.tiles / "checkpoint").read_bytes()
    log.grow(20)
    for _ in range(2):
        log.push_to(outside, witness.url)
        log.await_state(outside, "pushed", 40)
        log.await_state(witness.url, "pushed", 40)
    assert log.pusher is not None
    log.pusher.stop()
    (log.tiles / "checkpoint").write_bytes(older)
    log.push_to(outside, witness.url)
    assert "covers 40" in log.await_state(outside, "refused").reason
    assert "knows 40" in log.await_state(witness.url, "refused").reason
    assert 40 == size_in(outside, log) == witness.seen["test/contacts"].size


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"nonsense\r\n\r\n", b"HTTP/1.1 302 Found\r\nLocation: /w\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nfine",
        "HTTP/1.1 500 Oh\r\n\r\n— witness.example AAAA\n".encode(),
    ],
)  # fmt: skip
def test_a_server_that_answers_badly_counts_as_away(
    log: Grown, witness: Witness, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer, nonsense, a way elsewhere, no cosignature, an error: tried again, and good when it is good."""
    monkeypatch.setattr(checkpoint_places, "CONNECT_SECONDS", 0.5)
    witness.broken = answer
    log.grow(3)
    log.push_to(witness.url)
    log.await_state(witness.url, "away")
    witness.broken = None
    log.await_state(witness.url, "pushed", 3)


@pytest.mark.parametrize(
    "places",
    [
        "outside", "ftp://host/", "http://witness.example/", "https://user:word@witness.example/", "https:///x", "/a /a",
        " ".join(f"/{number}" for number in range(9)), "https://witness.example/?x=1",
    ],
)  # fmt: skip
def test_a_place_that_is_none_ends_the_start(log: Grown, places: str) -> None:
    """A slip of the pen must not leave the log without its witness; nor may a password stand in a setting that is shown."""
    with pytest.raises(ValueError):
        log.push_to(places)
    with pytest.raises(ValueError):
        log.push_to("/somewhere", seconds="0")


def test_the_relay_pushes_what_it_publishes(superuser_url: str, broker_url: str, outside: Path, tmp_path: Path) -> None:
    """A relay's process with a place set: what was appended is outside within a moment, signed."""
    stage = AuditStage(superuser_url, tmp_path / "home")
    environment = os.environ | {
        "LETHE_HOME": str(stage.home), "LETHE_AMQP_URL": broker_url, "LETHE_CHECKPOINT_PUSH": str(outside),
        "LETHE_CHECKPOINT_PUSH_SECONDS": "0.2",
    }  # fmt: skip
    relay = subprocess.Popen([sys.executable, "-m", "shared.relay", "contacts"], env=environment, stderr=subprocess.DEVNULL)
    try:
        stage.add_persons(10)
        path = outside / "contacts.checkpoint"
        eventually(lambda: path.exists() and path.read_bytes().startswith(b"test/contacts\n30\n"))
        (state,) = read_push_states(stage.home / "run" / "push-contacts.json")
        assert ("pushed", 30, str(outside)) == (state.state, state.size, state.place)
    finally:
        relay.terminate()
        relay.wait(20)
        stage.close()
