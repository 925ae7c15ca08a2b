"""A stack's mail: from identity's queue into the private mailbox, which `lethe mail` reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli import exit_status
from cli.mail_commands import MailList, MailWithText
from deploy.stack import Stack
from services.identity.events import TYPES, UserAdded
from services.identity.projections import project
from services.identity.user import stream_of
from shared.ids import new_id
from shared.outgoing_mail import queue_mail
from shared.settings import Settings
from shared.work import Store
from tests.support.byte_scan import scan
from tests.support.databases import superuser
from tests.support.stacks import running_stack

CHECKOUT = Path(__file__).resolve().parents[3]
TEXT = "Dear Vera Quince,\nhere is your way in: lethe_portal_31337.\n"


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    """A stack with the one service that sends mail."""
    with running_stack({"identity": 1}) as made:
        yield made


@pytest.fixture
def post(own_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """`post(address)` queues a mail to a fresh person in identity's database, as a handler there does; gives its id."""
    monkeypatch.setenv("LETHE_HOME", str(own_stack.home))
    store = Store(TYPES, project, Settings.load())
    account, user, person = new_id(), new_id(), new_id()

    def queue(address: str) -> str:
        def decide(work: Any) -> str:
            if not work.load(stream_of(user)):
                added = UserAdded(user_id=user, person_id=person, role="owner", name="Vera Quince", login=address)
                work.append(stream_of(user), 0, [added])
            return queue_mail(work, item_id=user, person_id=person, to=address, subject="Your way in", text=TEXT)

        return store.run(account, decide)

    return queue


def lethe(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line on a stack."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words], cwd=CHECKOUT, env={**os.environ, "LETHE_HOME": str(stack.home)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def arrived(stack: Stack, address: str, count: int = 1) -> list[Any]:
    """The mails to an address, once there are so many."""
    deadline = time.monotonic() + 30
    while True:
        mails = msgspec.json.decode(lethe(stack, "mail", "list", "--json").stdout, type=MailList).mails
        found = [one for one in mails if address in one.recipients]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} mails arrived"
        time.sleep(0.05)


def test_the_mailbox_is_a_process_of_the_stack(own_stack: Stack) -> None:
    """`status` shows the mailbox among the servers, and where mail goes."""
    status = own_stack.status()
    (found,) = [one for one in status["processes"] if one["name"] == "mailbox"]
    assert ("server", "running") == (found["kind"], found["state"])
    assert status["smtp_url"] == Settings.load(own_stack.home).smtp_url
    assert status["smtp_url"].startswith("smtp://127.0.0.1:")


def test_a_mail_arrives_and_can_be_read(own_stack: Stack, post: Callable[[str], str]) -> None:
    """The service's loop sends what was queued; `lethe mail show` gives it by its number and as the last, also for programs."""
    mail_id = post("vera@orchard.example")
    (listed,) = arrived(own_stack, "vera@orchard.example")
    assert (f"<{mail_id}@localhost>", "Your way in") == (listed.message_id, listed.subject)
    shown = lethe(own_stack, "mail", "show", str(listed.number))
    assert TEXT in shown.stdout and "To: vera@orchard.example" in shown.stdout
    last = msgspec.json.decode(lethe(own_stack, "mail", "show", "--last", "--json").stdout, type=MailWithText)
    assert (TEXT, "Lethe <lethe@localhost>") == (last.text, last.sender)
    assert "Your way in" in lethe(own_stack, "mail", "list").stdout


def test_a_mail_that_is_not_there_is_said_to_be_missing(own_stack: Stack) -> None:
    """Asking for a number that no mail has is an error with its own exit status; so is a question for nothing."""
    assert exit_status.NOT_FOUND == lethe(own_stack, "mail", "show", "99999").returncode
    assert exit_status.WRONG_USAGE == lethe(own_stack, "mail", "show").returncode


def test_nothing_of_a_mail_is_on_disk(own_stack: Stack, post: Callable[[str], str]) -> None:
    """After a delivery no file of the stack, logs included, holds the address or the text; a file that does is found."""
    address = "nobody.at.rest@orchard.example"
    post(address)
    arrived(own_stack, address)
    connection = superuser(Settings.load(own_stack.home), "identity")
    connection.cursor().execute("CHECKPOINT")
    connection.close()
    words = [address, "lethe_portal_31337"]
    assert [] == scan(own_stack.home, words)
    planted = own_stack.home / "run" / "planted"
    planted.write_text(TEXT)
    assert [planted] == [hit.path for hit in scan(own_stack.home, words)]
    planted.unlink()


@pytest.mark.timeout(120)
def test_a_kill_between_sending_and_noting_sends_the_same_mail_again(own_stack: Stack, post: Callable[[str], str]) -> None:
    """A service that dies at `mail.sent` has not noted the delivery: the mail comes once more, under the same Message-ID, and
    then no more."""
    own_stack.stop("identity")
    own_stack.start("identity", {"LETHE_FAILPOINT": "mail.sent"})
    killed = own_stack.pid("identity-0")
    post("twice@orchard.example")
    arrived(own_stack, "twice@orchard.example")
    settings, deadline = Settings.load(own_stack.home), time.monotonic() + 60
    while own_stack.pid("identity-0") in (None, killed):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [("sending",)] == mails_in(settings)
    with superuser(settings, "identity").cursor() as cursor:  # what the rest of the lease's 60 s does
        cursor.execute("UPDATE lethe.outgoing_mail SET claimed_until = clock_timestamp()")
    first, second = arrived(own_stack, "twice@orchard.example", 2)
    assert first.message_id == second.message_id
    while mails_in(settings):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    own_stack.await_ready()
    assert 2 == len(arrived(own_stack, "twice@orchard.example"))


def test_the_mailbox_away_delays_a_mail_only(own_stack: Stack, post: Callable[[str], str]) -> None:
    """What is queued while the mailbox does not run arrives when it does again."""
    own_stack.stop("mailbox")
    assert exit_status.UNAVAILABLE == lethe(own_stack, "mail", "list").returncode
    post("later@orchard.example")
    settings, deadline = Settings.load(own_stack.home), time.monotonic() + 30
    while mails_in(settings, "attempts > 0 AND state = 'queued'") != [("queued",)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    own_stack.start("mailbox")
    assert 1 == len(arrived(own_stack, "later@orchard.example"))


def test_a_stop_of_the_service_is_prompt(own_stack: Stack) -> None:
    """The sender's loop ends with the service, without waiting for its next look."""
    begun = time.monotonic()
    own_stack.stop("identity")
    assert time.monotonic() - begun < 10
    log = (own_stack.home / "logs" / "identity-0.log").read_text().splitlines()
    assert "stopped" == json.loads(log[-1])["event"]
    own_stack.start("identity")
    own_stack.await_ready()


def test_wrong_settings_of_mail_lock_nobody_out(own_stack: Stack) -> None:
    """A mail server's URL that is none is said in the log; the service takes calls all the same."""
    own_stack.stop("identity")
    own_stack.start("identity", {"LETHE_SMTP_URL": "smtp://a:secret@:port"})
    own_stack.await_ready()
    log = (own_stack.home / "logs" / "identity-0.log").read_text()
    assert "the settings of mail are wrong" in log and "secret" not in log
    own_stack.stop("identity")
    own_stack.start("identity")


def mails_in(settings: Settings, where: str = "true") -> list[tuple[Any, ...]]:
    """The states of the mails in identity's queue."""
    connection = superuser(settings, "identity")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT state FROM lethe.outgoing_mail WHERE {where}")
        found: list[tuple[Any, ...]] = cursor.fetchall()
    connection.close()
    return found
