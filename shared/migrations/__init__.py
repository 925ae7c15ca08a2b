"""Brings a service's database to its newest schema (Alembic), as the owner of the database.

Each service keeps its own revisions in `services/<name>/migrations/`; the environment they run in is here, once. The first
revision of each runs what every service has (`shared/*.sql`) and creates the service's own tables. Until the first release it
is the only one, and is changed in place (decision 13).
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection

_ROOT = Path(__file__).resolve().parents[2]
ROLES = ("owner", "service", "relay", "eraser", "auditor")


def upgrade(owner_url: str, service: str, revision: str = "head") -> None:
    """Upgrades one database. `owner_url` is a libpq URL of the owner role."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("version_locations", str(_ROOT / "services" / service / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["service"] = service
    engine = sa.create_engine(owner_url.replace("postgresql://", "postgresql+psycopg2://", 1), poolclass=sa.NullPool)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def roles_of(connection: Connection) -> dict[str, str]:
    """The names of a database's roles: `<database>_<role>`."""
    database = connection.execute(sa.text("SELECT current_database()")).scalar_one()
    return {role: f"{database}_{role}" for role in ROLES}


def create_base(connection: Connection) -> None:
    """What every service's database has: log, relay, inbox, keys, roles and row-level security, and what is known of actors."""
    run_script(connection, "shared/schema.sql")
    run_script(connection, "shared/actor_cutoffs.sql")
    _end_with_accounts(connection.connection.cursor(), roles_of(connection)["eraser"])


def run_script(connection: Connection, name: str) -> None:
    """Runs a file of SQL, named by its path in the project, with the names of the database's roles in it."""
    script = (_ROOT / name).read_text()
    for role, role_name in roles_of(connection).items():
        script = script.replace("{" + role + "}", f'"{role_name}"')
    connection.connection.cursor().execute(script)


def create_outgoing_mail(connection: Connection) -> None:
    """The queue of a service that sends mail."""
    run_script(connection, "shared/outgoing_mail.sql")
    _end_with_accounts(connection.connection.cursor(), roles_of(connection)["eraser"])
    _plan_for_large_accounts(connection.connection.cursor())


def create_tables(connection: Connection, service: str) -> None:
    """Creates the tables of `services/<service>/tables.py` with row-level security and the grants of a read model.

    A table marked `by_function` is reached by functions only, which the revision makes: nobody is granted anything."""
    metadata: sa.MetaData = importlib.import_module(f"services.{service}.tables").metadata
    metadata.create_all(connection)
    names = roles_of(connection)
    cursor = connection.connection.cursor()
    for table in metadata.sorted_tables:
        if table.info.get("by_function"):
            continue
        where = f'"{table.schema}"."{table.name}"'
        cursor.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON {where} TO "{names["service"]}"')
        cursor.execute(f'GRANT SELECT ON {where} TO "{names["auditor"]}"')
        if table.info.get("cell_wide"):
            continue
        cursor.execute(f"ALTER TABLE {where} ENABLE ROW LEVEL SECURITY")
        cursor.execute(f"ALTER TABLE {where} FORCE ROW LEVEL SECURITY")
        cursor.execute(
            f'CREATE POLICY own_account ON {where} TO "{names["service"]}" USING (account_id = lethe.current_account())'
        )
        cursor.execute(f'CREATE POLICY all_rows ON {where} FOR SELECT TO "{names["auditor"]}" USING (true)')
    _end_with_accounts(cursor, names["eraser"])
    _plan_for_large_accounts(cursor)


def _end_with_accounts(cursor: Any, eraser: str) -> None:
    """Lets the eraser see and remove the rows of an account that is gone, and of no other, in all tables that there are so far
    and that keep their rows to their account. Events and states of accounts have rules of their own (`shared/schema.sql`)."""
    cursor.execute(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('lethe', 'keys') AND c.relkind = 'r' AND c.relrowsecurity"
        " AND c.relname NOT IN ('event', 'account_state')"
        " AND NOT EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'gone_account')"
    )
    for (table,) in cursor.fetchall():
        cursor.execute(
            f'CREATE POLICY gone_account ON {table} TO "{eraser}"'
            " USING (account_id = lethe.current_account() AND lethe.is_gone(account_id))"
        )
        cursor.execute(f'GRANT SELECT, DELETE ON {table} TO "{eraser}"')


def _plan_for_large_accounts(cursor: Any) -> None:
    """Lets the planner take every account for the largest one, in all tables that there are so far.

    Plans are made once for all accounts. With statistics of its own, an account that came after the last ANALYZE is believed
    to have no rows; without any, to have one or two. Either way the planner finds reading all rows of the account as cheap as
    looking one up by its whole key, and does so once for each row of a join: seconds for a look-up among a few hundred people.
    """
    cursor.execute(
        "SELECT a.attrelid::regclass::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('lethe', 'keys') AND c.relkind = 'r' AND a.attname = 'account_id'"
    )
    for (table,) in cursor.fetchall():
        cursor.execute(f"ALTER TABLE {table} ALTER COLUMN account_id SET STATISTICS 1")
        cursor.execute(f"ALTER TABLE {table} ALTER COLUMN account_id SET (n_distinct = 1)")
