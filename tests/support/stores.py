"""Each kind of store of a stack made to write down what it can, and a control planted in each of them.

PostgreSQL is made to log all statements and to spill into temporary files; a queue takes a copy of everything that passes
through the broker and keeps it on disk. What is planted is found by a scan, or the scan is worth nothing.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import amqp
import psycopg2
from psycopg2 import sql

from shared.broker_url import connection_parameters
from shared.bus import EVENTS_EXCHANGE
from shared.rpc_wire import RPC_EXCHANGE
from shared.settings import SERVICES, Settings
from tests.support.copies import byte_columns, dump, flat
from tests.support.databases import superuser

TALKATIVE = {
    "log_statement": "all", "log_min_error_statement": "error", "log_min_messages": "notice", "log_error_verbosity": "verbose",
    "log_parameter_max_length": "-1", "log_parameter_max_length_on_error": "-1", "log_temp_files": "0", "work_mem": "64kB",
}  # fmt: skip
TAP = "test.tap"


@contextmanager
def talkative_database(settings: Settings) -> Iterator[None]:
    """PostgreSQL writes all it can into its log, and sorts on disk, for the length of the block."""
    connection = superuser(settings, "tickets")
    cursor = connection.cursor()
    try:
        for name, value in TALKATIVE.items():
            cursor.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        cursor.execute("SELECT pg_reload_conf()")
        yield
    finally:
        cursor.execute("ALTER SYSTEM RESET ALL")
        cursor.execute("SELECT pg_reload_conf()")
        connection.close()


@contextmanager
def tapped_broker(settings: Settings) -> Iterator[None]:
    """Every call, answer and event is kept on disk, in a queue that nobody reads, for the length of the block."""
    with broker_channel(settings) as channel:
        channel.queue_declare(TAP, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        for exchange in (RPC_EXCHANGE, EVENTS_EXCHANGE):
            channel.queue_bind(TAP, exchange, routing_key="#")
    try:
        yield
    finally:
        with broker_channel(settings) as channel:
            channel.queue_delete(TAP)


@contextmanager
def broker_channel(settings: Settings) -> Iterator[Any]:
    """A channel on a connection of its own, to be used at once: nobody sends heartbeats on it."""
    with amqp.Connection(**connection_parameters(settings.amqp_url), confirm_publish=True) as connection:
        yield connection.channel()


def waiting(settings: Settings, queue: str) -> int:
    """How many messages wait in a queue."""
    with broker_channel(settings) as channel:
        return int(channel.queue_declare(queue, passive=True).message_count)


@contextmanager
def spilled_tables(settings: Settings, account: str) -> Iterator[None]:
    """Every table of every service, sorted as the service sees it for the account, on disk, and held there."""
    with ExitStack() as held:
        for service in SERVICES:
            connection = held.enter_context(closing(psycopg2.connect(settings.database_url(service, "service"))))
            cursor = connection.cursor()
            cursor.execute("SELECT set_config('lethe.account', %s, false)", (account,))
            for number, (schema, table) in enumerate(readable_tables(cursor)):
                cursor.execute(
                    sql.SQL("DECLARE {} CURSOR FOR SELECT * FROM {} AS one ORDER BY md5(one::text)").format(
                        sql.Identifier(f"held_{number}"), sql.Identifier(schema, table)
                    )
                )
                cursor.execute(sql.SQL("FETCH 1 FROM {}").format(sql.Identifier(f"held_{number}")))
        yield


@contextmanager
def closing(connection: Any) -> Iterator[Any]:
    """A connection for the length of the block. (As a context manager of its own it would be a transaction.)"""
    try:
        yield connection
    finally:
        connection.close()


def readable_tables(cursor: Any) -> list[tuple[str, str]]:
    """The tables that a role may read."""
    cursor.execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
        " AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1, 2"
    )
    return [(schema, table) for schema, table in cursor.fetchall()]


def columns_of_bytes(settings: Settings, service: str) -> bytes:
    """All values of all columns of bytes of a service, decompressed, one after the other."""
    connection = superuser(settings, service)
    cursor = connection.cursor()
    found: list[bytes] = []
    for table, column in byte_columns(cursor, of_accounts_only=False):
        cursor.execute(sql.SQL("SELECT {} FROM {}").format(sql.Identifier(column), sql.Identifier(*table.split("."))))
        found += [one for (value,) in cursor.fetchall() for one in flat(value)]
    connection.close()
    return b"\n".join(found)


def write_out(settings: Settings) -> None:
    """Makes PostgreSQL write its memory to its files."""
    connection = superuser(settings, "tickets")
    connection.cursor().execute("CHECKPOINT")
    connection.close()


@contextmanager
def planted_controls(settings: Settings) -> Iterator[dict[str, str]]:
    """A word of its own in each kind of store, by the path (below the home) in which it has to be found; and under "dump" and
    "columns" one that only a dump, or the decompressed columns, show."""
    home, words = settings.home, _Words()
    connection = superuser(settings, "tickets")
    cursor = connection.cursor()
    files = []
    with ExitStack() as held:
        cursor.execute("CREATE SCHEMA planted")
        held.callback(cursor.execute, "DROP SCHEMA planted CASCADE")
        cursor.execute("CREATE TABLE planted.control (plain text, squeezed text, sealed bytea)")
        cursor.execute(
            "INSERT INTO planted.control VALUES (%s, repeat(%s, 5000), %s)",
            (words.of("postgres/data/base"), words.of("dump"), base64.b64encode(words.of("columns").encode())),
        )
        cursor.execute("CHECKPOINT")
        cursor.execute("SELECT pg_logical_emit_message(true, 'control', %s)", (words.of("postgres/data/pg_wal"),))
        cursor.execute("SELECT 1 AS answer WHERE %s <> ''", (words.of("logs/postgres.log"),))
        spilling = held.enter_context(closing(superuser(settings, "tickets")))
        spilling.autocommit = False
        with spilling.cursor() as sorting:
            sorting.execute(
                "DECLARE spilled CURSOR FOR SELECT %s || one FROM generate_series(1, 20000) AS one ORDER BY md5(one::text)",
                (words.of("postgres/data/base/pgsql_tmp"),),
            )
            sorting.execute("FETCH 1 FROM spilled")
        with broker_channel(settings) as channel:
            message = amqp.Message(words.of("rabbitmq").encode(), delivery_mode=2)
            channel.basic_publish_confirm(message, exchange="", routing_key=TAP)
        for place in ("blobs/tickets", "tiles/tickets", "logs/tickets-0.log", "run", "root-keys/tickets"):
            path = home / place if place.endswith(".log") else home / place / "planted"
            existed = path.exists()
            with path.open("ab") as file:
                file.write(words.of(place).encode() + b"\n")
            files += [] if existed else [path]
        for path in files:
            held.callback(path.unlink)
        yield words.planted
    connection.close()


class _Words:
    """Makes addresses that stand nowhere else."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {}

    def of(self, place: str) -> str:
        """The word for a place."""
        return self.planted.setdefault(place, f"control.{secrets.token_hex(6)}@planted.example")


def dumped(settings: Settings, folder: Path) -> None:
    """A plain dump of every service's database, keys included, into a folder."""
    for service in SERVICES:
        dump(settings, service, folder / f"{service}.sql")


def rows_of(settings: Settings, account: str) -> dict[str, list[str]]:
    """Every row of an account, of every table of every service."""
    found: dict[str, list[str]] = {}
    for service in SERVICES:
        with closing(superuser(settings, service)) as connection:
            cursor = connection.cursor()
            for schema, table in readable_tables(cursor):
                cursor.execute(
                    "SELECT 1 FROM information_schema.columns WHERE (table_schema, table_name, column_name) = (%s, %s, %s)",
                    (schema, table, "account_id"),
                )
                if cursor.fetchone():
                    name = sql.Identifier(schema, table)
                    cursor.execute(sql.SQL("SELECT one::text FROM {} one WHERE account_id = %s").format(name), (account,))
                    found[f"{service} {schema}.{table}"] = sorted(row for (row,) in cursor.fetchall())
    return found
