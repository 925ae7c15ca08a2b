"""Transactions on a real server: what is prepared, what a refusal leaves behind, how lost connections are made up for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from services.tickets.events import TicketOpened
from shared import database
from shared.database import Call, Database, Statement, Transaction
from shared.errors import LetheError
from shared.ids import new_id
from shared.settings import Settings
from shared.work import Store, Work
from tests.support.cell import Cell
from tests.support.databases import superuser
from tests.support.stores import closing


@pytest.fixture
def tickets(settings: Settings) -> Iterator[Database]:
    """One connection to the tickets' database, as its service."""
    made = Database(settings.database_url("tickets", "service"), 1)
    yield made
    made.close()


@pytest.fixture
def store(cell: Cell) -> Store:
    """The store of tickets."""
    return cell.store("tickets")


def fetch(tickets: Database, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Rows of one statement in a transaction of its own."""
    with tickets.transaction(new_id()) as transaction:
        return transaction.fetch(sql, values)


def opened(ticket: str) -> TicketOpened:
    """The first event of a ticket that holds nothing personal."""
    return TicketOpened(ticket_id=ticket, requester_id=None, channel="e-mail", subject=None)  # type: ignore[arg-type]


def test_a_statement_becomes_one_that_can_be_prepared() -> None:
    """Placeholders are numbered, casts stand where the value is given as well, and a doubled per cent sign is one."""
    form = database._prepared_form("name", "SELECT %s::uuid, x LIKE 'a%%' FROM t WHERE y = %s AND z = ANY (%s::bigint[])")
    assert form.prepare == "PREPARE name AS SELECT $1::uuid, x LIKE 'a%%' FROM t WHERE y = $2 AND z = ANY ($3::bigint[])"
    assert form.execute == "EXECUTE name(%s::uuid,%s,%s::bigint[])"


def test_values_come_back_as_they_were_given(tickets: Database) -> None:
    """Prepared statements take every kind of value that the services use."""
    values = (b"\x00'\\\xff", "it's 50 %", ["a", "b"], [b"\x01", b"\x02"], 2**62, None, True)
    sql = "SELECT %s::bytea, %s::text, %s::text[], %s::bytea[], %s::bigint, %s::text, %s::boolean, 'a' LIKE 'a%%'"
    for _ in range(2):
        (row,) = fetch(tickets, sql, values)
        assert (bytes(row[0]), row[1], row[2], [bytes(one) for one in row[3]], *row[4:]) == (*values, True)


def test_calls_that_stand_together_are_one_statement() -> None:
    """In their order, some at a time; a statement between two ends a group."""
    calls = [Call(f"f{number}(%s)", (number,)) for number in range(6)]
    between = Statement("SELECT 1")
    assert list(database._grouped([*calls[:2], between, *calls[2:]])) == [
        Statement("SELECT f0(%s), f1(%s)", (0, 1)),
        between,
        Statement("SELECT f2(%s), f3(%s), f4(%s), f5(%s)", (2, 3, 4, 5)),
    ]


@pytest.mark.parametrize("reads_before", [False, True])
def test_a_message_that_is_a_whole_transaction_is_one(tickets: Database, settings: Settings, reads_before: bool) -> None:
    """It is committed as a whole; refused, nothing of it is there, and the connection is as good as it was."""
    account = new_id()
    noted = Statement("INSERT INTO lethe.inbox VALUES (lethe.current_account(), 'whole', gen_random_uuid())")
    refused = Statement("SELECT 1 / %s::integer", (0,))
    for batch, left in (([noted, refused], 0), ([noted, noted], 2), ([refused, noted], 2)):
        with suppress(LetheError), tickets.transaction(account) as transaction:
            if reads_before:
                transaction.fetch("SELECT 1")
            transaction.send_and_commit(batch)
        assert fetch_as(tickets, account, "SELECT count(*) FROM lethe.inbox WHERE reaction = 'whole'") == [(left,)]


def fetch_as(tickets: Database, account: str, sql: str) -> list[tuple[Any, ...]]:
    """Rows that an account sees."""
    with tickets.transaction(account) as transaction:
        return transaction.fetch(sql)


def test_a_refused_statement_leaves_the_connection_as_good_as_it_was(tickets: Database) -> None:
    """A message may fail before, in or after the statements that it prepares: the same statements work afterwards."""
    good = Statement("SELECT %s::integer + 1", (1,))
    bad = Statement("SELECT 1 / %s::integer", (0,))
    for batch in ([good, bad], [bad, good], [Statement("SELECT 2 / %s::integer", (0,)), good]):
        with pytest.raises(LetheError, match="refused a statement"), tickets.transaction(new_id()) as transaction:
            transaction.send(batch)
        with tickets.transaction(new_id()) as transaction:
            assert transaction.fetch(good.sql, good.values) == [(2,)]
            assert transaction.fetch(bad.sql, (1,)) == [(1,)]


def test_a_value_that_can_not_be_sent_leaves_the_connection_as_good_as_it_was(tickets: Database) -> None:
    """Nothing of the message was sent then, and so nothing of it is prepared."""
    for number, value in enumerate(("with a NUL: \0", "half a pair: \ud800")):
        sql = f"SELECT %s::text AS never_sent_before_{number}"
        with pytest.raises(ValueError), tickets.transaction(new_id()) as transaction:
            transaction.fetch(sql, (value,))
        assert fetch(tickets, sql, ("sent",)) == [("sent",)]


def test_statements_beyond_the_most_are_sent_as_they_are(tickets: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of the server's processes is bounded."""
    monkeypatch.setattr(database, "PREPARED_AT_MOST", len(database._forms))
    assert fetch(tickets, "SELECT %s::integer AS not_prepared", (7,)) == [(7,)]
    prepared = fetch(tickets, "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s", ("%not_prepared%",))
    assert prepared == [(0,)]


def test_nothing_of_a_transaction_that_is_not_committed_stays(tickets: Database, settings: Settings) -> None:
    """Neither its rows nor its account: the connection is given back without an open transaction."""
    event = new_id()
    with tickets.transaction(new_id()) as transaction:
        transaction.send([Statement("INSERT INTO lethe.inbox VALUES (lethe.current_account(), 'test', %s)", (event,))])
    with superuser(settings, "tickets").cursor() as cursor:
        cursor.execute("SELECT count(*) FROM lethe.inbox WHERE event_id = %s", (event,))
        assert cursor.fetchone() == (0,)
    connection = tickets._pool.take()
    with connection.cursor() as cursor:
        cursor.execute("SELECT lethe.current_account(), now() = statement_timestamp()")
        assert cursor.fetchone() == (None, True)
    tickets._pool.give_back(connection)


def test_a_new_account_is_read_as_fast_as_one_that_the_statistics_know(tickets: Database, settings: Settings) -> None:
    """A plan made for an account of which the statistics know no row reads all its rows for each of its rows."""
    known, new = [new_id() for _ in range(4)], new_id()
    with superuser(settings, "tickets").cursor() as cursor:
        cursor.execute("CREATE TABLE lethe.numbered (account_id uuid, number integer, PRIMARY KEY (account_id, number))")
        cursor.execute("GRANT SELECT ON lethe.numbered TO PUBLIC")
        fill = "INSERT INTO lethe.numbered SELECT %s, generate_series(1, %s)"
        for account in known:
            cursor.execute(fill, (account, 3_000))
        cursor.execute("ANALYZE lethe.numbered")
        cursor.execute(fill, (new, 1_500))
    begun = time.monotonic()
    rows = fetch(
        tickets,
        "SELECT count(*) FROM numbered JOIN numbered AS b USING (account_id, number) JOIN numbered AS c"
        " USING (account_id, number) WHERE account_id = %s",
        (new,),
    )
    taken = time.monotonic() - begun
    with superuser(settings, "tickets").cursor() as cursor:
        cursor.execute("DROP TABLE lethe.numbered")
    assert rows == [(1_500,)]
    assert taken < 5.0


def test_who_has_the_password_gets_in_and_nobody_else(settings: Settings) -> None:
    """The server has a verifier of it only. That does not let anybody in, and neither does another password."""
    url = settings.database_url("tickets", "service")
    password = str(parse_dsn(url)["password"])
    psycopg2.connect(url).close()
    role = parse_dsn(url)["user"]
    with closing(superuser(settings, "tickets")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (role,))
        (kept,) = cursor.fetchone()
    assert kept.startswith("SCRAM-SHA-256$1:") and password not in kept
    for wrong in (kept, password[:-1], "0" * 48):
        with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
            psycopg2.connect(url, password=wrong)


def test_a_unit_of_work_is_done_although_its_connection_was_lost(store: Store, settings: Settings) -> None:
    """While it was idle, and between a read and the commit: nothing was committed, so it is decided anew."""
    account, looks = new_id(), []

    def decide(work: Work) -> str:
        looks.append(work.fetch("SELECT 1"))
        if len(looks) == 2:
            cut_off(settings)
        ticket = new_id()
        work.append(f"ticket/{ticket}", 0, [opened(ticket)])
        return ticket

    store.run(account, decide)
    cut_off(settings)
    ticket = store.run(account, decide)
    assert len(looks) == 3
    assert len(load(store, account, ticket)) == 1
    with store.work(account) as work:
        assert work.fetch_one("SELECT count(*) FROM lethe.event WHERE account_id = %s", (account,)) == (2,)


def cut_off(settings: Settings) -> None:
    """The server ends every connection of the service."""
    with superuser(settings, "tickets").cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename LIKE '%_service'"
        )


def load(store: Store, account: str, ticket: str) -> list[Any]:
    """A ticket's events."""
    with store.work(account) as work:
        return work.load(f"ticket/{ticket}")


def test_a_reaction_is_done_once_for_an_event(store: Store) -> None:
    """The inbox row goes in with the effects; a second time changes nothing and says so."""
    account, event, ticket = new_id(), new_id(), new_id()

    def decide(work: Work) -> None:
        work.append(f"ticket/{ticket}", 0, [opened(ticket)])

    assert store.react(account, "tickets.on_test", event, decide) is True
    assert store.react(account, "tickets.on_test", event, decide) is False
    assert store.react(account, "tickets.on_other", event, lambda work: None) is True
    assert len(load(store, account, ticket)) == 1


def test_work_that_may_be_repeated_is_done_once_although_the_answer_to_its_commit_was_lost(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit reaches the server, its answer never comes: the second try finds the inbox row, and nothing is doubled."""
    account, event, ticket, sent = new_id(), new_id(), new_id(), []
    send = Transaction.send_and_commit

    def lose_the_answer(self: Transaction, statements: Any) -> None:
        send(self, statements)
        sent.append(len(statements))
        if len(sent) == 1:
            raise psycopg2.OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(Transaction, "send_and_commit", lose_the_answer)

    def decide(work: Work) -> None:
        work.append(f"ticket/{ticket}", 0, [opened(ticket)])

    assert store.react(account, "tickets.on_test", event, decide) is False
    assert len(sent) == 1
    assert len(load(store, account, ticket)) == 1
