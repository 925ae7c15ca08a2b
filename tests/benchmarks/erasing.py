"""Erasure: from the request to the certificate, of 100 people; and again with a log ten times as long."""

from __future__ import annotations

import time

import psycopg2

from cli.session import Session
from deploy.stack import Stack
from services.contacts.commands import ListPersons, PersonPage
from services.erasure.commands import ErasureView, RequestedErasure, RequestErasure, ShowErasure
from services.tickets.events import TYPES
from services.tickets.projections import project
from shared.ids import new_id
from shared.settings import Settings
from shared.work import Store, Work
from tests.benchmarks.figures import Figure, below, percentile
from tests.benchmarks.payload import MessagePayload

EVENTS_AT_ONCE = 50


def measure(stack: Stack, session: Session, *, people: int, times: int, notes: list[str]) -> list[Figure]:
    """`people` are erased, half of them before the log of tickets grows to `times` its length and half after."""
    settings = Settings.load(stack.home)
    everybody = _people(session, 2 * people)
    before = [_erase(session, person) for person in everybody[::2]]
    length = _length(settings)
    _grow(settings, (times - 1) * length)
    _await_relay(settings)
    after = [_erase(session, person) for person in everybody[1::2]]
    notes.append(
        f"erasure: {len(before)} people with a log of {length:,} events, then {len(after)} others with {_length(settings):,};"
        " from the request's event to the certificate's, by the service's clock. The peer in privacy engines needs 1.3 s"
    )
    p50, later = percentile(before, 0.5), percentile(after, 0.5)
    return [
        below("erasure, request to certificate, p50", p50, "s", 0.5),
        Figure(figure="erasure, request to certificate, p99", value=round(percentile(before, 0.99), 3), unit="s"),
        Figure(
            figure=f"erasure p50 with a log {times} times as long", value=round(later, 3), unit="s", peer="before",
            peer_value=round(p50, 3), ratio=round(later / p50, 3), target="≤ 1.2 × before", holds=later <= 1.2 * p50,
        ),
    ]  # fmt: skip


def _people(session: Session, most: int) -> list[str]:
    found: list[str] = []
    after = None
    while len(found) < most:
        page = session.query("contacts", "list_persons", ListPersons(after=after, limit=200), PersonPage)
        found += [one.person_id for one in page.persons if one.origin == "correspondent"]
        after = page.next_after
        if after is None:
            break
    return found[:most]


def _erase(session: Session, person: str) -> float:
    command = RequestErasure(who=person, reason="measured")
    request = session.call("erasure", "request_erasure", command, result_type=RequestedErasure).request_id
    while True:
        view = session.query("erasure", "show_erasure", ShowErasure(request_id=request), ErasureView)
        if view.completed_at is not None:
            return (view.completed_at - view.requested_at).total_seconds()
        time.sleep(0.01)


def _length(settings: Settings) -> int:
    connection = psycopg2.connect(settings.database_url("tickets", "auditor"))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(index) + 1, 0) FROM lethe.log")
        (length,) = cursor.fetchone() or (0,)
    connection.close()
    return int(length)


def _grow(settings: Settings, events: int) -> None:
    store, payload = Store(TYPES, project, settings, pool_size=1), MessagePayload(2)
    account, written = new_id(), 0
    while written < events:
        ticket, person = new_id(), new_id()

        def decide(work: Work) -> None:
            messages = [payload.message(ticket, person) for _ in range(EVENTS_AT_ONCE - 1)]  # noqa: B023
            work.append(f"ticket/{ticket}", 0, [payload.opened(ticket, person), *messages])  # noqa: B023

        store.run(account, decide)
        written += EVENTS_AT_ONCE


def _await_relay(settings: Settings) -> None:
    connection = psycopg2.connect(settings.database_url("tickets", "auditor"))
    connection.autocommit = True
    cursor = connection.cursor()
    while True:
        cursor.execute(
            "SELECT (SELECT count(*) FROM lethe.event) - (SELECT count(*) FROM lethe.log),"
            " (SELECT count(*) FROM lethe.log) - (SELECT published FROM lethe.relay_cursor)"
        )
        if cursor.fetchone() == (0, 0):
            connection.close()
            return
        time.sleep(0.2)
