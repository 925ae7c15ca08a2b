"""One function per command and per reaction of erasure: read, decide (`request.py`), append. Knows nothing of nameko."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from services.erasure.commands import HoldInForce, RequestedErasure, RequestErasure
from services.erasure.events import (
    AddressesRenewed,
    AskedBy,
    ErasureCompleted,
    ErasureHeld,
    ErasureRequested,
    State,
    SubjectErased,
)
from services.erasure.hold_queries import holds_on
from services.erasure.participants import participants
from services.erasure.queries import addresses_of_request
from services.erasure.request import Look, incomplete, is_under_way
from services.erasure.suppression import add_entries, identifier_entries
from shared import certificate
from shared.account_states import check_open
from shared.due_rows import claim_due
from shared.errors import NotFound, UnderHold
from shared.events import Envelope, Event, decode_envelope
from shared.failpoints import failpoint
from shared.idempotency import done_before, once
from shared.ids import new_id
from shared.item_cuts import cut_item
from shared.receipts import ReceiptProof
from shared.work import Store, Work

FIRST_LOOK = timedelta(seconds=3)
"""How long after the request the timer looks after it, should a receipt or this process have been lost."""

NEXT_LOOK = timedelta(seconds=10)


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a participant answered to a probe; see `shared.service.ProbeAnswer`."""

    traces: dict[str, int]
    receipt: ReceiptProof | None


Probe = Callable[[str, Sequence[str], Sequence[str]], Mapping[str, ProbeResult | None]]
"""(request, persons, addresses) → the answer of each participant, None for one that did not answer."""


def requested_before(
    store: Store, account_id: str, actor: str, idempotency_key: str | None, command: RequestErasure
) -> RequestedErasure | None:
    """What this command gave when it came before under the same key. Looked at first of all: contacts may not know any more
    whom it means. The claim code was told then, and is not again."""
    done = store.run(account_id, lambda work: done_before(work, actor, idempotency_key, command))
    return None if done is None else RequestedErasure(**done, claim_code=None)


def request_erasure(
    store: Store, account_id: str, actor: str, idempotency_key: str | None, command: RequestErasure, asked_by: AskedBy,
    persons: Sequence[str], addresses: Sequence[str],
) -> RequestedErasure:  # fmt: skip
    """Takes a request and tells the participants, in one transaction with the suppression of the person's identifiers.
    A person who is being erased already keeps the request they have. Where a legal hold is on the person, the request waits for
    its end: both take the persons' locks, so no hold comes in between."""
    claim_code = secrets.token_urlsafe(20)

    def decide(work: Work) -> RequestedErasure:
        made: list[str] = []

        def do() -> dict[str, Any]:
            check_open(work)
            work.lock_persons(persons)
            holds = holds_on(work, persons)
            # one that waits for the end of a hold on somebody else is not theirs to wait for
            open_one = work.fetch_one(
                "SELECT r.request_id, r.person_ids FROM request r JOIN request_person p USING (account_id, request_id)"
                " WHERE p.account_id = %s AND p.person_id = %s AND r.state <> 'completed' AND r.person_ids @> %s::uuid[]"
                " AND (r.state <> 'held' OR %s) ORDER BY r.requested_at LIMIT 1",
                (account_id, persons[0], list(persons), bool(holds)),
            )
            if open_one is not None:
                return {"request_id": open_one[0], "person_ids": open_one[1]}
            made.append(_append_request(work, command, asked_by, persons, addresses, claim_code, holds))
            return {"request_id": made[0], "person_ids": sorted(persons)}

        done = once(work, actor, idempotency_key, command, do)
        return RequestedErasure(**done, claim_code=claim_code if made else None)

    return store.run(account_id, decide, actor=actor)


def _append_request(
    work: Work, command: RequestErasure, asked_by: AskedBy, persons: Sequence[str], addresses: Sequence[str], claim_code: str,
    holds: Sequence[HoldInForce],
) -> str:  # fmt: skip
    request_id = new_id()
    requested = ErasureRequested(
        request_id=request_id, person_ids=sorted(persons), claim_hash=hashlib.sha256(claim_code.encode()).hexdigest(),
        asked_by=asked_by, addresses=list(addresses), reason=command.reason,
    )  # fmt: skip
    if holds:
        held = ErasureHeld(request_id=request_id, hold_ids=[one.hold_id for one in holds])
        work.append(f"erasure/{request_id}", 0, [requested, held])
    else:
        work.append(f"erasure/{request_id}", 0, [requested, _telling(work, request_id, persons, addresses)])
    return request_id


def go_on(work: Work, request_id: str, persons: Sequence[str], known_now: Sequence[str]) -> None:
    """Tells the participants of a request that was held so far. Under which identifiers the persons came to be known meanwhile
    (`known_now`) is kept with it first: they are suppressed and looked for as the others are."""
    stream = f"erasure/{request_id}"
    version = work.versions_of([stream])[stream]
    asked = addresses_of_request(work, request_id)
    addresses = [*asked, *sorted(set(known_now) - set(asked))]
    events: list[Event] = []
    if len(addresses) > len(asked):
        events.append(AddressesRenewed(request_id=request_id, addresses=addresses))
    work.append(stream, version, [*events, _telling(work, request_id, persons, addresses)])


def _telling(work: Work, request_id: str, persons: Sequence[str], addresses: Sequence[str]) -> SubjectErased:
    """The event by which the erasing begins. With it the identifiers are suppressed, and the timer looks after the request."""
    add_entries(work, identifier_entries(addresses), work.now.date())
    work.later(
        "INSERT INTO open_request (request_id, account_id, look_at) VALUES (%s, %s, %s)",
        (request_id, work.account_id, work.now + FIRST_LOOK),
    )
    return SubjectErased(request_id=request_id, person_ids=sorted(persons))


def retry_erasure(store: Store, account_id: str, actor: str, request_id: str) -> None:
    """Tells the participants once more. Each of them does only what it has not done. `UnderHold` where the request waits."""

    def decide(work: Work) -> None:
        row = _locked_request(work, request_id)
        if row is None:
            raise NotFound()
        state, persons = row
        if state == "held":
            raise UnderHold("A legal hold keeps this person. The erasure goes on by itself when it has ended.")
        if is_under_way(state):
            stream = f"erasure/{request_id}"
            version = work.versions_of([stream])[stream]
            work.append(stream, version, [SubjectErased(request_id=request_id, person_ids=persons)])

    store.run(account_id, decide, actor=actor)


def take_receipt(store: Store, envelope: Envelope) -> bool:
    """Keeps a participant's receipt; True if all have given theirs. The request's row is locked meanwhile, so that of two
    receipts that arrive at once the later one sees both."""
    request_id = str(envelope.data["request_id"])

    def decide(work: Work) -> bool:
        if _locked_request(work, request_id) is None:
            return False
        given = {
            row[0]
            for row in work.fetch(
                "SELECT service FROM receipt WHERE account_id = %s AND request_id = %s", (work.account_id, request_id)
            )
        }
        _keep_receipt(work, envelope)
        return {*given, envelope.service} >= set(participants())

    return store.run(envelope.account, decide)


def _keep_receipt(work: Work, envelope: Envelope) -> None:
    work.later(
        "INSERT INTO receipt (account_id, request_id, service, outcome, counts, retained, receipted_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            work.account_id, envelope.data["request_id"], envelope.service, envelope.data["outcome"],
            msgspec.json.encode(envelope.data["counts"]).decode(), msgspec.json.encode(envelope.data["retained"]).decode(),
            envelope.time,
        ),
    )  # fmt: skip


def complete(store: Store, account_id: str, request_id: str, probe: Probe) -> bool:
    """Looks at every participant and completes the request if all is clean; True once it is completed.

    After a crash anywhere the next look does it again: the certificate is made in the transaction that completes."""
    with store.work(account_id) as work:
        row = work.fetch_one(
            "SELECT state, person_ids FROM request WHERE account_id = %s AND request_id = %s", (account_id, request_id)
        )
        if row is None:
            raise NotFound()
        addresses = addresses_of_request(work, request_id)
    if not is_under_way(row[0]):
        return bool(row[0] == "completed")
    answers = probe(request_id, row[1], addresses)
    look = Look(
        unanswered=[service for service in participants() if (one := answers.get(service)) is None or one.receipt is None],
        traces={service: one.traces for service, one in answers.items() if one is not None and one.traces},
    )
    failpoint("erasure.probed")
    if not look.is_clean:
        store.run(account_id, lambda work: _note_incomplete(work, request_id, look))
        return False
    proofs = {service: one.receipt for service, one in answers.items() if one is not None and one.receipt is not None}
    return store.run(account_id, lambda work: _complete(store, work, request_id, proofs))


def _note_incomplete(work: Work, request_id: str, look: Look) -> None:
    row = work.fetch_one(
        "SELECT state, unanswered, traces FROM request WHERE account_id = %s AND request_id = %s FOR UPDATE",
        (work.account_id, request_id),
    )
    if row is None or not is_under_way(row[0]):
        return
    event = incomplete(request_id, look, row[1], row[2])
    if event is not None:
        stream = f"erasure/{request_id}"
        work.append(stream, work.versions_of([stream])[stream], [event])


def _complete(store: Store, work: Work, request_id: str, proofs: Mapping[str, ReceiptProof]) -> bool:
    row = _locked_request(work, request_id)
    if row is None or not is_under_way(row[0]):
        return True
    (requested_at,) = work.fetch(
        "SELECT requested_at FROM request WHERE account_id = %s AND request_id = %s", (work.account_id, request_id)
    )[0]
    document = certificate.sign(
        certificate.make(
            store.settings.cell, work.account_id, request_id, row[1], requested_at, work.now,
            [certificate.participant(one, proof.envelope, proof.salt, proof.proof) for one, proof in proofs.items()],
        ),
        certificate.certificate_key(store.settings.path("root-keys"), store.settings.path("verifiers")),
        f"{store.settings.cell}/certificate",
    )  # fmt: skip
    stream = f"erasure/{request_id}"
    completed = ErasureCompleted(
        request_id=request_id, requested_at=requested_at, completed_at=work.now,
        certificate=hashlib.sha256(document).hexdigest(), keys=cut_item(work, request_id),
    )  # fmt: skip
    work.append(stream, work.versions_of([stream])[stream], [completed])
    for proof in proofs.values():  # the broker may still have some of them: nothing is shown as pending in what is completed
        _keep_receipt(work, decode_envelope(proof.envelope))
    work.later(
        "INSERT INTO certificate (account_id, request_id, document) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (work.account_id, request_id, document),
    )
    work.later("DELETE FROM open_request WHERE request_id = %s", (request_id,))
    return True


def due_requests(store: Store, limit: int = 20) -> list[tuple[str, str]]:
    """Claims requests that are due for a look, as (account, request): each by one replica, for `NEXT_LOOK`."""
    return claim_due(store, "open_request", "request_id", NEXT_LOOK, limit)


def _locked_request(work: Work, request_id: str) -> tuple[State, list[str]] | None:
    row = work.fetch_one(
        "SELECT state, person_ids FROM request WHERE account_id = %s AND request_id = %s FOR UPDATE",
        (work.account_id, request_id),
    )
    return None if row is None else (row[0], row[1])
