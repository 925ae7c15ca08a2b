"""The writers that appending is measured with, a process each: ours, a bare INSERT, and `eventsourcing` with its AES cipher.

`python -m tests.benchmarks.writers WHO START SECONDS`: begins at START (seconds since 1970, so that all begin at once), writes
for SECONDS, prints how many transactions it committed. All write the same message, one event a transaction.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg2

from services.tickets.events import TYPES
from services.tickets.projections import project
from shared.ids import new_id
from shared.settings import Settings
from shared.work import Store, Work
from tests.benchmarks.payload import MessagePayload, as_fields

EVENTS_IN_A_STREAM = 50


def ours(settings: Settings) -> Callable[[], None]:
    """An event sealed, its read-model rows, its inbox row: all that a reaction of the product writes, without search tokens."""
    store = Store(TYPES, project, settings, pool_size=1)
    payload, account = MessagePayload(os.getpid()), os.environ["BENCH_ACCOUNT"]
    state: dict[str, Any] = {"version": EVENTS_IN_A_STREAM}

    def write() -> None:
        if state["version"] >= EVENTS_IN_A_STREAM:
            state.update(ticket=new_id(), person=new_id(), version=0)

        def decide(work: Work) -> None:
            ticket, person, version = state["ticket"], state["person"], state["version"]
            event = payload.message(ticket, person) if version else payload.opened(ticket, person)
            work.append(f"ticket/{ticket}", version, [event])

        store.react(account, "bench", new_id(), decide)
        state["version"] += 1

    return write


def bare(settings: Settings) -> Callable[[], None]:
    """The same number of bytes in one row of one table, nothing else: what the database can do at best."""
    connection = psycopg2.connect(settings.database_url("tickets", "service"))
    cursor = connection.cursor()
    size = int(os.environ["BENCH_ROW_BYTES"])
    row = os.urandom(size)

    def write() -> None:
        cursor.execute("INSERT INTO bench.bare (content) VALUES (%s)", (row,))
        connection.commit()

    return write


def peer(settings: Settings) -> Callable[[], None]:
    """`eventsourcing` on the same PostgreSQL: an aggregate's event with the same fields, enciphered, saved."""
    from tests.benchmarks.eventsourcing_peer import application, new_ticket

    app = application(settings)
    payload = MessagePayload(os.getpid())
    state: dict[str, Any] = {"left": 0}

    def write() -> None:
        if state["left"] == 0:
            state.update(ticket=new_ticket(new_id()), left=EVENTS_IN_A_STREAM)
        else:
            message = payload.message(new_id(), new_id())
            state["ticket"].add_message(msgspec.json.encode(as_fields(message)).decode())
        app.save(state["ticket"])
        state["left"] -= 1

    return write


WRITERS: dict[str, Callable[[Settings], Callable[[], None]]] = {"ours": ours, "bare": bare, "eventsourcing": peer}


def main() -> None:
    """Writes until the time is over."""
    who, start, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    write = WRITERS[who](Settings.load())
    write()
    time.sleep(max(0.0, start - time.time()))
    written, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        write()
        written += 1
    print(written)


if __name__ == "__main__":
    main()
