"""The auditor's part of the main job: an export, taken to a place without network, server and keys, verifies there.

What is run there is the program, in an empty network namespace, with the folder, the kept checkpoint and nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.exit_status import DONE, TAMPERED
from shared.settings import ACCOUNT_SERVICES, SERVICES
from tests.support.erased_person import ErasedPerson

CHECKOUT = Path(__file__).resolve().parents[2]
ALONE = ("unshare", "--net", "--map-root-user")


@pytest.fixture(scope="module", autouse=True)
def _permitted() -> None:
    """Skips where no namespace of one's own may be made."""
    try:
        shown = subprocess.run([*ALONE, "cat", "/proc/net/dev"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network namespace may be made here")
    assert [line.split(":")[0].strip() for line in shown.stdout.splitlines()[2:]] == ["lo"]


def lethe(*arguments: str, alone: bool = False, home: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the program; `alone`, without a network and without a home."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LETHE_")}
    environment |= {"LETHE_HOME": home} if home else {"HOME": "/nonexistent"}
    command = [*(ALONE if alone else ()), sys.executable, "-m", "cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, cwd=CHECKOUT, check=False)


def test_export_verifies_without_a_network_and_a_planted_change_is_named(erased: ErasedPerson, tmp_path: Path) -> None:
    """After an erasure all logs are exported; alone with the folder the auditor finds them whole, the prunes explained; one
    planted change ends with 5 and is named by service, index and kind."""
    home, folder, kept = str(erased.desk.callers.settings.home), tmp_path / "export", tmp_path / "kept.json"
    assert lethe("audit", "checkpoint", "--out", str(kept), home=home).returncode == DONE
    done = lethe("audit", "export", str(folder), home=home)
    assert done.returncode == DONE, done.stderr

    command = ("audit", "verify", "--offline", str(folder), "--checkpoint", str(kept), "--json")
    done = lethe(*command, alone=True)
    assert done.returncode == DONE, (done.stdout, done.stderr)
    verdicts = {one["service"]: one for one in json.loads(done.stdout)}
    assert set(SERVICES) == set(verdicts)
    assert verdicts["contacts"]["pruned"] > 0 and verdicts["tickets"]["pruned"] > 0
    for one in (verdicts[service] for service in ACCOUNT_SERVICES):  # other tests of this stack may have ended accounts
        assert one["checked"] + one["gone"] == one["size"] >= one["kept_size"] > 0

    events = folder / "tickets" / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)
    index = next(at for at, line in enumerate(lines) if b'"e-mail"' in line)
    lines[index] = lines[index].replace(b'"e-mail"', b'"portal"')
    events.write_bytes(b"".join(lines))
    done = lethe(*command, alone=True)
    assert done.returncode == TAMPERED
    (bad,) = [one for one in json.loads(done.stdout) if one["findings"]]
    assert bad["service"] == "tickets"
    assert ("changed", index) in [(one["kind"], one["index"]) for one in bad["findings"]]
    screen = lethe(*command[:-1], alone=True).stdout
    assert "NOT WHOLE: tickets." in screen and len(screen.splitlines()) <= 24
