"""The main job by the command line, on the real stack: import, look, erase, prove, import again, audit.

Each test begins with an account of its own, so that they can share one stack.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any, cast
from unittest import mock

import pytest

from cli.main import invoke
from deploy.demo_mail import Manifest, generate
from deploy.stack.stack import Stack
from shared import clock
from shared.ids import new_id

pytestmark = pytest.mark.acceptance
CHECKOUT = Path(__file__).resolve().parents[2]
MAILS = 120


@dataclass
class Desk:
    """A fresh account and its way of typing commands."""

    home: Path
    account: str

    def lethe(self, *arguments: str, status: int = 0, **environment: str) -> str:
        """Runs a command in this process and gives its stdout; its exit status must be `status`."""
        stdout, stderr = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        around = {"LETHE_HOME": str(self.home), "LETHE_ACCOUNT": self.account, **environment}
        with mock.patch.dict(os.environ, around), redirect_stdout(stdout), redirect_stderr(stderr):
            ended = invoke(arguments)
        stdout.flush()
        said = cast(io.BytesIO, stdout.buffer).getvalue().decode()
        assert status == ended, (arguments, said[-2000:], stderr.getvalue()[-2000:])
        assert "Traceback" not in stderr.getvalue()
        return said

    def json(self, *arguments: str, status: int = 0) -> Any:
        """A command's JSON."""
        return json.loads(self.lethe(*arguments, "--json", status=status))

    def export(self) -> str:
        """The canonical export."""
        return self.lethe("export", "--json")


@pytest.fixture
def desk(stack: Stack) -> Desk:
    """An account with its owner and an agent."""
    return open_desk(stack)


def open_desk(stack: Stack) -> Desk:
    """A new account."""
    name = f"desk {new_id()}"
    made = Desk(stack.home, name)
    made.lethe(
        "account", "create", name, "--owner", "olga@harbour-kettles.example", "--agent", "aaron@harbour-kettles.example",
        "--mailbox", "support@harbour-kettles.example",
    )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A generated mail archive."""
    folder = tmp_path_factory.mktemp("archive")
    return folder, generate(folder, mails=MAILS, people=15, seed=7)


def busiest(manifest: Manifest) -> str:
    """Who wrote most."""
    desk = manifest.desk_address
    people = {person.address for person in manifest.people}
    counts = Counter(mail.sender for mail in manifest.mails if mail.sender in people and mail.sender != desk)
    return counts.most_common(1)[0][0]


def only_theirs(manifest: Manifest, address: str) -> list[str]:
    """Sentences of somebody's mails in threads where nobody else wrote but the desk: others' quotes of them are others'."""
    writers: dict[int, set[str]] = {}
    for mail in manifest.mails:
        writers.setdefault(mail.thread, set()).add(mail.sender)
    alone = {thread for thread, senders in writers.items() if senders <= {address, manifest.desk_address}}
    return [one for mail in manifest.mails if mail.sender == address and mail.thread in alone for one in mail.sentences]


def test_no_mail_is_lost_and_importing_twice_changes_nothing(desk: Desk, archive: tuple[Path, Manifest]) -> None:
    """Every mail is imported or put aside with its reason; a second import finds all of them known."""
    folder, manifest = archive
    first = desk.json("import-mail", str(folder))
    unreadable = sum(not mail.readable for mail in manifest.mails)
    assert len(manifest.mails) == first["mails"]
    assert unreadable == sum(first["put_aside"].values())
    assert len(manifest.mails) - unreadable == first["imported"] + first["known"]
    assert not first["refused"] and not first["failed"]
    before = desk.export()
    second = desk.json("import-mail", str(folder))
    assert second["imported"] == 0
    assert before == desk.export()
    assert unreadable == len(desk.json("import-mail", "put-aside", "list")["mails"])


def test_a_dry_run_changes_nothing(desk: Desk, archive: tuple[Path, Manifest]) -> None:
    """What would be imported is told, and nothing is."""
    folder, manifest = archive
    told = desk.json("import-mail", "--dry-run", str(folder))
    assert told["dry_run"] and told["imported"] > 0
    assert desk.json("ticket", "list")["tickets"] == []
    assert desk.json("person", "list", "--all")["persons"] == [] or told["mails"] == len(manifest.mails)


def test_two_imports_of_one_archive_give_the_same_export(stack: Stack, archive: tuple[Path, Manifest]) -> None:
    """The canonical export depends on the content only, whatever the size of the batches."""
    folder, _ = archive
    one, other = open_desk(stack), open_desk(stack)
    one.lethe("import-mail", str(folder))
    other.lethe("import-mail", "--batch", "7", str(folder))
    assert one.export() == other.export()


def test_an_erased_person_is_nowhere_and_stays_away(
    desk: Desk, archive: tuple[Path, Manifest], tmp_path: Path
) -> None:
    """After the erasure nothing shows them; others' texts are unchanged but for the address; no import brings them back."""
    folder, manifest = archive
    desk.lethe("import-mail", str(folder))
    person = next(one for one in manifest.people if one.address == busiest(manifest))
    shown = desk.json("person", "show", person.address)
    tickets = desk.json("ticket", "list", "--person", person.address)["tickets"]
    assert tickets and person.address in desk.export()
    preview = desk.json("erase", person.address, "--dry-run")
    assert [shown["person_id"]] == preview["person_ids"]
    certificate = tmp_path / "certificate.json"
    done = desk.json("erase", person.address, "--reason", "asked by letter", "--yes", "--out", str(certificate))
    assert done["certificate_holds"] and done["erasure"]["state"] == "completed"

    desk.lethe("person", "show", person.address, status=3)
    desk.lethe("person", "show", shown["person_id"], status=3)
    assert desk.json("person", "list", "--all", "--query", person.address)["persons"] == []
    for ticket in tickets:
        desk.lethe("ticket", "show", ticket["ticket_id"], status=3)
    after = desk.export()
    assert person.address not in after
    assert desk.json("person", "list", "--all", "--query", person.name)["persons"] == []
    sentences = only_theirs(manifest, person.address)
    assert sentences
    assert not [sentence for sentence in sentences if sentence in after]

    again = desk.json("import-mail", str(folder))
    assert again["refused"] and again["imported"] == 0
    assert after == desk.export()


def test_a_certificate_holds_offline_and_no_changed_one_does(
    desk: Desk, archive: tuple[Path, Manifest], tmp_path: Path
) -> None:
    """Any byte changed, or a participant left out, and it fails; without a server."""
    folder, manifest = archive
    desk.lethe("import-mail", str(folder))
    file = tmp_path / "certificate.json"
    desk.lethe("erase", busiest(manifest), "--reason", "asked", "--yes", "--out", str(file))
    offline = {"LETHE_AMQP_URL": "amqp://nobody@127.0.0.1:1/none"}
    desk.lethe("certificate", "verify", str(file), **offline)
    page = desk.lethe("certificate", "show", str(file), "--html", **offline)
    assert "Certificate of erasure" in page and "<script" not in page
    desk.lethe("certificate", "show", str(file), "--proofs", str(tmp_path / "receipts"), **offline)
    receipts = sorted((tmp_path / "receipts").iterdir())
    checks = json.loads(desk.lethe("audit", "prove", "check", *map(str, receipts), "--json", **offline))
    told = {path.stem: f"{path.stem}.ErasureReceipted" for path in receipts}
    assert len(told) > 1 and set(told.values()) == {check["event"]["type"] for check in checks if check["holds"]}
    document = bytearray(file.read_bytes())
    for place in range(0, len(document), max(1, len(document) // 5)):
        changed = bytearray(document)
        changed[place] ^= 1
        file.write_bytes(changed)
        desk.lethe("certificate", "verify", str(file), status=5, **offline)
    whole = json.loads(bytes(document))
    whole["certificate"]["participants"].pop()
    file.write_text(json.dumps(whole, separators=(",", ":"), sort_keys=True))
    desk.lethe("certificate", "verify", str(file), status=5, **offline)


def test_a_hold_keeps_a_person_until_it_ends(desk: Desk, archive: tuple[Path, Manifest]) -> None:
    """Shown in the preview and in the request (exit status 4). One is released, another ends by its time: on real services
    the erasure then runs to its end by itself."""
    folder, manifest = archive
    desk.lethe("import-mail", str(folder))
    who = busiest(manifest)
    hold = place_hold(desk, who, timedelta(days=90))
    assert [hold] == [one["hold_id"] for one in desk.json("erase", who, "--dry-run")["holds"]]
    held = desk.json("erase", who, "--reason", "asked", "--yes", status=4)["erasure"]
    request = held["request_id"]
    assert "held" == held["state"] == desk.json("erasure", "show", request, status=4)["state"]
    desk.lethe("erasure", "retry", request, status=1)
    assert who in desk.export()
    assert [request] == desk.json("hold", "show", hold)["requests"]

    place_hold(desk, who, timedelta(seconds=3))
    desk.lethe("hold", "release", hold)
    await_status(desk, 0, "erasure", "show", request)
    assert who not in desk.export()
    assert [] == desk.json("hold", "list")["holds"]
    assert ["expired", "released"] == [one["end"] for one in desk.json("hold", "list", "--all")["holds"]]
    desk.lethe("audit", "verify")


def test_an_account_ends_and_its_neighbour_does_not(
    stack: Stack, desk: Desk, archive: tuple[Path, Manifest], tmp_path: Path
) -> None:
    """On real services: only a suspended one; then nothing of it is left, its name is free again, and the logs are whole, on
    the stack and in an export; the trail tells how it ended."""
    folder, _ = archive
    neighbour = open_desk(stack)
    for one in (desk, neighbour):
        one.lethe("import-mail", str(folder))
    theirs = neighbour.export()
    account = desk.json("account", "show", desk.account)["account_id"]
    desk.lethe("account", "end", desk.account, "--yes", status=1)
    desk.lethe("account", "suspend", desk.account, "--yes")
    ended = desk.json("account", "end", desk.account, "--yes")
    assert ended["is_gone"] and account == ended["account_id"]
    desk.lethe("account", "show", desk.account, status=3)
    desk.lethe("account", "show", account, status=3)
    assert ended == desk.json("account", "end", account, "--yes")
    assert theirs == neighbour.export()
    verdicts = json.loads(neighbour.lethe("audit", "verify", "--json"))
    assert all(one["gone"] > 0 for one in verdicts if one["service"] in ("tickets", "contacts", "identity", "lifecycle"))
    neighbour.lethe("audit", "export", str(tmp_path / "export"))
    neighbour.lethe("audit", "verify", "--offline", str(tmp_path / "export"))
    neighbour.lethe("audit", "replay", "--compare")
    for where in ([], ["--offline", str(tmp_path / "export")]):
        told = neighbour.lethe("audit", "trail", "--account", account, *where)
        assert "Nothing of account" in told and "their commitments stay" in told
    desk.lethe("account", "create", desk.account)


def place_hold(desk: Desk, who: str, length: timedelta) -> str:
    """A hold that ends after so long; its id."""
    matter, until = ("--basis", "legal-claims", "--reference", "12 C 345/26"), (clock.now() + length).isoformat()
    placed: str = desk.json("hold", "place", who, *matter, "--until", until)["hold_id"]
    return placed


def test_the_exit_status_tells_the_end(desk: Desk) -> None:
    """Not found, wrong usage and refusals can be told apart, each with its reason on stderr and nothing on stdout."""
    assert desk.lethe("person", "show", "nobody@example.org", status=3) == ""
    assert desk.lethe("ticket", "show", "not an id", status=2) == ""
    assert desk.lethe("erase", "nobody@example.org", "--reason", "asked", "--yes", status=3) == ""
    assert desk.lethe("import-mail", "no such folder", status=2) == ""
    assert desk.lethe("rpc", "contacts", "take_in", '{"texts": []}', status=1) == ""
    assert desk.lethe("account", "create", desk.account, status=1) == ""


def test_what_happens_to_an_account_by_itself_is_shown_ahead(desk: Desk) -> None:
    """A trial ends after 14 days, unless it is upgraded; billing may fail for 7; what is suspended goes. The command that
    brings it about shows it, and so does the forecast."""
    made = json.loads(desk.lethe("account", "create", f"{desk.account} on trial", "--trial", "--json"))["account"]
    account = made["account_id"]
    steps = desk.json("account", "forecast", account)
    assert steps == made["ahead"]
    assert [("suspended", "trial-ended", 14), ("dissolved", "not-resumed", 74), ("ended", "dissolved", 104)] == [
        (step["to"], step["reason"], (datetime.fromisoformat(step["at"]) - datetime.fromisoformat(made["opened_at"])).days)
        for step in steps
    ]
    desk.lethe("account", "billing", account, "failed", status=1)
    assert ["paid", []] == [desk.json("account", "upgrade", account)[name] for name in ("plan", "ahead")]
    assert "billing-failed" == desk.json("account", "billing", account, "failed")["ahead"][0]["reason"]
    assert "billing it has failed for too long" in desk.lethe("account", "forecast", account)
    assert [] == desk.json("account", "billing", account, "recovered")["ahead"] == desk.json("account", "forecast", account)


def test_a_suspended_account_is_closed_to_its_users(desk: Desk) -> None:
    """Nobody sees its data until it is resumed."""
    desk.lethe("account", "suspend", desk.account, "--reason", "billing-failed", "--yes")
    await_status(desk, 1, "ticket", "list")
    desk.lethe("account", "resume", desk.account)
    await_status(desk, 0, "ticket", "list")


def await_status(desk: Desk, status: int, *command: str) -> None:
    """Waits until a command ends with `status`."""
    until = monotonic() + 30
    while monotonic() < until:
        try:
            desk.lethe(*command, "--json", status=status)
        except AssertionError:
            sleep(0.1)
        else:
            return
    raise AssertionError(f"{' '.join(command)} never ended with {status}")


def test_the_program_tells_its_end_as_a_program_does(desk: Desk) -> None:
    """The exit status, the reason on stderr and no traceback are what a shell sees."""
    ended = subprocess.run(
        [sys.executable, "-m", "cli.main", "person", "show", "nobody@example.org"],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        env={**os.environ, "LETHE_HOME": str(desk.home), "LETHE_ACCOUNT": desk.account},
    )  # fmt: skip
    assert (3, "", "lethe: There is no such thing in this account.\n") == (ended.returncode, ended.stdout, ended.stderr)
