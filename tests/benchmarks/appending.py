"""Append: events a second at 1 and 8 writers, against a bare INSERT of the same size and against `eventsourcing`."""

from __future__ import annotations

import base64
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import psycopg2
from psycopg2 import sql

from deploy.stack import Stack
from shared.ids import new_id
from shared.settings import Settings
from tests.benchmarks.figures import Figure, against

WARM_UP_SECONDS = 3.0


def prepare(stack: Stack) -> None:
    """The table of the bare INSERT and the peer's database; the environment says where they are."""
    status = stack.status()
    settings = Settings.load(stack.home)
    os.environ.update(
        LETHE_HOME=str(stack.home), BENCH_ADMIN_URL=status["admin_url"], BENCH_DATABASE="bench_peer", BENCH_ACCOUNT=new_id(),
        BENCH_ROW_BYTES="2400", BENCH_CIPHER_KEY=base64.b64encode(os.urandom(32)).decode(),
    )  # fmt: skip
    tickets = psycopg2.connect(settings.database_url("tickets", "owner"))
    role = psycopg2.extensions.parse_dsn(settings.database_url("tickets", "service"))["user"]
    with tickets, tickets.cursor() as cursor:
        cursor.execute("CREATE SCHEMA bench")
        cursor.execute("CREATE TABLE bench.bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, content bytea NOT NULL)")
        cursor.execute("ALTER TABLE bench.bare ALTER COLUMN content SET STORAGE EXTERNAL")
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA bench TO {}").format(sql.Identifier(role)))
        cursor.execute(sql.SQL("GRANT INSERT ON bench.bare TO {}").format(sql.Identifier(role)))
    tickets.close()
    server = psycopg2.connect(status["admin_url"])
    server.autocommit = True
    server.cursor().execute("CREATE DATABASE bench_peer")
    server.close()


def row_bytes(settings: Settings) -> int:
    """The bytes that one of our events takes in the columns of its event row and its read-model row."""
    connection = psycopg2.connect(settings.database_url("tickets", "auditor"))
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT avg(octet_length(e.envelope) + octet_length(e.salt) + octet_length(e.sealed[1])),"
            " avg(octet_length(m.content))"
            " FROM lethe.event e JOIN lethe.message m ON m.event_id = e.event_id"
        )
        event, row = cursor.fetchone() or (0, 0)
    connection.close()
    return int(event) + int(row)


def rate(who: str, writers: int, seconds: float) -> float:
    """Transactions a second of some writers, each a process of its own that begin at once."""
    start = time.time() + WARM_UP_SECONDS
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.writers", who, str(start), str(seconds)],
            stdout=subprocess.PIPE,
        )
        for _ in range(writers)
    ]
    written = 0
    for process in running:
        out, _ = process.communicate(timeout=seconds + 60)
        if process.returncode != 0:
            raise RuntimeError(f"a writer of {who!r} failed")
        written += int(out)
    return written / seconds


def measure(stack: Stack, *, rounds: int, seconds: float, notes: list[str]) -> list[Figure]:
    """The figures of appending. Ours and the peers take turns; the medians of the rounds are compared."""
    prepare(stack)
    settings = Settings.load(stack.home)
    rate("ours", 1, 1.0)
    rate("eventsourcing", 1, 1.0)
    os.environ["CREATE_TABLE"] = "no"  # the peer's first writer made its tables; eight at once would collide at it
    os.environ["BENCH_ROW_BYTES"] = str(row_bytes(settings))
    notes.append(
        f"append: {os.environ['BENCH_ROW_BYTES']} bytes a transaction (envelope, salt, sealed part, and the sealed part again"
        f" in the read model); the bare INSERT writes as many into one table; {_server(settings)}; medians of {rounds}"
        f" rounds of {seconds:g} s in turns"
    )
    figures = []
    for writers in (1, 8):
        rates: dict[str, list[float]] = {"ours": [], "bare": [], "eventsourcing": []}
        for _ in range(rounds):
            for who, found in rates.items():
                found.append(rate(who, writers, seconds))
        ours, bare, peer = (statistics.median(rates[who]) for who in rates)
        word = "writer" if writers == 1 else "writers"
        figures.append(against(f"append, {writers} {word}", ours, "events/s", "bare INSERT", bare, 0.5))
        name = f"append, {writers} {word}, against eventsourcing"
        figures.append(
            against(name, ours, "events/s", "eventsourcing + AES", peer, 4)
            if writers == 8
            else _without_target(name, ours, peer)
        )
    return figures


def _without_target(name: str, ours: float, peer: float) -> Figure:
    return Figure(
        figure=name, value=round(ours, 3), unit="events/s", peer="eventsourcing + AES", peer_value=round(peer, 3),
        ratio=round(ours / peer, 3),
    )  # fmt: skip


def _server(settings: Settings) -> str:
    connection = psycopg2.connect(settings.database_url("tickets", "auditor"))
    names: Sequence[str] = ("server_version", "fsync", "synchronous_commit", "shared_buffers", "wal_level", "max_connections")
    with connection, connection.cursor() as cursor:
        shown = []
        for name in names:
            cursor.execute(f"SHOW {name}")
            shown.append(f"{name} {(cursor.fetchone() or ('?',))[0]}")
    connection.close()
    return "the same server for all: " + ", ".join(shown)
