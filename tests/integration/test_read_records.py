"""Records of reads on real databases: what is noted, that it is written once and not too late, and who is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from psycopg2.extensions import parse_dsn

from audit.replay import replay
from services.identity.commands import AddUser
from services.lifecycle.commands import OpenAccount
from services.tickets.commands import ImportMails
from shared import clock, read_buffer
from shared.database import ConnectionLost
from shared.ids import new_id
from shared.read_buffer import READS_AT_ONCE, ReadBuffer
from shared.read_listing import ListReads, ReadPage, ReadView
from shared.read_records import Read, ReadsRecorded
from shared.settings import Settings
from shared.tokens import Actor, service_actor
from tests.support.cell import Cell
from tests.support.databases import superuser

OPERATOR = Actor(kind="operator", id="operator", role="operator")
MAIL = (
    b"From: Ann Archer <ann@archer.example>\r\nTo: desk@kettles.example\r\nSubject: kettle\r\n"
    b"Message-ID: <1@archer.example>\r\nDate: Mon, 4 Mar 2024 08:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=cut\r\n\r\n"
    b"--cut\r\nContent-Type: text/plain\r\n\r\nMy kettle is broken.\r\n--cut\r\nContent-Type: text/plain\r\n"
    b"Content-Disposition: attachment; filename=note.txt\r\n\r\nSee the crack.\r\n--cut--\r\n"
)


class Desk:
    """An account with an owner, an agent, and a ticket of Ann's."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        name = OpenAccount(name=f"desk {new_id()}")
        self.account: str = cell.call(new_id(), "lifecycle", "open_account", name, OPERATOR).account_id
        owner = cell.call(
            self.account, "identity", "add_user", AddUser(role="owner", name="Olga", login="olga@kettles.example"), OPERATOR
        )
        self.owner = self.actor(owner.user_id, "owner")
        agent = self.call("identity", "add_user", AddUser(role="agent", name="Abe", login="abe@kettles.example"))
        self.agent, self.agent_person = self.actor(agent.user_id, "agent"), agent.person_id
        self.call("contacts", "add_mailbox", {"address": "desk@kettles.example"})
        self.ticket: str = self.call("tickets", "import_mails", ImportMails(mails=[MAIL])).mails[0].ticket_id
        self.ann: str = self.call("contacts", "show_person", {"who": "ann@archer.example"}).person_id
        self.settle()

    def actor(self, user: str, role: Any) -> Actor:
        return Actor(kind="user", id=user, account_id=self.account, role=role)

    def call(self, service: str, method: str, argument: Any, actor: Actor | None = None) -> Any:
        return self.cell.call(self.account, service, method, argument, actor or self.owner)

    def settle(self) -> None:
        """Everything noted is written and in the log."""
        for service in ("contacts", "tickets", "identity"):
            buffer_of(self.cell, service).flush()
            self.cell.sign(service)

    def reads(self, service: str, **query: Any) -> list[ReadView]:
        """All pages."""
        found: list[ReadView] = []
        after = -1
        while True:
            page: ReadPage = self.call(service, "list_reads", ListReads(after=after, **query))
            found += page.reads
            if page.next_after is None:
                return found
            after = page.next_after


def buffer_of(cell: Cell, service: str) -> ReadBuffer:
    """What a service of the cell has noted."""
    buffer: ReadBuffer = cell.service(service).runtime.reads
    return buffer


@pytest.fixture
def desk(cell: Cell) -> Desk:
    """A desk whose own making is recorded already."""
    return Desk(cell)


def test_each_read_of_personal_data_is_recorded(desk: Desk) -> None:
    """Whatever shows a user something of a person leaves one record: who, when, by which method, of whom, and for what; it is
    found by the person, by the ticket, and by the user."""
    begun = clock.now()
    blob = desk.call("tickets", "show_ticket", {"ticket_id": desk.ticket}, desk.agent).messages[0].attachments[0].blob_id
    desk.call("tickets", "list_tickets", {}, desk.agent)
    desk.call("tickets", "search_tickets", {"words": "kettle"}, desk.agent)
    desk.call("tickets", "messages_of", {"person_id": desk.ann}, desk.agent)
    desk.call("tickets", "show_attachment", {"blob_id": blob}, desk.agent)
    desk.call("contacts", "show_person", {"who": "ann@archer.example"}, desk.agent)
    desk.call("contacts", "list_persons", {"query": "ann"}, desk.agent)
    desk.settle()
    tickets, contacts = (desk.reads(one, subject_id=desk.ann, actor_id=desk.agent.id) for one in ("tickets", "contacts"))
    expected = ["show_ticket", "list_tickets", "search_tickets", "messages_of", "show_attachment"]
    assert expected == [one.method for one in tickets]
    assert ["show_person", "list_persons"] == [one.method for one in contacts]
    for one in (*tickets, *contacts):
        assert (desk.agent.id, [desk.ann]) == (one.actor_id, one.person_ids)
        assert begun <= one.at <= clock.now()
        assert ("data access" if one.method == "messages_of" else "support") == one.purpose
    of_ticket = [one.method for one in desk.reads("tickets", subject_id=desk.ticket)]
    assert [one for one in expected if one != "messages_of"] == of_ticket
    assert tickets == desk.reads("tickets", actor_id=desk.agent.id)
    assert [] == desk.reads("tickets", subject_id=new_id()) == desk.reads("tickets", actor_id=new_id())


def test_reads_of_others_profiles_are_recorded_and_of_ones_own_not(desk: Desk) -> None:
    """Who looks at a colleague's profile leaves a record; who looks at their own leaves none."""
    desk.call("identity", "show_user", {"user": desk.agent.id}, desk.agent)
    desk.call("identity", "show_user", {"user": desk.agent.id})
    desk.call("identity", "list_users", {})
    desk.settle()
    found = desk.reads("identity")
    assert [("show_user", desk.owner.id), ("list_users", desk.owner.id)] == [(one.method, one.actor_id) for one in found]
    assert [[desk.agent_person]] * 2 == [one.person_ids for one in found]


def test_what_shows_nothing_and_what_services_do_is_not_recorded(desk: Desk) -> None:
    """An empty answer, and a call by another service on its own behalf, leave no record."""
    desk.call("contacts", "list_persons", {"query": "nobody"})
    desk.call("contacts", "show_person", {"who": desk.ann}, service_actor("tickets"))
    before = desk.reads("contacts")
    desk.settle()
    assert before == desk.reads("contacts")


def test_records_stay_when_their_person_is_erased(desk: Desk) -> None:
    """Who saw what can be asked by the pseudonym of a person who is gone: it says nothing of them."""
    desk.call("tickets", "show_ticket", {"ticket_id": desk.ticket}, desk.agent)
    desk.settle()
    before = desk.reads("tickets", subject_id=desk.ann)
    assert len(before) == 1
    desk.call("erasure", "request_erasure", {"who": desk.ann, "reason": "asked"})
    desk.cell.sign("erasure")
    (erased,) = [one for one in desk.cell.logged(desk.account, "erasure") if one.type == "erasure.SubjectErased"]
    desk.cell.service("tickets").on_subject_erased(erased)
    desk.settle()
    assert before == desk.reads("tickets", subject_id=desk.ann)


@pytest.mark.parametrize("service", ["contacts", "tickets", "identity"])
def test_a_replay_rebuilds_the_records(desk: Desk, service: str) -> None:
    """The rows of the records follow from the log alone, like every other row of a read model."""
    desk.call("tickets", "list_tickets", {}, desk.agent)
    desk.call("contacts", "list_persons", {}, desk.agent)
    desk.call("identity", "list_users", {}, desk.agent)
    desk.settle()
    result = replay(desk.cell.settings, service)
    rows = {one.table: one.rebuilt for one in result.tables}
    assert result.equal and rows["read_record"] > 0 < rows["read_subject"]


def a_read(persons: int = 1) -> Read:
    return Read(
        at=clock.now(), actor=new_id(), door=None, method="show_ticket", purpose="support",
        persons=[new_id() for _ in range(persons)], tickets=[],
    )  # fmt: skip


def recorded(cell: Cell, account: str) -> list[list[Read]]:
    """The reads of an account in tickets, by event, in the order of the log."""
    cell.sign("tickets")
    store = cell.store("tickets")
    events = [store.types.decode(one) for one in cell.logged(account, "tickets")]
    return [one.reads for one in events if isinstance(one, ReadsRecorded)]


def test_many_reads_are_few_events_in_their_order(cell: Cell) -> None:
    """The reads of each account are one event for each 500 at most, or fewer where they name many; all are there, in order."""
    buffer, (one, other) = ReadBuffer(cell.store("tickets")), (new_id(), new_id())
    noted = [a_read() for _ in range(READS_AT_ONCE + 1)]
    for read in noted:
        buffer.note(one, read)
    wide = [a_read(persons=read_buffer.NAMES_IN_AN_EVENT // 2) for _ in range(3)]
    for read in wide:
        buffer.note(other, read)
    buffer.flush()
    assert [noted[:-1], noted[-1:]] == recorded(cell, one)
    assert [[read] for read in wide] == recorded(cell, other)
    buffer.flush()
    assert 2 == len(recorded(cell, one))


def test_a_page_ends_where_an_entry_of_the_log_ends(desk: Desk) -> None:
    """Page by page each record is told once, in order, however few entries a page has."""
    buffer = buffer_of(desk.cell, "tickets")
    noted = [a_read() for _ in range(10)]
    for place, read in enumerate(noted):
        buffer.note(desk.account, read)
        if place % 2:
            buffer.flush()
    desk.settle()
    assert [one.at for one in noted] == [one.at for one in desk.reads("tickets", limit=2)]


def test_a_full_buffer_drops_with_a_counted_loss(cell: Cell, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """A buffer that can't be emptied holds so many names and no more; what is dropped is counted and logged, and room that was
    made is used again."""
    monkeypatch.setattr(read_buffer, "NAMES_AT_MOST", 10)
    buffer, account = ReadBuffer(cell.store("tickets")), new_id()
    noted = [a_read() for _ in range(8)]
    for read in noted:
        buffer.note(account, read)
    buffer.flush()
    said = "".join(capsys.readouterr())
    assert "reads were lost" in said and "3" in said
    later = a_read()
    buffer.note(account, later)
    buffer.flush()
    assert [noted[:5], [later]] == recorded(cell, account)


def test_reads_wait_while_the_database_is_away(cell: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    """What can't be written is written when the database is back, once, and before what came later; noting goes on."""
    buffer, account = ReadBuffer(cell.store("tickets")), new_id()
    first, later = a_read(), a_read()
    with closed_database(cell.settings, "tickets"):
        buffer.note(account, first)
        buffer.flush()
        buffer.note(account, later)
        assert "reads not recorded yet" in "".join(capsys.readouterr())
    buffer.flush()
    assert [[first], [later]] == recorded(cell, account)


def test_a_batch_whose_commit_was_not_answered_is_written_once(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the connection breaks after the commit, nobody knows whether it was done: the next try finds it."""
    buffer, account, read = ReadBuffer(cell.store("tickets")), new_id(), a_read()
    broken: list[str] = []

    def break_once(name: str) -> None:
        if name == "tickets.after-commit" and not broken:
            broken.append(name)
            raise ConnectionLost("the database went away")

    monkeypatch.setattr("shared.work.failpoint", break_once)
    buffer.note(account, read)
    buffer.flush()
    assert ["tickets.after-commit"] == broken
    assert [[read]] == recorded(cell, account)


@contextmanager
def closed_database(settings: Settings, service: str) -> Iterator[None]:
    """A database that takes nobody in, for the length of the block."""
    name = parse_dsn(settings.database_url(service, "owner"))["dbname"]
    with closing(superuser(settings, "lifecycle")) as connection:
        cursor = connection.cursor()
        cursor.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        try:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            yield
        finally:
            cursor.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
