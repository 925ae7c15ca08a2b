"""A verifier that this project did not write (Go's golang.org/x/mod/sumdb) takes our logs and proofs, and refuses changed ones.

Skips where Go or Debian's golang-golang-x-mod-dev is not there; `make verify-outside` installs them, or fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import audit_prove_commands  # noqa: F401 - adds its commands to `lethe audit`
from cli.main import invoke
from shared.checkpoint import Checkpoint
from shared.signed_note import SigningKey, sign_note
from shared.tiles import decode_bundle, encode_bundle
from tests.integration.audit.audit_stage import AuditStage

OUTSIDE = Path(__file__).resolve().parents[2] / "outside"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The verifier, built."""
    if named := os.environ.get("LETHE_OUTSIDE"):
        return Path(named)
    built = tmp_path_factory.mktemp("outside") / "outside"
    done = subprocess.run([OUTSIDE / "build.sh", built], capture_output=True, text=True, timeout=280)
    if "nothing was verified" in done.stderr:
        pytest.skip("Go, or Debian's golang-golang-x-mod-dev, is not there")
    assert 0 == done.returncode, done.stderr
    return built


@pytest.fixture(scope="module")
def made(superuser_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditStage]:
    """A real log of 300 events, what was kept of it, and then of 3,000; one more log; proofs of both kinds."""
    stage = AuditStage(superuser_url, tmp_path_factory.mktemp("outside") / "home")
    stage.add_persons(100)
    (stage.home / "kept").write_bytes(stage.index())
    for _ in range(9):
        stage.add_persons(100)
        stage.index()
    stage.open_tickets(3)
    stage.index("tickets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_HOME", str(stage.home))
        proofs = stage.home / "proofs"
        proofs.mkdir()
        for index in (0, 255, 256, 2999):
            arguments = ["--service", "contacts", "--index", str(index), "--out", str(proofs / f"{index}.tlog-proof")]
            assert 0 == invoke(["audit", "prove", "event", *arguments])
        assert 0 == invoke(["audit", "prove", "extends", str(stage.home / "kept"), "--out", str(proofs)])
    yield stage
    stage.close()


@pytest.fixture
def home(made: AuditStage, tmp_path: Path) -> Path:
    """What somebody outside is given, in a copy: tiles, public keys, a kept checkpoint, proofs. No key, no database."""
    for name in ("tiles", "verifiers", "proofs"):
        shutil.copytree(made.home / name, tmp_path / "given" / name)
    shutil.copy(made.home / "kept", tmp_path / "given")
    return tmp_path / "given"


def run(program: Path, home: Path, *proofs: Path) -> tuple[int, str]:
    arguments = ["-kept", "kept", ".", *(str(path.relative_to(home)) for path in proofs)]
    done = subprocess.run([program, *arguments], cwd=home, capture_output=True, text=True, timeout=120)
    print(f"\n$ outside {' '.join(arguments)}", done.stdout, sep="\n", end="")
    return done.returncode, done.stdout + done.stderr


def test_our_logs_and_proofs_hold(program: Path, home: Path) -> None:
    """Signatures, roots from all entries, every tile, every leaf, consistency with what was kept, proofs of both kinds."""
    proofs = sorted((home / "proofs").iterdir())
    status, output = run(program, home, *proofs)
    assert 0 == status, output
    assert "root recomputed from 3000 entries" in output and "each of 3000 leaves" in output
    assert "extends the kept checkpoint of size 300" in output
    assert 5 == len(proofs) == sum("proofs/" in line for line in output.splitlines() if line.startswith("ok"))


def _flip(path: Path, at: int) -> None:
    octets = bytearray(path.read_bytes())
    octets[at] ^= 1
    path.write_bytes(octets)


def _flip_entry(home: Path) -> None:
    path = home / "tiles/contacts/tile/entries/003"
    entries = decode_bundle(path.read_bytes())
    entries[7] = bytes(32)
    path.write_bytes(encode_bundle(entries))


def _swap_entries(home: Path) -> None:
    path = home / "tiles/contacts/tile/entries/003"
    entries = decode_bundle(path.read_bytes())
    entries[7], entries[8] = entries[8], entries[7]
    path.write_bytes(encode_bundle(entries))


def _cut_short(home: Path) -> None:
    """Back to a smaller tree that the log's key did sign, while a later one was kept."""
    note = (home / "kept").read_bytes()
    (home / "kept").write_bytes((home / "tiles/contacts/checkpoint").read_bytes())
    (home / "tiles/contacts/checkpoint").write_bytes(note)


def _sign_with_another_key(home: Path) -> None:
    key = SigningKey.generate("test/contacts")
    (home / "tiles/contacts/checkpoint").write_bytes(sign_note(Checkpoint("test/contacts", 0, bytes(32)).text(), key))


def _vouch_for_another_log(home: Path) -> None:
    shutil.copy(home / "tiles/tickets/checkpoint", home / "tiles/contacts/checkpoint")


TAMPERING: dict[str, tuple[Callable[[Path], None], str]] = {
    "an entry changed": (_flip_entry, "index 775"),
    "two entries swapped": (_swap_entries, "index 775"),
    "a leaf hash changed": (lambda home: _flip(home / "tiles/contacts/tile/0/002", 40), "tile/0/002"),
    "an upper tile changed": (lambda home: _flip(home / "tiles/contacts/tile/1/000.p/11", 40), "tile/1/000.p/11"),
    "a bundle gone": (lambda home: (home / "tiles/contacts/tile/entries/004").unlink(), "tile/entries/004"),
    "the checkpoint's size changed": (lambda home: _flip(home / "tiles/contacts/checkpoint", 16), "invalid signature"),
    "the log cut short": (_cut_short, "it was cut short"),
    "signed with another key": (_sign_with_another_key, "no verifiable signatures"),
    "the checkpoint of another log": (_vouch_for_another_log, "another log"),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_a_tampered_log_is_rejected(program: Path, home: Path, what: str) -> None:
    """Each kind of tampering ends with 1, and the line says what is wrong; the other log is still good."""
    tamper, said = TAMPERING[what]
    tamper(home)
    print(f"\n-- {what}", end="")
    status, output = run(program, home)
    wrong = "\n".join(line for line in output.splitlines() if line.startswith("FAILED"))
    assert (1, True) == (status, said in wrong), output
    assert "FAILED  test/tickets" not in wrong


def test_a_rewritten_history_is_rejected(program: Path, made: AuditStage, home: Path) -> None:
    """Whoever owns database, tiles and signing key makes a log that holds by itself: the kept checkpoint alone rejects it."""
    made.keep()
    try:
        made.as_attacker("UPDATE lethe.log SET leaf = decode(repeat('07', 32), 'hex') WHERE index = 5")
        made.sign_anew()
        shutil.rmtree(home / "tiles")
        shutil.copytree(made.home / "tiles", home / "tiles")
    finally:
        made.restore()
    print("\n-- rewritten and signed anew with the log's own key", end="")
    status, output = run(program, home)
    assert 1 == status
    assert 1 == output.count("FAILED") and "history was rewritten" in output


@pytest.mark.parametrize("name", ["256.tlog-proof", "contacts-300-3000.consistency"])
def test_a_changed_proof_is_rejected(program: Path, home: Path, name: str) -> None:
    """Whichever part of it is changed."""
    path = home / "proofs" / name
    whole = path.read_bytes()
    for at in range(2, len(whole), len(whole) // 25):
        if whole[at + 1 : at + 2] == b"=":
            continue  # its lowest bits are no part of the value
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        command = [program, "-keys", home / "verifiers", "-kept", home / "kept", path]
        done = subprocess.run(command, capture_output=True, timeout=60)
        assert 1 == done.returncode, (at, done.stdout)
