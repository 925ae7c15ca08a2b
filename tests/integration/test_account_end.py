"""The end of an account (mission L6, L7): nothing of it is stored any more, nothing is written for it, the logs stay whole."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from audit.export import export
from audit.exported import encode_gone
from audit.verify import verify
from audit.verify_offline import verify_offline
from shared import account_end, clock
from shared.account_end import CELL, LeavesGone
from shared.erasing import SubjectCut
from shared.errors import AccountGone, AccountSuspended, NotFound, Refused, Unavailable
from shared.ids import new_id
from shared.settings import ACCOUNT_SERVICES, SERVICES, Settings
from shared.tokens import Actor
from tests.support.cell import Cell
from tests.support.databases import superuser
from tests.support.ending import OPERATOR, Ending, check_logs
from tests.support.gate import Gate, Running
from tests.support.portal import ALICE, mail
from tests.support.stores import closing

HOLDING = {
    "basis": "legal-claims", "reference": "file 12", "expires_at": (clock.now() + timedelta(days=30)).isoformat(),
}  # fmt: skip


_FIRST_OF_TWO = """
SELECT l.index, e.stream FROM lethe.log l JOIN lethe.event e USING (sequence)
WHERE e.account_id = %s AND e.version = 1 AND EXISTS (
    SELECT 1 FROM lethe.event n WHERE n.account_id = e.account_id AND n.stream = e.stream AND n.version = 2)
ORDER BY l.index
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No relay runs here beside: what is not published when it is looked at is not while it is waited for."""
    monkeypatch.setattr(account_end, "PUBLISHED_SECONDS", 0.02)


@pytest.fixture
def ending(cell: Cell) -> Ending:
    return Ending(cell)


def test_nothing_of_an_ended_account_is_left_and_nothing_of_others_is_touched(cell: Cell) -> None:
    """No row, no key, no blob, no route; its neighbour has all of theirs. The logs verify, and say how many leaves went."""
    ending, neighbour = Ending(cell), Ending(cell)
    before, events = neighbour.left(), sum(len(cell.logged(ending.account, service)) for service in ACCOUNT_SERVICES)
    assert before["tickets blobs"]
    view = ending.end()
    assert not view.is_gone and {None} == {one.gone_at for one in view.services}
    events += 2  # suspended, ended
    ending.settle()
    assert {} == ending.left()
    neighbour.settle()
    assert before == neighbour.left()
    shown = ending.call("lifecycle", "show_account_end", {"account_id": ending.account}, OPERATOR)
    assert shown.is_gone and set(ACCOUNT_SERVICES) == {one.service for one in shown.services}
    assert shown == ending.call("lifecycle", "end_account", {"account_id": ending.account}, OPERATOR), "done already is done"
    check_logs(ending, events)
    with pytest.raises(NotFound):
        ending.call("lifecycle", "find_account", {"name": ending.name}, OPERATOR)
    reopened = cell.call(new_id(), "lifecycle", "open_account", {"name": ending.name}, OPERATOR)
    assert reopened.account_id != ending.account, "its name is free again"


def test_only_a_suspended_account_ends_and_none_that_is_still_needed(ending: Ending) -> None:
    """Not while its users work in it, a hold is on somebody, or a person is owed a certificate."""
    with pytest.raises(Refused):
        ending.call("lifecycle", "end_account", {"account_id": ending.account}, OPERATOR)
    hold = ending.call("erasure", "place_hold", {"who": ALICE, **HOLDING}).hold_id
    request = ending.call("erasure", "request_erasure", {"who": ALICE, "reason": "asked"}).request_id
    ending.settle()
    with pytest.raises(Refused) as refused:
        ending.end()
    assert {"holds": 1, "erasures": 1} == refused.value.details
    ending.call("lifecycle", "resume_account", None, OPERATOR)
    ending.call("erasure", "release_hold", {"hold_id": hold})
    ending.settle()
    assert "completed" == ending.call("erasure", "show_erasure", {"request_id": request}).state
    ending.end()
    ending.settle()
    assert {} == ending.left()
    with pytest.raises(NotFound):
        ending.call("lifecycle", "show_account_end", {"account_id": Ending(ending.cell).account}, OPERATOR)


def test_nothing_is_written_for_an_account_that_is_gone(ending: Ending) -> None:
    """Not by who has a token still, nor by a service that heard late: the database refuses, and nothing comes back."""
    known = ending.cell.deliveries(ending.account, SERVICES)
    ending.end()
    with pytest.raises(AccountGone):
        ending.call("lifecycle", "resume_account", None, OPERATOR)
    ending.settle()
    for service in ACCOUNT_SERVICES:
        for allow_suspended in (False, True):
            with pytest.raises(AccountGone):
                ending.cell.service(service).admit(_Call(ending.owner, ending.account), allow_suspended)
    mails = {"mails": [mail(f"Eve <{ALICE}>", "e1", "Again", "It leaks again.")]}
    for service, method, argument in (
        ("contacts", "add_mailbox", {"address": "new@kettles.example"}), ("tickets", "import_mails", mails),
        ("identity", "add_user", {"role": "owner", "name": "Eve", "login": "eve@kettles.example"}),
        ("lifecycle", "suspend_account", {}), ("erasure", "place_hold", {"who": ALICE, **HOLDING}),
    ):  # fmt: skip
        with pytest.raises((AccountGone, NotFound)):
            ending.call(service, method, argument, OPERATOR)
    cut = SubjectCut(request_id=new_id(), person_id=new_id(), keys=[], shared_items=0)
    for service in ACCOUNT_SERVICES:  # an event in which nothing is sealed needs no key, and is refused as well
        with pytest.raises(AccountGone):
            ending.cell.store(service).run(ending.account, lambda work: work.append(f"erasure/{cut.request_id}", 0, [cut]))
    for one in known:
        try:
            ending.cell.deliver(one)
        except AccountGone:
            pass
    assert {} == ending.left()
    check_logs(ending, 1)


class _Call:
    def __init__(self, actor: Actor, account: str) -> None:
        self.actor, self.account_id = actor, account


@pytest.mark.parametrize("crash", ["marked", "explained", "journalled", "rows-removed", "events-removed"])
def test_after_a_crash_anywhere_the_end_goes_on(ending: Ending, crash: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each service dies once at this step. Delivered again, the event ends where it would have."""
    died: set[str] = set()

    def die(name: str) -> None:
        if name.endswith(f".ending-{crash}") and name not in died:
            died.add(name)
            raise Crashed()

    monkeypatch.setattr(account_end, "failpoint", die)
    ending.end()
    ended = ending.ended()
    for one in ended:
        with pytest.raises(Crashed):
            ending.insist(one)
    assert len(died) == len(ACCOUNT_SERVICES)
    ending.sign()
    for service in ACCOUNT_SERVICES:  # half removed it is whole as well; what is not in the journal yet is missed there
        verdict = verify(ending.cell.settings, service, patience_seconds=0.2)
        found = [(one.kind, ending.account in one.text) for one in verdict.findings]
        assert found == ([("journal", True)] if crash == "explained" else [])
    for one in ended:  # as the broker does, which has the message also when the event is gone from lifecycle's log
        ending.insist(one)
    ending.settle()
    assert {} == ending.left()
    for service in ACCOUNT_SERVICES:
        gone = [one.type for one in ending.cell.logged(CELL, service) if one.stream == f"gone/{ending.account}"]
        assert [f"{service}.LeavesGone", f"{service}.AccountGone"] == gone
        assert verify(ending.cell.settings, service, patience_seconds=1).good


class Crashed(BaseException):
    """In the place of a process that ends."""


def test_two_replicas_end_an_account_once(ending: Ending, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event comes to both at once, and again, in small batches: one receipt."""
    monkeypatch.setattr(account_end, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(account_end, "RANGES_IN_ONE_EVENT", 2)
    replica = Cell(ending.cell.settings)
    ending.end()
    for one in ending.ended() * 2:
        both = [Running(lambda it=one, on=cell: ending.insist(it, on)).start() for cell in (ending.cell, replica)]  # type: ignore[misc]
        for each in both:
            each.result()
    ending.settle()
    for service in ACCOUNT_SERVICES:
        types = [one.type for one in ending.cell.logged(CELL, service) if one.stream == f"gone/{ending.account}"]
        assert 1 == types.count(f"{service}.AccountGone")
    check_logs(ending, 1)


def test_a_writer_that_had_begun_is_waited_for(ending: Ending, turnstile: Gate) -> None:
    """A mail that is being imported stands before its commit when the account ends: it comes in first, and goes with the rest,
    its blobs too. One that begins after that is refused, and leaves no blob."""
    replica, late = Cell(ending.cell.settings), Cell(ending.cell.settings)

    def take_in(cell: Cell, word: str) -> Any:
        mails = {"mails": [mail(f"Eve <{ALICE}>", word, "Again", f"It leaks {word}.")]}
        return cell.call(ending.account, "tickets", "import_mails", mails, OPERATOR)

    take_in(late, "k1")  # keys in its memory
    ending.settle()
    ending.end()
    (ended,) = [one for one in ending.ended() if one.service == "tickets"]
    writes = turnstile.hold(lambda: take_in(ending.cell, "w1"), "tickets")
    ends = Running(lambda: ending.insist(ended, replica)).start()
    assert not ends.thread.join(0.5) and not ends.is_over, "it waits for the writer"
    told = "SELECT count(*) FROM lethe.event WHERE stream = %s"
    assert [(0,)] == as_attacker(ending.cell.settings, "tickets", told, f"gone/{ending.account}"), "and names no leaf before"
    writes.release()
    ends.result()
    with pytest.raises(AccountGone):
        take_in(late, "l1")
    ending.settle()
    assert {} == ending.left()
    check_logs(ending, 1)


def test_a_row_that_somebody_changes_meanwhile_does_not_stay(ending: Ending) -> None:
    """A rotation of keys holds a row of the account while it is to go: there is no receipt before that row has gone."""
    ending.end()
    (ended,) = [one for one in ending.ended() if one.service == "contacts"]
    with closing(psycopg2.connect(ending.cell.settings.database_url("contacts", "owner"))) as connection:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE keys.account_key SET epoch = epoch WHERE account_id = %s", (ending.account,))
        ends = Running(lambda: ending.insist(ended)).start()
        ends.thread.join(1.5)
        connection.commit()
    ends.result()
    ending.settle()
    assert {} == ending.left()


def test_of_a_hold_and_the_end_of_an_account_at_once_one_gives_way(ending: Ending, turnstile: Gate) -> None:
    """A hold that was let in before the account was closed stands before its commit: the end waits for it, and is refused."""
    replica = Cell(ending.cell.settings)
    holding = turnstile.hold(lambda: ending.call("erasure", "place_hold", {"who": ALICE, **HOLDING}), "erasure")
    replica.call(ending.account, "lifecycle", "suspend_account", {}, OPERATOR)
    asked = {"account_id": ending.account}
    ends = Running(lambda: replica.call(ending.account, "lifecycle", "end_account", asked, OPERATOR)).start()
    assert not ends.thread.join(0.3) and not ends.is_over
    holding.release()
    with pytest.raises(Refused):
        ends.result()
    with pytest.raises(AccountSuspended):
        ending.call("erasure", "place_hold", {"who": ALICE, **HOLDING})


def test_services_that_are_not_done_are_told_again(ending: Ending) -> None:
    """The message to one is lost, and lifecycle's own event is gone: asked again, the cell says it."""
    ending.end()
    lost = [one for one in ending.ended() if one.service == "tickets"]
    ending.delivered |= {(one.envelope.event, one.service) for one in lost}
    ending.settle()
    assert {"tickets"} == {name.partition(" ")[0] for name in ending.left()}
    asked = {"account_id": ending.account}
    assert not ending.call("lifecycle", "end_account", asked, OPERATOR).is_gone
    ending.settle()
    assert {} == ending.left() and ending.call("lifecycle", "show_account_end", asked, OPERATOR).is_gone
    check_logs(ending, 1)


def test_events_that_are_on_their_way_are_waited_for(ending: Ending) -> None:
    """What is not in the log, or not published, has no index that could be named: the end is tried again."""
    ending.end()
    (ended,) = [one for one in ending.ended() if one.service == "lifecycle"]
    with closing(superuser(ending.cell.settings, "lifecycle")) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE lethe.relay_cursor SET published = published - 1")
    with pytest.raises(Unavailable):
        ending.cell.deliver(ended)
    assert [] == [one for one in ending.cell.logged(CELL, "lifecycle") if one.stream == f"gone/{ending.account}"]
    ending.settle()
    assert {} == ending.left()



def test_an_export_of_a_log_without_an_account_is_whole(ending: Ending, tmp_path: Path) -> None:
    """Also when the account ends while it is written: a line for each index, and the leaves that are gone accounted for."""
    neighbour = Ending(ending.cell)
    folder, begun = tmp_path / "export", []

    def end_it(service: str, step: str, done: int, of: int) -> None:
        if service == "contacts" and not begun:
            begun.append(step)
            ending.end()
            ending.settle()

    export(ending.cell.settings, folder, end_it)
    verdicts = verify_offline(folder)
    assert [] == [finding for verdict in verdicts for finding in verdict.findings]
    assert sum(verdict.gone for verdict in verdicts) > 5
    lines = (folder / "tickets" / "events.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "tickets" / "events.jsonl").unlink()
    place = next(at for at, line in enumerate(lines) if neighbour.account.encode() in line)
    lines[place] = encode_gone(place)
    (folder / "tickets" / "events.jsonl").write_bytes(b"".join(lines))
    (tickets,) = verify_offline(folder, services=["tickets"])
    assert ("dropped", place) in {(one.kind, one.index) for one in tickets.findings}


def test_a_dropped_event_is_found_although_an_account_is_gone(ending: Ending) -> None:
    """Nothing is explained by the wrong account, by an event that nobody signed, or by one that says more than is true."""
    neighbour = Ending(ending.cell)
    settings = ending.cell.settings
    ending.end()
    ending.settle()
    assert verify(settings, "contacts").good
    ((index, stream), *_) = as_attacker(settings, "tickets", _FIRST_OF_TWO, neighbour.account)
    delete = "DELETE FROM lethe.event WHERE account_id = %s AND stream = %s AND version = 1"
    as_attacker(settings, "tickets", delete, neighbour.account, stream)
    found = verify(settings, "tickets").findings
    assert [("dropped", index)] == [(one.kind, one.index) for one in found if one.kind == "dropped"]

    forged = LeavesGone(account_id=new_id(), ranges=[(index, index)])
    ending.cell.store("tickets").run(CELL, lambda work: work.append(f"gone/{forged.account_id}", 0, [forged]))
    assert "dropped" in {one.kind for one in verify(settings, "tickets", patience_seconds=0.2).findings}, "nobody signed it"
    ending.cell.sign("tickets")
    found = verify(settings, "tickets", patience_seconds=0.2).findings
    assert "dropped" not in {one.kind for one in found}
    assert [stream] == [one.stream for one in found if one.kind == "reordered"], "the stream has a hole"
    assert any(forged.account_id in one.text for one in found if one.kind == "journal")


def test_an_event_of_an_account_that_is_gone_is_found(ending: Ending) -> None:
    """One that was written after the end, as no program of ours can, is signed and still a finding."""
    settings, store = ending.cell.settings, ending.cell.store("contacts")
    ending.end()
    ending.settle()
    as_attacker(settings, "contacts", "UPDATE lethe.account_state SET state = 'active' WHERE account_id = %s", ending.account)
    cut = SubjectCut(request_id=new_id(), person_id=new_id(), keys=[], shared_items=0)
    store.run(ending.account, lambda work: work.append(f"erasure/{cut.request_id}", 0, [cut]))
    as_attacker(settings, "contacts", "UPDATE lethe.account_state SET state = 'gone' WHERE account_id = %s", ending.account)
    ending.cell.sign("contacts")
    found = verify(settings, "contacts", patience_seconds=0.2).findings
    assert [f"erasure/{cut.request_id}"] == [one.stream for one in found if one.kind == "inserted"]


def as_attacker(settings: Settings, service: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """A statement of somebody who owns the database, whom no trigger and no foreign key stops."""
    with closing(superuser(settings, service)) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(sql, values)
        return list(cursor.fetchall()) if cursor.description else []
