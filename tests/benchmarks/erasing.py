"""Erasure: from the request to the certificate, of 100 people; and of 100 others when the logs are ten times as long."""

from __future__ import annotations

import time

from cli.session import Session
from deploy.stack import Stack
from services.contacts import events as contacts_events
from services.contacts import projections as contacts_projections
from services.contacts.commands import ListPersons, PersonPage
from services.contacts.events import PersonAdded, PersonNamed
from services.erasure.commands import ErasureView, RequestedErasure, RequestErasure, ShowErasure
from services.tickets import events as tickets_events
from services.tickets import projections as tickets_projections
from shared.ids import new_id
from shared.settings import Settings
from shared.work import Store, Work
from tests.benchmarks.figures import Figure, below, percentile
from tests.benchmarks.log import await_relay, log_length
from tests.benchmarks.payload import MessagePayload

EVENTS_AT_ONCE = 50
LONGEST_SECONDS = 60.0
PEER_SECONDS = 1.3
"""What the peer among the privacy engines needs for one erasure, median, on such a machine."""


def measure(stack: Stack, session: Session, *, people: int, times: int, notes: list[str]) -> list[Figure]:
    """Erases `people` people, makes the logs of contacts and tickets `times` as long, and erases as many others."""
    settings = Settings.load(stack.home)
    everybody = _people(session, 2 * people + 2)
    for person in everybody[:2]:  # warm up
        _erase(session, person)
    before = [_erase(session, person) for person in everybody[2::2]]
    lengths = {service: log_length(settings, service) for service in ("contacts", "tickets")}
    grow_contacts(settings, (times - 1) * lengths["contacts"])
    grow_tickets(settings, (times - 1) * lengths["tickets"])
    for service in lengths:
        await_relay(settings, service)
    after = [_erase(session, person) for person in everybody[3::2]]
    grown = ", ".join(f"{service} {length:,} → {log_length(settings, service):,}" for service, length in lengths.items())
    notes.append(
        f"erasure: {len(before)} people, then {len(after)} others with longer logs ({grown} events, of other accounts); one"
        " after the other, from the call that requests it until the requester sees that it is completed and certified"
    )
    p50, later = percentile(before, 0.5), percentile(after, 0.5)
    return [
        below("erasure, request to certificate, p50", p50, "s", 0.5),
        Figure(
            figure="erasure, request to certificate, p99", value=round(percentile(before, 0.99), 3), unit="s",
            peer="a privacy engine, p50", peer_value=PEER_SECONDS, ratio=round(percentile(before, 0.99) / PEER_SECONDS, 3),
        ),
        Figure(
            figure=f"erasure p50 with logs {times} times as long", value=round(later, 3), unit="s", peer="before",
            peer_value=round(p50, 3), ratio=round(later / p50, 3), target="≤ 1.2 × before", holds=later <= 1.2 * p50,
        ),
        Figure(figure=f"erasure p99 with logs {times} times as long", value=round(percentile(after, 0.99), 3), unit="s"),
    ]  # fmt: skip


def grow_tickets(settings: Settings, events: int) -> None:
    """Adds tickets of other accounts, of 50 events each."""
    store = Store(tickets_events.TYPES, tickets_projections.project, settings, pool_size=1)
    payload = MessagePayload(2)
    for _ in range(0, events, EVENTS_AT_ONCE):
        ticket, person = new_id(), new_id()
        messages = [payload.message(ticket, person) for _ in range(EVENTS_AT_ONCE - 1)]

        def decide(work: Work) -> None:
            work.append(f"ticket/{ticket}", 0, [payload.opened(ticket, person), *messages])  # noqa: B023

        store.run(new_id(), decide)


def grow_contacts(settings: Settings, events: int) -> None:
    """Adds named persons of other accounts, 25 to each."""
    store = Store(contacts_events.TYPES, contacts_projections.project, settings, pool_size=1)

    def decide(work: Work) -> None:
        for _ in range(EVENTS_AT_ONCE // 2):
            person = new_id()
            added = PersonAdded(person_id=person, origin="correspondent")
            work.append(f"person/{person}", 0, [added, PersonNamed(person_id=person, name="Ann Other")])

    for _ in range(0, events, EVENTS_AT_ONCE):
        store.run(new_id(), decide)


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
    begun = time.perf_counter()
    command = RequestErasure(who=person, reason="measured")
    request = session.call("erasure", "request_erasure", command, result_type=RequestedErasure).request_id
    while time.perf_counter() - begun < LONGEST_SECONDS:
        view = session.query("erasure", "show_erasure", ShowErasure(request_id=request), ErasureView)
        if view.completed_at is not None:
            return time.perf_counter() - begun
        time.sleep(0.01)
    raise TimeoutError("an erasure was not completed")
