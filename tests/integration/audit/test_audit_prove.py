"""`lethe audit prove`: proofs of events and of extensions, made from a real log, and checked without it."""

from __future__ import annotations

import base64
import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cli import audit_prove_commands  # noqa: F401 - adds its commands to `lethe audit`
from cli.exit_status import DONE, INCOMPLETE, NOT_FOUND, TAMPERED, WRONG_USAGE
from cli.main import invoke
from shared.ids import new_id
from shared.tlog_proof import parse_tlog_proof
from tests.integration.audit.audit_stage import AuditStage


@pytest.fixture(autouse=True)
def home(logged: AuditStage, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home is the stage's."""
    monkeypatch.setenv("LETHE_HOME", str(logged.home))
    return logged.home


@pytest.fixture
def keys(home: Path, tmp_path: Path) -> Path:
    """What an auditor has: the public keys, elsewhere."""
    shutil.copytree(home / "verifiers", tmp_path / "keys")
    return tmp_path / "keys"


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """The exit status of a command, and its stdout."""
    capfd.readouterr()
    status = invoke(["audit", "prove", *map(str, arguments)])
    return status, capfd.readouterr().out


def event_at(stage: AuditStage, index: int) -> str:
    ((event,),) = stage.as_attacker(
        "SELECT e.event_id::text FROM lethe.event e JOIN lethe.log l USING (sequence) WHERE l.index = %s", index
    )
    return str(event)


def flipped(octets: bytes, at: int) -> bytes:
    return octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :]


def test_an_event_is_proved_and_the_proof_stands_alone(
    logged: AuditStage, keys: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its id or its index, the same proof; checked with the file and the keys, it names the event."""
    event = event_at(logged, 217)
    path = tmp_path / "one.tlog-proof"
    assert DONE == run(capfd, "event", event, "--service", "contacts", "--out", path)[0]
    _, by_index = run(capfd, "event", "--service", "contacts", "--index", 217)
    assert path.read_text() == by_index
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "nowhere"))
    status, output = run(capfd, "check", path, "--keys", keys, "--json")
    (check,) = json.loads(output)
    assert (DONE, True, 217, 300, event) == (
        status, check["holds"], check["index"], check["size"], check["event"]["event_id"]
    )  # fmt: skip
    proof = parse_tlog_proof(path.read_bytes())
    assert proof.extra is not None and sha256(proof.extra).hexdigest() == check["entry"]
    assert event.encode() in proof.extra
    assert TAMPERED == run(capfd, "check", path, "--keys", keys, "--entry", "00" * 32)[0]


def test_a_proof_reads_few_tiles(logged: AuditStage, capfd: pytest.CaptureFixture[str]) -> None:
    """At every place of a log of 300 events: four tiles at most, and no entry bundle."""
    for index in (0, 255, 256, 299):
        _, output = run(capfd, "event", "--service", "contacts", "--index", index, "--json")
        assert 1 <= json.loads(output)["tiles_read"] <= 4


def test_every_changed_octet_of_a_proof_is_found(
    logged: AuditStage, keys: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whichever octet is flipped, the proof holds no more."""
    path = tmp_path / "one.tlog-proof"
    run(capfd, "event", "--service", "contacts", "--index", 7, "--out", path)
    whole = path.read_bytes()
    for at in range(0, len(whole), 5):
        if whole[at + 1 : at + 2] == b"=":
            continue  # its lowest bits are no part of the value
        path.write_bytes(flipped(whole, at))
        assert TAMPERED == run(capfd, "check", path, "--keys", keys)[0], (at, whole[at - 20 : at + 20])


def test_a_changed_event_is_not_proved(logged: AuditStage, capfd: pytest.CaptureFixture[str]) -> None:
    """What is not as it was signed gets no proof: 5, and the index is named."""
    logged.as_attacker(
        "UPDATE lethe.event SET salt = decode(repeat('00', 16), 'hex')"
        " WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 9)"
    )
    assert TAMPERED == invoke(["audit", "prove", "event", "--service", "contacts", "--index", "9"])
    assert "index: 9" in capfd.readouterr().err


def test_an_event_that_is_gone_is_proved_without_being_opened(
    logged: AuditStage, keys: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its entry comes from the bundle; the check then wants to know the entry, and takes no other."""
    logged.as_attacker("DELETE FROM lethe.event WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 11)")
    path = tmp_path / "gone.tlog-proof"
    status, output = run(capfd, "event", "--service", "contacts", "--index", 11, "--out", path, "--json")
    made = json.loads(output)
    assert (DONE, None) == (status, made["event_id"])
    assert WRONG_USAGE == run(capfd, "check", path, "--keys", keys)[0]
    assert DONE == run(capfd, "check", path, "--keys", keys, "--entry", made["entry"])[0]
    assert TAMPERED == run(capfd, "check", path, "--keys", keys, "--entry", "00" * 32)[0]


def test_what_is_not_there_is_said(logged: AuditStage, capfd: pytest.CaptureFixture[str]) -> None:
    """No such event: 3. No such index: 3. Half a name, no service, no id: 2. Committed and not signed yet: 4."""
    assert NOT_FOUND == run(capfd, "event", new_id(), "--service", "contacts")[0]
    assert NOT_FOUND == run(capfd, "event", "--service", "contacts", "--index", 300)[0]
    assert NOT_FOUND == run(capfd, "event", "--service", "contacts", "--index", 2**80)[0]
    for arguments in [(), ("--index", 1), ("--service", "nothing", "--index", 1), ("an id", "--service", "contacts")]:
        assert WRONG_USAGE == run(capfd, "event", *arguments)[0], arguments
    logged.add_persons(1)
    ((event,),) = logged.as_attacker("SELECT event_id::text FROM lethe.event ORDER BY sequence DESC LIMIT 1")
    assert INCOMPLETE == run(capfd, "event", event, "--service", "contacts")[0]


def kept_after_growth(stage: AuditStage, where: Path) -> tuple[bytes, Path]:
    """A checkpoint of 300 events in a file, while the log has grown since."""
    note = stage.note()
    (where / "kept").write_bytes(note)
    stage.add_persons(150)
    stage.index()
    return note, where / "kept"


def test_a_log_that_grew_extends_what_was_kept(
    stage: AuditStage, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof is a file; with the kept checkpoint and the keys it is checked elsewhere, and without it nothing is shown."""
    monkeypatch.setenv("LETHE_HOME", str(stage.home))
    stage.add_persons(100)
    stage.index()
    _, kept = kept_after_growth(stage, tmp_path)
    status, output = run(capfd, "extends", kept, "--out", tmp_path / "proofs", "--json")
    ((made,)) = json.loads(output)
    assert (DONE, 300, 750) == (status, made["kept_size"], made["size"])
    check = ("check", made["file"], "--keys", stage.home)
    assert DONE == run(capfd, *check, "--kept", kept)[0]
    assert WRONG_USAGE == run(capfd, *check)[0]
    path = Path(made["file"])
    lines = path.read_text().split("\n")
    lines[1] = base64.b64encode(bytes(32)).decode()
    path.write_text("\n".join(lines))
    assert TAMPERED == run(capfd, *check, "--kept", kept)[0]


def test_a_rewritten_and_a_shortened_log_extend_nothing(
    stage: AuditStage, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """History that was changed and signed anew with the log's own key, a log that was cut short, a tile that is gone: 5."""
    monkeypatch.setenv("LETHE_HOME", str(stage.home))
    stage.add_persons(100)
    stage.index()
    _, kept = kept_after_growth(stage, tmp_path)
    shutil.copytree(stage.home / "tiles", tmp_path / "tiles")

    def found(word: str) -> None:
        assert TAMPERED == invoke(["audit", "prove", "extends", str(kept)])
        assert word in capfd.readouterr().err
        shutil.rmtree(stage.home / "tiles")
        shutil.copytree(tmp_path / "tiles", stage.home / "tiles")

    shutil.rmtree(stage.tiles() / "tile" / "1")
    found("truncated")
    stage.as_attacker("UPDATE lethe.log SET leaf = decode(repeat('07', 32), 'hex') WHERE index = 5")
    stage.sign_anew()
    found("forked")
    stage.as_attacker("DELETE FROM lethe.log WHERE index >= 299")
    stage.sign_anew()
    found("truncated")


def test_proofs_of_one_log_do_not_hold_for_another(
    logged: AuditStage, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, keys: Path
) -> None:
    """With the keys of other logs only, nothing is shown."""
    path = tmp_path / "one.tlog-proof"
    run(capfd, "event", "--service", "contacts", "--index", 7, "--out", path)
    key: Any = (keys / "log-contacts.vkey").read_text()
    (keys / "log-contacts.vkey").unlink()
    assert WRONG_USAGE == run(capfd, "check", path, "--keys", keys)[0]
    logged.open_tickets(1)
    logged.index("tickets")
    shutil.copy(logged.home / "verifiers" / "log-tickets.vkey", keys)
    assert TAMPERED == run(capfd, "check", path, "--keys", keys)[0]
    (keys / "log-contacts.vkey").write_text(key)
    assert DONE == run(capfd, "check", path, "--keys", keys)[0]
