"""Append: events a second at 1 and 8 writers, against a bare INSERT of the same size and against `eventsourcing`."""

from __future__ import annotations

import base64
import os
import statistics
from collections.abc import Mapping
from contextlib import ExitStack

import psycopg2
from psycopg2 import sql

from deploy.stack import Stack
from shared.ids import new_id
from shared.settings import Settings
from tests.benchmarks.crew import Crew, crew
from tests.benchmarks.figures import Figure, against
from tests.benchmarks.processes import cpu_by_process
from tests.benchmarks.server import settings_shown

KINDS = ("ours", "bare", "eventsourcing")


def prepare(stack: Stack) -> None:
    """The table of the bare INSERT and the peer's database; the environment tells the writers where they are."""
    status = stack.status()
    settings = Settings.load(stack.home)
    os.environ.update(
        LETHE_HOME=str(stack.home), BENCH_ADMIN_URL=status["admin_url"], BENCH_DATABASE="bench_peer", BENCH_ACCOUNT=new_id(),
        BENCH_CIPHER_KEY=base64.b64encode(os.urandom(32)).decode(),
    )  # fmt: skip
    tickets = psycopg2.connect(settings.database_url("tickets", "owner"))
    role = psycopg2.extensions.parse_dsn(settings.database_url("tickets", "service"))["user"]
    with tickets, tickets.cursor() as cursor:
        cursor.execute("CREATE SCHEMA bench")
        cursor.execute("CREATE TABLE bench.bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, content bytea NOT NULL)")
        # stored as our events are: in one piece, and without trying to compress what is random
        cursor.execute("ALTER TABLE bench.bare ALTER COLUMN content SET STORAGE EXTERNAL, SET (toast_tuple_target = 4080)")
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA bench TO {}").format(sql.Identifier(role)))
        cursor.execute(sql.SQL("GRANT INSERT ON bench.bare TO {}").format(sql.Identifier(role)))
    tickets.close()
    server = psycopg2.connect(status["admin_url"])
    server.autocommit = True
    server.cursor().execute("CREATE DATABASE bench_peer")
    server.close()


def row_bytes(settings: Settings) -> tuple[int, int]:
    """The bytes of one of our events in its row, and of its row in the read model."""
    connection = psycopg2.connect(settings.database_url("tickets", "auditor"))
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT avg(pg_column_size(e.*)), avg(pg_column_size(m.*)) FROM lethe.event e JOIN lethe.message m USING (event_id)"
            " WHERE e.account_id = %s",
            (os.environ["BENCH_ACCOUNT"],),
        )
        event, row = cursor.fetchone() or (0, 0)
    connection.close()
    return int(event), int(row)


def measure(stack: Stack, *, rounds: int, seconds: float, notes: list[str]) -> list[Figure]:
    """The figures of appending. Ours and the peers write in turns, for short slices; the medians are compared.

    The relay rests meanwhile: it would go on with our events while the peers are measured.
    """
    prepare(stack)
    settings = Settings.load(stack.home)
    stack.stop("relay-tickets")
    for kind in ("ours", "eventsourcing"):
        with crew(kind, 1):
            pass
    os.environ["CREATE_TABLE"] = "no"  # the peer's first writer made its tables; eight at once would collide at it
    event_bytes, row = row_bytes(settings)
    os.environ["BENCH_ROW_BYTES"] = str(event_bytes)
    notes.append(
        f"append: an event's row has {event_bytes:,} bytes, and so has the bare INSERT's; ours writes {row:,} more for the read"
        " model, changes the ticket's row, adds the inbox row and holds a person and a key."
        f" {settings_shown(settings)}. Medians of {rounds} rounds of {seconds:g} s in turns."
        f" The peer's driver: psycopg {_driver()}"
    )
    figures: list[Figure] = []
    for writers in (1, 8):
        figures += _compare(stack, writers, rounds, seconds, notes)
    stack.start("relay-tickets")
    return figures


def _compare(stack: Stack, writers: int, rounds: int, seconds: float, notes: list[str]) -> list[Figure]:
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    costs: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    with ExitStack() as later:
        crews = {kind: later.enter_context(crew(kind, writers)) for kind in KINDS}
        for _ in range(rounds):
            for kind, each in crews.items():
                rate, cost = _slice(stack, each, seconds)
                rates[kind].append(rate)
                costs[kind].append(cost)
    ours, bare, peer = (statistics.median(rates[kind]) for kind in KINDS)
    word = "1 writer" if writers == 1 else f"{writers} writers"
    notes.append(f"append, {word}, microseconds of CPU for an event, writer + server: {_shown(costs)}")
    of_peer = 4 if writers == 8 else None
    return [
        against(f"append, {word}", ours, "events/s", "bare INSERT", bare, 0.5),
        against(f"append, {word}, against eventsourcing", ours, "events/s", "eventsourcing + AES", peer, of_peer),
    ]


def _slice(stack: Stack, writers: Crew, seconds: float) -> tuple[float, tuple[float, float]]:
    """Events a second, and (writer, server) microseconds of CPU for each."""
    before = cpu_by_process(stack).get("postgres", 0.0)
    writers.begin(seconds)
    done = writers.end()
    server = cpu_by_process(stack).get("postgres", 0.0) - before
    written = max(1, done.written)
    return done.written / seconds, (1e6 * done.cpu_seconds / written, 1e6 * server / written)


def _shown(costs: Mapping[str, list[tuple[float, float]]]) -> str:
    def median(kind: str, which: int) -> int:
        return round(statistics.median(cost[which] for cost in costs[kind]))

    return ", ".join(f"{kind} {median(kind, 0)} + {median(kind, 1)}" for kind in costs)


def _driver() -> str:
    import psycopg

    return f"{psycopg.__version__} ({psycopg.pq.__impl__})"
