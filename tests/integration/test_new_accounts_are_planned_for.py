"""A new account in a database full of others is served as fast as the first one was, and one that grows as well."""

from __future__ import annotations

import secrets
import time

import psycopg2
import pytest

from shared.ids import new_id
from shared.settings import SERVICES, Settings
from shared.tokens import service_actor
from tests.support.cell import Cell
from tests.support.databases import superuser

ROWS_READ = "SELECT sum(seq_tup_read + COALESCE(idx_tup_fetch, 0)) FROM pg_stat_user_tables"


@pytest.mark.parametrize("service", SERVICES)
def test_the_planner_takes_every_account_for_the_largest(fresh_databases: Settings, service: str) -> None:
    """No table lets the planner believe that an account has few rows: it would read them all for each row of a join."""
    with psycopg2.connect(fresh_databases.database_url(service, "owner")) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.attrelid::regclass::text, a.attstattarget, a.attoptions::text FROM pg_attribute a"
            " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname IN ('lethe', 'keys') AND c.relkind = 'r' AND a.attname = 'account_id'"
        )
        targets = {table: found for table, *found in cursor.fetchall()}
    assert len(targets) > 5
    assert [[1, "{n_distinct=1}"]] * len(targets) == list(targets.values())


def test_a_plan_that_was_made_for_few_people_fits_many(settings: Settings) -> None:
    """Statistics are of twenty people, and so are the plans; then an account gets six hundred, and is looked into. What is read
    for that grows with the people and not with their square."""
    small, large = new_id(), new_id()
    server = superuser(settings, "contacts")
    with server.cursor() as cursor:
        address = take_in(Cell(settings), small, 20)
        cursor.execute("ANALYZE")
        cell = Cell(settings)
        look_up(cell, small, address)
        for _ in range(4):
            address = take_in(cell, large, 150)
        look_up(cell, large, address)
        time.sleep(1.1)  # a session counts what it read when its next work is done, once a second
        look_up(cell, small, address="nobody@example.org")
        time.sleep(0.1)
        cursor.execute(ROWS_READ)
        assert 600 < cursor.fetchone()[0] < 300_000
    server.close()


def take_in(cell: Cell, account: str, people: int) -> str:
    """Takes in a text of each of so many people; the address of one."""
    addresses = [f"p{secrets.token_hex(6)}@example.org" for _ in range(people)]
    texts = [
        {
            "message_key": address, "content_digest": secrets.token_hex(32), "earliest": None,
            "identifiers": [
                {"kind": "address", "address": address, "role": "sender", "name": "Ann Other", "spellings": [f"<{address}>"]}
            ],
        }
        for address in addresses
    ]  # fmt: skip
    cell.call(account, "contacts", "take_in", {"texts": texts}, service_actor("tickets"))
    return addresses[0]


def look_up(cell: Cell, account: str, address: str) -> None:
    """What an agent asks by an address."""
    cell.call(account, "contacts", "list_persons", {"query": address})

