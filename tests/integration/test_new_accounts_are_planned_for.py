"""A new account in a database full of others is served as fast as the first one was."""

from __future__ import annotations

import psycopg2
import pytest

from shared.settings import SERVICES, Settings


@pytest.mark.parametrize("service", SERVICES)
def test_the_planner_knows_nothing_of_accounts(fresh_databases: Settings, service: str) -> None:
    """No table gathers statistics of its accounts: a new one would be taken for empty, and its joins for free."""
    with psycopg2.connect(fresh_databases.database_url(service, "owner")) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.attrelid::regclass::text, a.attstattarget FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname IN ('lethe', 'keys') AND c.relkind = 'r' AND a.attname = 'account_id'"
        )
        targets = dict(cursor.fetchall())
    assert len(targets) > 5
    assert set(targets.values()) == {0}
