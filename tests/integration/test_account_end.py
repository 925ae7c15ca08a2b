"""The end of an account (mission L6, L7): nothing of it is stored any more, nothing is written for it, the logs stay whole."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from audit.export import export
from audit.exported import encode_gone
from audit.replay import replay
from audit.verify import verify
from audit.verify_offline import verify_offline
from shared import account_end, clock
from shared.account_end import CELL, LeavesGone
from shared.erasing import SubjectCut
from shared.errors import AccountGone, NotFound, Refused, Unavailable
from shared.ids import new_id
from shared.settings import ACCOUNT_SERVICES, SERVICES, Settings
from shared.tokens import Actor
from tests.support.cell import Cell, Delivery
from tests.support.databases import superuser
from tests.support.portal import ALICE, Portal, mail
from tests.support.stores import closing

OPERATOR = Actor(kind="operator", id=new_id(), role="operator")
HOLDING = {
    "basis": "legal-claims", "reference": "file 12", "expires_at": (clock.now() + timedelta(days=30)).isoformat(),
}  # fmt: skip


_FIRST_OF_TWO = """
SELECT l.index, e.stream FROM lethe.log l JOIN lethe.event e USING (sequence)
WHERE e.account_id = %s AND e.version = 1 AND EXISTS (
    SELECT 1 FROM lethe.event n WHERE n.account_id = e.account_id AND n.stream = e.stream AND n.version = 2)
ORDER BY l.index
"""


class Ending(Portal):
    """An account with everything that a portal's has, of a name, with an owner who can log in, and an agent."""

    def __init__(self, cell: Cell) -> None:
        opened = cell.call(new_id(), "lifecycle", "open_account", {"name": f"Kettles {new_id()}"}, OPERATOR)
        super().__init__(cell, opened.account_id)
        self.name = opened.name
        olga = {"role": "owner", "name": "Olga", "login": f"olga@{new_id()}.example"}
        added = self.call("identity", "add_user", olga, OPERATOR)
        self.owner = Actor(kind="user", id=added.user_id, account_id=self.account, role="owner")
        self.call("identity", "add_user", {"role": "agent", "name": "Abe", "login": f"abe@{new_id()}.example"})
        self.call("tickets", "show_ticket", {"ticket_id": self.ticket_of_alice})
        self.delivered: set[tuple[str, str]] = set()
        self.settle()

    def end(self) -> Any:
        """Suspends the account and ends it; not delivered yet."""
        self.call("lifecycle", "suspend_account", {}, OPERATOR)
        return self.call("lifecycle", "end_account", {"account_id": self.account}, OPERATOR)

    def settle(self, shuffle: Random | None = None) -> None:
        """Delivers what happened, the cell's events too, until all is done, as a broker does: what fails is brought again."""
        while True:
            for service in SERVICES:
                self.cell.sign(service)
            due = [
                one for account in (self.account, CELL) for one in self.cell.deliveries(account, SERVICES)
                if (one.envelope.event, one.service) not in self.delivered
            ]  # fmt: skip
            if not due:
                return
            if shuffle is not None:
                shuffle.shuffle(due)
            for one in due:
                try:
                    self.cell.deliver(one)
                except AccountGone:
                    pass  # there is nothing to do any more (`bus.py`)
                except Unavailable:
                    continue  # brought again
                self.delivered.add((one.envelope.event, one.service))

    def ended(self) -> list[Delivery]:
        """The event that ends the account, for each service."""
        for service in SERVICES:
            self.cell.sign(service)
        deliveries = self.cell.deliveries(self.account, SERVICES)
        return [one for one in deliveries if one.envelope.type == "lifecycle.AccountEnded"]

    def insist(self, one: Delivery, cell: Cell | None = None) -> None:
        """Delivers an event until what it waits for is there."""
        for _ in range(4):
            try:
                (cell or self.cell).deliver(one)
            except Unavailable:
                for service in SERVICES:
                    self.cell.sign(service)
            else:
                return
        raise AssertionError("it waits for ever")

    def left(self) -> dict[str, int]:
        """Rows that name the account, in all tables of all services but those that say that it is gone."""
        found: dict[str, int] = {}
        for service in ACCOUNT_SERVICES:
            with closing(superuser(self.cell.settings, service)) as connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                    " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id' WHERE c.relkind = 'r'"
                    " AND n.nspname IN ('lethe', 'keys') AND c.relname NOT IN ('account_state', 'ended_account')"
                )
                for (table,) in cursor.fetchall():
                    cursor.execute(f"SELECT count(*) FROM {table} WHERE account_id = %s", (self.account,))
                    if count := cursor.fetchone()[0]:
                        found[f"{service} {table}"] = count
        return found


@pytest.fixture
def ending(cell: Cell) -> Ending:
    return Ending(cell)


def check_logs(ending: Ending, gone: int) -> None:
    """Every log is whole, with so many leaves that nobody can open any more, and replays to its read models."""
    settings = ending.cell.settings
    verdicts = [verify(settings, service, patience_seconds=1) for service in ACCOUNT_SERVICES]
    assert [] == [finding for verdict in verdicts for finding in verdict.findings]
    assert gone <= sum(verdict.gone for verdict in verdicts)
    for service in ACCOUNT_SERVICES:
        result = replay(settings, service, patience_seconds=0.5)
        assert result.equal, [(one.table, one.differences) for one in result.tables if one.differing]


def test_nothing_of_an_ended_account_is_left_and_nothing_of_others_is_touched(cell: Cell) -> None:
    """No row, no key, no blob, no route; its neighbour has all of theirs. The logs verify, and say how many leaves went."""
    ending, neighbour = Ending(cell), Ending(cell)
    before, events = neighbour.left(), sum(len(cell.logged(ending.account, service)) for service in ACCOUNT_SERVICES)
    blobs = cell.settings.path("blobs", "tickets")
    assert (blobs / ending.account).exists()
    view = ending.end()
    assert not view.is_gone and {None} == {one.gone_at for one in view.services}
    events += 2  # suspended, ended
    ending.settle()
    assert {} == ending.left()
    assert not (blobs / ending.account).exists() and (blobs / neighbour.account).exists()
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
    for service in SERVICES:
        ending.cell.sign(service)
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
    check_logs(ending, 1)


class Crashed(BaseException):
    """In the place of a process that ends."""


def test_two_replicas_end_an_account_once(ending: Ending) -> None:
    """The event comes to both, one after the other and twice: one receipt."""
    replica = Cell(ending.cell.settings)
    ending.end()
    for one in ending.ended() * 2:
        for cell in (ending.cell, replica):
            ending.insist(one, cell)
    ending.settle()
    for service in ACCOUNT_SERVICES:
        types = [one.type for one in ending.cell.logged(CELL, service) if one.stream == f"gone/{ending.account}"]
        assert 1 == types.count(f"{service}.AccountGone")
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
    """Also when the account ends while it is written: a line for each index, and the leaves that are gone accounted for. A
    trail of the account is what is left of it, and the report counts."""
    neighbour = Ending(ending.cell)
    ending.end()
    ending.settle()
    folder = tmp_path / "export"
    export(ending.cell.settings, folder)
    verdicts = verify_offline(folder)
    assert [] == [finding for verdict in verdicts for finding in verdict.findings]
    assert sum(verdict.gone for verdict in verdicts) > 20
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
