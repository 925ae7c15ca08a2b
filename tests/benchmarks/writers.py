"""The writers that appending is measured with, a process each: ours, a bare INSERT, and `eventsourcing` with its AES cipher.

`python -m tests.benchmarks.writers WHO SEED` gets ready and says so. For each line "START SECONDS" that it reads, it begins at
START (seconds since 1970, so that all begin at once), writes for SECONDS, and prints how many transactions it committed and the
seconds of CPU that it took. All write the same message, one event a transaction, into streams of 50.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

import psycopg2

from services.tickets.events import TYPES
from services.tickets.projections import project
from shared.ids import new_id
from shared.settings import Settings
from shared.work import Store, Work
from tests.benchmarks.payload import MessagePayload

EVENTS_IN_A_STREAM = 50
WARM_UP_TRANSACTIONS = 60
REACTION = "tickets.on_benchmark"


def ours(settings: Settings, seed: int) -> Callable[[], None]:
    """An event sealed, its read-model rows, its inbox row: all that a reaction of the product writes, without search tokens."""
    store = Store(TYPES, project, settings, pool_size=1)
    payload, account = MessagePayload(seed), os.environ["BENCH_ACCOUNT"]
    state: dict[str, Any] = {"version": EVENTS_IN_A_STREAM}

    def write() -> None:
        if state["version"] >= EVENTS_IN_A_STREAM:
            state.update(ticket=new_id(), person=new_id(), version=0)
        ticket, person, version = state["ticket"], state["person"], state["version"]
        event = payload.message(ticket, person) if version else payload.opened(ticket, person)

        def decide(work: Work) -> None:
            work.append(f"ticket/{ticket}", version, [event])

        store.react(account, REACTION, new_id(), decide)
        state["version"] += 1

    return write


def bare(settings: Settings, seed: int) -> Callable[[], None]:
    """A row of as many bytes as the event's own, in a table of one index, and the commit; nothing else."""
    connection = psycopg2.connect(settings.database_url("tickets", "service"))
    cursor = connection.cursor()
    row = os.urandom(int(os.environ["BENCH_ROW_BYTES"]))

    def write() -> None:
        cursor.execute("INSERT INTO bench.bare (content) VALUES (%s)", (row,))
        connection.commit()

    return write


def peer(settings: Settings, seed: int) -> Callable[[], None]:
    """`eventsourcing` on the same server: an aggregate's event with the same fields, enciphered, saved by its application.

    The aggregate stays in memory, as our writer keeps the version: neither reads before it writes.
    """
    from tests.benchmarks.eventsourcing_peer import application, new_ticket

    app = application(settings)
    messages = cycle(MessagePayload(seed).fields())
    state: dict[str, Any] = {"left": 0}

    def write() -> None:
        if state["left"] == 0:
            state.update(ticket=new_ticket(new_id()), left=EVENTS_IN_A_STREAM)
        else:
            state["ticket"].add_message(next(messages))
        app.save(state["ticket"])
        state["left"] -= 1

    return write


WRITERS: dict[str, Callable[[Settings, int], Callable[[], None]]] = {"ours": ours, "bare": bare, "eventsourcing": peer}


def main() -> None:
    """Writes when it is told to."""
    write = WRITERS[sys.argv[1]](Settings.load(), int(sys.argv[2]))
    for _ in range(WARM_UP_TRANSACTIONS):
        write()
    print("ready", flush=True)
    for line in sys.stdin:
        start, seconds = map(float, line.split())
        time.sleep(max(0.0, start - time.time()))
        written, cpu, until = 0, time.process_time(), time.monotonic() + seconds
        while time.monotonic() < until:
            write()
            written += 1
        print(written, time.process_time() - cpu, flush=True)


if __name__ == "__main__":
    main()
