"""An export can be verified without the stack that it came from, and what is planted in it is named."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from audit.checkpoints import KeptCheckpoints, take_checkpoints, write_checkpoints
from audit.export import export
from audit.exported import decode_line, encode_line
from audit.findings import Verdict
from audit.verify import verify
from audit.verify_offline import verify_offline
from cli.exit_status import DONE, TAMPERED, WRONG_USAGE
from shared.checkpoint import Checkpoint
from shared.errors import InvalidArgument, Refused, Tampered, Unavailable
from shared.signed_note import SigningKey, read_signing_key, sign_note
from shared.tile_writer import TileWriter
from tests.integration.audit.audit_stage import SERVICES, AuditStage
from tests.integration.audit.test_audit_commands import run
from tests.integration.audit.test_audit_replay import erase

SIZE = 304


class Exported(NamedTuple):
    """An export of a log of 304 events, in which somebody was erased, and what the auditor kept outside."""

    stage: AuditStage
    folder: Path
    kept: KeptCheckpoints
    keys: Path


@pytest.fixture(scope="module")
def _exported(superuser_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    stage = AuditStage(superuser_url, tmp_path_factory.mktemp("export") / "home")
    persons = stage.add_persons(100)
    erase(stage, persons[7])
    stage.index()
    stage.add_persons(1)
    stage.open_tickets(2)
    stage.index("tickets")
    folder = stage.home.parent / "exported"
    manifest = export(stage.settings, folder, services=SERVICES)
    assert {"contacts": 302, "tickets": 4} == {name: log.events for name, log in manifest.services.items()}
    keys = shutil.copytree(stage.home / "verifiers", stage.home.parent / "own-keys")
    yield Exported(stage, folder, take_checkpoints(stage.settings, SERVICES), keys)
    stage.close()


@pytest.fixture
def exported(_exported: Exported, tmp_path: Path) -> Exported:
    """A copy of the export for one test."""
    return _exported._replace(folder=Path(shutil.copytree(_exported.folder, tmp_path / "export")))


def check(exported: Exported, kept: bool = True, keys: bool = False) -> Verdict:
    return verify_offline(
        exported.folder, exported.kept if kept else None, exported.keys if keys else None, ["contacts"]
    )[0]


def places(verdict: Verdict) -> set[tuple[str, int | None]]:
    return {(one.kind, one.index) for one in verdict.findings}


def test_untouched_export_is_whole(exported: Exported) -> None:
    """Every log of an export is whole, the prunes of the erased person are explained, and nothing is opened for it."""
    verdicts = verify_offline(exported.folder, exported.kept, exported.keys, SERVICES)
    assert [[], []] == [verdict.findings for verdict in verdicts]
    assert (302, 302, 302, 2) == (verdicts[0].size, verdicts[0].kept_size, verdicts[0].checked, verdicts[0].pruned)
    assert verify(exported.stage.settings, "contacts").root == verdicts[0].root


def test_export_has_no_key_and_no_ciphertext(exported: Exported) -> None:
    """Of the sealed bytes, the wrapped keys and the root keys nothing is in the folder, in no common spelling."""
    secrets = [
        bytes(octets)
        for statement in (
            "SELECT part FROM lethe.event, unnest(sealed) AS part WHERE part IS NOT NULL", "SELECT wrapped FROM keys.item_key",
        )
        for (octets,) in exported.stage.as_attacker(statement)
    ]  # fmt: skip
    secrets += [path.read_bytes() for path in (exported.stage.home / "root-keys").rglob("*") if path.is_file()]
    assert len(secrets) > 400
    octets = b"".join(path.read_bytes() for path in sorted(exported.folder.rglob("*")) if path.is_file())
    for secret in secrets:
        if len(secret) >= 32:
            assert secret not in octets and base64.b64encode(secret) not in octets and secret.hex().encode() not in octets


def test_command_needs_no_home(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`audit verify --offline` works with no stack, and says what it could not show; other options do not go with it."""
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "nowhere"))
    kept = tmp_path / "kept.json"
    kept.write_bytes(write_checkpoints(exported.kept))
    command = ("verify", "--offline", str(exported.folder), "--checkpoint", str(kept), "--service", "contacts")
    status, output = run(*command)
    assert status == DONE and "Whole" in output
    assert run(*command, "--keys", str(exported.keys))[0] == DONE
    assert run(*command, "--resume", str(tmp_path / "state"))[0] == WRONG_USAGE
    assert run("verify", "--offline", str(tmp_path))[0] == WRONG_USAGE
    path = exported.folder / "contacts" / "events.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    status, output = run(*command)
    assert status == TAMPERED and "NOT WHOLE: contacts." in output and "truncated" in output and "301" in output


def test_folder_that_is_not_empty_is_refused(stage: AuditStage, tmp_path: Path) -> None:
    """An export goes into a folder of its own: made, or empty; nothing that is there is touched."""
    stage.add_persons(1)
    stage.index()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("mine")
    for folder in ("full", "full/letter"):
        with pytest.raises(Refused):
            export(stage.settings, tmp_path / folder, services=["contacts"])
    assert [tmp_path / "full" / "letter"] == list((tmp_path / "full").iterdir())
    (tmp_path / "empty").mkdir()
    export(stage.settings, tmp_path / "empty", services=["contacts"])
    assert verify_offline(tmp_path / "empty", services=["contacts"])[0].good


def test_interrupted_export_is_none(stage: AuditStage, tmp_path: Path) -> None:
    """An export that is interrupted, or fails, leaves no folder of its name and nothing beside it."""
    stage.add_persons(30)
    stage.index()

    def interrupt(service: str, step: str, done: int, of: int) -> None:
        if step == "events":
            raise KeyboardInterrupt

    before = set(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        export(stage.settings, tmp_path / "made", interrupt, services=["contacts"])
    (stage.tiles() / "checkpoint").write_text("no checkpoint\n")
    with pytest.raises(Tampered):
        export(stage.settings, tmp_path / "made", services=["contacts"])
    assert before == set(tmp_path.iterdir())


def test_log_that_goes_on_while_it_is_exported_is_exported_whole(stage: AuditStage, tmp_path: Path) -> None:
    """The export is as of one checkpoint, although events, tiles and checkpoints come while it is being written."""
    stage.add_persons(50)
    stage.index()
    went_on: list[int] = []

    def go_on(service: str, step: str, done: int, of: int) -> None:
        if step not in went_on:
            went_on.append(step)  # type: ignore[arg-type]
            stage.add_persons(60)
            stage.index()

    export(stage.settings, tmp_path / "made", go_on, services=["contacts"])
    (verdict,) = verify_offline(tmp_path / "made", services=["contacts"])
    assert verdict.good and verdict.size == 150 and ["events", "tiles"] == went_on


def test_missing_service_is_named(exported: Exported) -> None:
    """A log that was left out of the folder and its manifest is not passed over."""
    shutil.rmtree(exported.folder / "tickets")
    manifest = exported.folder / "manifest.json"
    said = json.loads(manifest.read_bytes())
    del said["services"]["tickets"]
    manifest.write_text(json.dumps(said))
    verdicts = {verdict.service: verdict for verdict in verify_offline(exported.folder)}
    assert not verdicts["tickets"].good and {"dropped"} == {one.kind for one in verdicts["tickets"].findings}
    kept = verify_offline(exported.folder, exported.kept, services=["tickets"])[0]
    assert ("truncated", 0) in places(kept)


def test_database_away_is_no_export(stage: AuditStage, tmp_path: Path) -> None:
    """Where a database can't be reached there is no export, and no half of one."""
    stage.settings.databases["contacts"]["auditor"] = "postgresql://nobody:x@127.0.0.1:1/none"
    with pytest.raises(Unavailable):
        export(stage.settings, tmp_path / "made", services=["contacts"])
    assert not (tmp_path / "made").exists()
    with pytest.raises(InvalidArgument):
        verify_offline(tmp_path / "made")


# -- planted manipulations

Lines = list[bytes]


def _edit(number: int, change: Callable[[bytes], bytes]) -> Callable[[Lines], object]:
    return lambda lines: lines.__setitem__(number, change(lines[number]))


def _forge(line: bytes) -> bytes:
    return line.replace(b'"correspondent"', b'"quoted"')


def _flip_salt(line: bytes) -> bytes:
    event = decode_line(line)
    return encode_line(event.at, bytes([event.salted[0] ^ 1]) + event.salted[1:], event.sealed)


def _exchange(lines: Lines, one: int, other: int) -> None:
    lines[one], lines[other] = lines[other], lines[one]


def _exchange_events(lines: Lines, one: int, other: int) -> None:
    """Two events change places, and their lines are numbered as they stand."""
    first, second = decode_line(lines[one]), decode_line(lines[other])
    lines[one], lines[other] = encode_line(one, *second[1:]), encode_line(other, *first[1:])


def _renumber(lines: Lines) -> None:
    lines[:] = [encode_line(at, *decode_line(line)[1:]) for at, line in enumerate(lines)]


def _drop_renumbered(lines: Lines) -> None:
    del lines[50]
    _renumber(lines)


def _insert_renumbered(lines: Lines) -> None:
    lines.insert(50, encode_line(50, b"x" * 16 + decode_line(lines[3]).salted[16:], [True]))
    _renumber(lines)


PLANTED: dict[str, tuple[Callable[[Lines], object], str, int | None]] = {
    "flip a bit of an envelope": (_edit(30, _forge), "changed", 30),
    "flip a bit of a salt": (_edit(30, _flip_salt), "changed", 30),
    "call a part pruned": (_edit(31, lambda line: line.replace(b'"sealed"', b'"pruned"', 1)), "unexplained prune", 31),
    "leave a part out": (_edit(31, lambda line: line.replace(b'"parts":["sealed"]', b'"parts":[]')), "changed", 31),
    "make a line unreadable": (_edit(40, lambda line: line[:100] + b"\n"), "changed", 40),
    "drop a line": (lambda lines: lines.pop(50), "dropped", 50),
    "drop some lines": (lambda lines: lines.__delitem__(slice(50, 60)), "dropped", 59),
    "drop an event and number anew": (_drop_renumbered, "dropped", 50),
    "truncate": (lambda lines: lines.__delitem__(slice(290, None)), "truncated", 290),
    "truncate all": (lambda lines: lines.clear(), "truncated", 0),
    "insert a line twice": (lambda lines: lines.insert(50, lines[49]), "inserted", 49),
    "insert a line of another place": (lambda lines: lines.insert(50, lines[20]), "inserted", 20),
    "insert a forged line before the right one": (lambda lines: lines.insert(30, _forge(lines[30])), "inserted", 30),
    "insert an unreadable line": (lambda lines: lines.insert(50, b"{}\n"), "inserted", None),
    "insert at the end": (lambda lines: lines.append(lines[0]), "inserted", 0),
    "insert an event and number anew": (_insert_renumbered, "inserted", 50),
    "swap neighbours": (lambda lines: _exchange(lines, 20, 21), "swapped", 20),
    "swap lines": (lambda lines: _exchange(lines, 20, 200), "swapped", 20),
    "swap events": (lambda lines: _exchange_events(lines, 20, 200), "swapped", 20),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_change_of_events_is_named(exported: Exported, name: str) -> None:
    """Whatever is done to the file of events is named by kind and index, and does not make everything after it look bad."""
    plant, kind, index = PLANTED[name]
    path = exported.folder / "contacts" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    before = list(lines)
    plant(lines)
    assert before != lines
    path.write_bytes(b"".join(lines))
    verdict = check(exported)
    assert (kind, index) in places(verdict)
    assert len(verdict.findings) <= 12
    assert "the manifest says something else of" in " ".join(one.text for one in verdict.findings)


def test_everything_rewritten_with_the_logs_key_is_found_by_the_kept_checkpoint(exported: Exported) -> None:
    """An export that its maker, who has the signing key, rewrote from events to manifest is whole in itself, and forked."""
    key = read_signing_key(exported.stage.settings.path("root-keys", "contacts", "log-signer.key"))
    _rewrite(exported, key)
    assert check(exported, kept=False).good
    assert ("forked", None) in places(check(exported))


def test_everything_rewritten_with_another_key_is_found_by_either(exported: Exported) -> None:
    """With a key of their own they must put its public half into the folder: a kept checkpoint, or own keys, show that."""
    key = SigningKey.generate("test/contacts")
    _rewrite(exported, key)
    (exported.folder / "verifiers" / "log-contacts.vkey").write_text(f"{key.verifier}\n")
    assert check(exported, kept=False).good
    assert ("forked", None) in places(check(exported))
    assert ("forked", None) in places(check(exported, kept=False, keys=True))


def _rewrite(exported: Exported, key: SigningKey) -> None:
    folder = exported.folder / "contacts"
    lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    lines[30] = _forge(lines[30])
    (folder / "events.jsonl").write_bytes(b"".join(lines))
    shutil.rmtree(folder / "tile")
    writer = TileWriter(folder)
    writer.append([sha256(decode_line(line).salted).digest() for line in lines])
    text = Checkpoint("test/contacts", writer.size, writer.root()).text()
    (folder / "checkpoint").write_bytes(sign_note(text, key))
    path = exported.folder / "manifest.json"
    said = msgspec.json.decode(path.read_bytes())
    said["services"]["contacts"] |= {"root": writer.root().hex(), "sha256": sha256(b"".join(lines)).hexdigest()}
    path.write_bytes(msgspec.json.encode(said))


@pytest.mark.parametrize(
    ("file", "kind", "index"),
    [
        ("contacts/tile/entries/000", "truncated", 0), ("contacts/tile/0/001.p/46", "truncated", 256),
        ("contacts/events.jsonl", "dropped", None), ("contacts/checkpoint", "truncated", 0),
        ("verifiers/log-contacts.vkey", "forked", None), ("verifiers/journal-contacts.key", "journal", None),
        ("contacts/cut-journal.jsonl", "journal", None),
    ],
)  # fmt: skip
def test_missing_file_is_named(exported: Exported, file: str, kind: str, index: int | None) -> None:
    """An export without one of its files is not whole; a cut that the journal lacks is named, whenever the export claims to
    have been taken: that is signed by nobody."""
    path = exported.folder / "manifest.json"
    said = json.loads(path.read_bytes())
    said["taken_at"] = "1990-01-01T00:00:00Z"
    path.write_text(json.dumps(said))
    assert check(exported).good
    (exported.folder / file).unlink()
    assert (kind, index) in places(check(exported))


@pytest.mark.parametrize("field", ["origin", "size", "root", "events", "sha256"])
def test_manifest_that_says_something_else_is_named(exported: Exported, field: str) -> None:
    """The manifest is compared with what the folder holds, field by field."""
    path = exported.folder / "manifest.json"
    said = json.loads(path.read_bytes())
    said["services"]["contacts"][field] = 1 if field in ("size", "events") else "something else"
    path.write_text(json.dumps(said))
    (finding,) = check(exported).findings
    assert finding.kind == "changed" and finding.text.endswith(f": {field}")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"form":"lethe audit export 1"}', b"\xff"])
def test_manifest_that_can_not_be_read_is_tampering(exported: Exported, content: bytes) -> None:
    """A manifest that is none is an error of its own, not a crash."""
    (exported.folder / "manifest.json").write_bytes(content)
    with pytest.raises(Tampered):
        check(exported)
