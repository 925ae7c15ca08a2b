"""A scan of everything at rest finds no address, name or sentence of the mails, in whatever form; and finds what is planted.

The home of the stack is scanned whole: database files with WAL, log and temporary files, broker files while messages wait,
blobs, tiles, logs, run, root keys. So are dumps and all columns of bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.demo_mail import Manifest, generate
from deploy.stack import Stack
from shared.bus import queue_name
from shared.settings import SERVICES
from tests.support import stores
from tests.support.byte_scan import Hit, scan, scan_bytes
from tests.support.desk import Callers, Desk, await_it, mails_of
from tests.support.erased_person import TOO_SLOW, best_known, search

MAILS, PEOPLE, SEED = 70, 12, 41
OTHER_WORDS = (
    "Please tell", "A header of 400 KB.", "Written by a clock that stood", "The header has bytes above", "kettle.png",
    "There is no boundary here", "Nobody wrote this.", "The last boundary never comes.", "ohne Kodierung", "invoice.pdf",
    "It happened to me too", "Please erase me, I beg you",
)  # fmt: skip


@dataclass
class Written:
    """A desk whose stores have written down all they can."""

    desk: Desk
    manifest: Manifest
    mails: list[bytes]

    @property
    def words(self) -> list[str]:
        """Whatever a person wrote, or is called."""
        people = self.manifest.people
        words = [one for person in people for one in (person.name, person.address, person.other_address)]
        words += [one for person in people if person.phone for one in (person.phone, person.phone_spelling)]
        words += [address.upper() for address in words if "@" in address]
        words += [sentence for mail in self.manifest.mails for sentence in mail.sentences]
        words += [mail.message_id for mail in self.manifest.mails if mail.message_id]
        owner = self.desk.call("identity", "show_user", {"user": self.desk.owner})
        account = self.desk.call("lifecycle", "show_account")["name"]
        own = [self.manifest.desk_address, self.manifest.list_address, owner["name"], owner["login"], account, account[5:]]
        return list(dict.fromkeys([*words, *own, *OTHER_WORDS]))


@pytest.fixture(scope="module")
def written(stack: Stack, callers: Callers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    """An import, and all that an agent does, on a database that logs and spills and a broker that keeps everything."""
    settings = callers.settings
    if not (settings.home / "postgres").is_dir() or not (settings.home / "rabbitmq").is_dir():
        pytest.skip("the servers' files are not in the home of this stack")
    folder = tmp_path_factory.mktemp("archive")
    manifest = generate(folder, mails=MAILS, people=PEOPLE, seed=SEED, large_part_bytes=50_000)
    skipped = {mail.path for mail in manifest.mails if mail.kind in TOO_SLOW}
    mails = [one.raw for one in mails_of(folder) if not any(str(one.path).endswith(path) for path in skipped)]
    with stores.talkative_database(settings), stores.tapped_broker(settings):
        desk = Desk.open(callers)
        desk.add_mailbox(manifest.desk_address)
        desk.take_in(mails)
        desk.take_in(mails[:MAILS // 2])  # known by now
        use(desk, manifest)
        yield Written(desk, manifest, mails)


def use(desk: Desk, manifest: Manifest) -> None:
    """Whatever an agent does with words of persons."""
    desk.see()
    for person in manifest.people[:4]:
        found = desk.call("contacts", "show_person", {"who": person.address})
        desk.pages("contacts", "list_persons", "persons", query=person.name)
        desk.call("tickets", "messages_of", {"person_id": found["person_id"]})
        desk.call("erasure", "preview_erasure", {"who": person.address})
        search(desk, person.name)
    for mail in manifest.mails[:4]:
        search(desk, " ".join(mail.sentences) or mail.sender)


def test_the_scan_finds_what_is_planted_in_each_kind_of_store(written: Written, tmp_path: Path) -> None:
    """A word in a table's row, a WAL record, a temporary file, a log line, a message's body, a blob, a tile, a run file and
    beside a root key is found where it was planted; one in a compressed value by a dump; one coded in a column only there."""
    settings = written.desk.callers.settings
    with stores.planted_controls(settings) as planted:
        in_files = {place: word for place, word in planted.items() if place not in ("dump", "columns")}
        hits = scan(settings.home, in_files.values())
        for place, word in in_files.items():
            assert any(hit.word == word and below(settings.home, hit, place) for hit in hits), place
        stores.dumped(settings, tmp_path)
        assert {hit.word for hit in scan(tmp_path, planted.values())} >= {planted["dump"]}
        found = scan_bytes(stores.columns_of_bytes(settings, "tickets"), planted.values())
        assert [word for _, word in found] == [planted["columns"]]


def test_nothing_is_readable_after_an_import(written: Written, stack: Stack, tmp_path: Path) -> None:
    """While calls wait in the broker for a service that is down, and every table lies sorted in a temporary file."""
    settings = written.desk.callers.settings
    stack.stop("tickets")
    try:
        kept = stores.waiting(settings, stores.TAP)
        unanswered = send_without_answer(written)
        await_it(lambda: stores.waiting(settings, stores.TAP) >= kept + len(unanswered), 30)
        assert kept > 100
        assert "lethe.append_event(" in (settings.home / "logs/postgres.log").read_text(errors="replace")
        stores.write_out(settings)
        with stores.spilled_tables(settings, written.desk.account):
            spilled = list((settings.home / "postgres/data/base/pgsql_tmp").rglob("*"))
            assert len(spilled) > 2
            assert_nothing_readable(written, tmp_path)
    finally:
        stack.start("tickets")
        stack.await_ready()
    for one in unanswered:
        one.exception(timeout=60)


def test_nothing_is_readable_during_and_after_an_erasure(written: Written, stack: Stack, tmp_path: Path) -> None:
    """Neither while a participant is down and its event waits, nor when the request is completed."""
    desk, settings = written.desk, written.desk.callers.settings
    person, _ = best_known(written.manifest)
    stack.stop("tickets")
    try:
        asked = {"who": person.address, "reason": OTHER_WORDS[-1], "addresses": [person.other_address, person.phone]}
        request = desk.call("erasure", "request_erasure", asked)["request_id"]
        await_it(lambda: stores.waiting(settings, queue_name("tickets", "erasure.SubjectErased")), 30)
        stores.write_out(settings)
        (tmp_path / "during").mkdir()
        assert_nothing_readable(written, tmp_path / "during")
    finally:
        stack.start("tickets")
        stack.await_ready()
    desk.await_erasure(request)
    desk.call("erasure", "show_certificate", {"request_id": request})
    use_again(written)
    stores.write_out(settings)
    (tmp_path / "after").mkdir()
    with stores.spilled_tables(settings, desk.account):
        assert_nothing_readable(written, tmp_path / "after")


def use_again(written: Written) -> None:
    """Imports again, which is refused, and looks for who is gone."""
    answers = written.desk.take_in(written.mails)
    assert any(one["status"] == "refused" for one in answers)
    person, _ = best_known(written.manifest)
    search(written.desk, person.name)
    written.desk.pages("contacts", "list_persons", "persons", query=person.address)


def send_without_answer(written: Written) -> list[Future[Any]]:
    """Calls to a service that is down: they wait in the broker."""
    call_async, desk = written.desk.callers.client.call_async, written.desk
    person = written.manifest.people[0]
    return [
        call_async("tickets", method, argument, account=desk.account, token=desk.token, timeout_seconds=40)
        for method, argument in (
            ("import_mails", {"mails": written.mails[:5]}),
            ("search_tickets", {"words": person.name}),
            ("search_tickets", {"words": person.address}),
        )
    ]


def assert_nothing_readable(written: Written, folder: Path) -> None:
    """Scans the home, dumps of all databases, and the columns of bytes."""
    settings, words = written.desk.callers.settings, written.words
    assert not scan(settings.home, words)
    stores.dumped(settings, folder)
    assert not scan(folder, words)
    for service in SERVICES:
        assert not scan_bytes(stores.columns_of_bytes(settings, service), words), service


def below(home: Path, hit: Hit, place: str) -> bool:
    """Whether something was found in a place."""
    return str(hit.path).startswith(str(home / place))
