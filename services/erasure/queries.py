"""Rows → answers of erasure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import msgspec

from services.erasure.commands import (
    CertificateDocument,
    ClaimedErasure,
    ClaimErasure,
    ErasureList,
    ErasureView,
    ListErasures,
    ParticipantView,
    ShowErasure,
)
from services.erasure.events import Names
from services.erasure.hold_queries import holds_of_requests, holds_on
from services.erasure.participants import participants
from shared.erasing import Retained
from shared.errors import Incomplete, NotFound
from shared.work import SealedValue, Store, Work

OWN_AT_MOST = 100
_REQUEST = "SELECT request_id, state, asked_by, requested_at, completed_at, person_ids, traces FROM request"


def show_erasure(store: Store, account_id: str, query: ShowErasure) -> ErasureView:
    """Where a request stands, participant by participant."""
    with store.work(account_id) as work:
        return _views(
            work,
            work.fetch(f"{_REQUEST} WHERE account_id = %s AND request_id = %s", (account_id, query.request_id)) or _missing(),
        )[0]


def list_erasures(store: Store, account_id: str, query: ListErasures) -> ErasureList:
    """A page, the newest requests first."""
    with store.work(account_id) as work:
        rows = work.fetch(
            f"{_REQUEST} WHERE account_id = %s AND (%s::uuid IS NULL OR (requested_at, request_id) <"
            " (SELECT requested_at, request_id FROM request WHERE account_id = %s AND request_id = %s))"
            " ORDER BY requested_at DESC, request_id DESC LIMIT %s",
            (account_id, query.after, account_id, query.after, query.limit + 1),
        )
        views = _views(work, rows[: query.limit])
    return ErasureList(requests=views, next_after=views[-1].request_id if len(rows) > query.limit else None)


def show_certificate(store: Store, account_id: str, query: ShowErasure) -> CertificateDocument:
    """The signed certificate of a completed request."""
    with store.work(account_id) as work:
        row = work.fetch_one(
            "SELECT document FROM certificate WHERE account_id = %s AND request_id = %s", (account_id, query.request_id)
        )
        if row is None:
            if work.fetch("SELECT 1 FROM request WHERE account_id = %s AND request_id = %s", (account_id, query.request_id)):
                raise Incomplete("this erasure is not completed yet")
            raise NotFound()
        return CertificateDocument(document=bytes(row[0]))


def list_own_erasures(store: Store, account_id: str, person_id: str) -> ErasureList:
    """The requests about one person, the newest first. They are few. What keeps somebody else is not for them to know."""
    with store.work(account_id) as work:
        rows = work.fetch(
            f"{_REQUEST} WHERE account_id = %s AND request_id IN (SELECT request_id FROM request_person"
            " WHERE account_id = %s AND person_id = %s) ORDER BY requested_at DESC, request_id DESC LIMIT %s",
            (account_id, account_id, person_id, OWN_AT_MOST),
        )
        own = {one.hold_id for one in holds_on(work, [person_id])}
        shown = [
            msgspec.structs.replace(one, holds=[hold for hold in one.holds if hold.hold_id in own])
            for one in _views(work, rows)
        ]
        return ErasureList(requests=shown, next_after=None)


def claim_erasure(store: Store, account_id: str, query: ClaimErasure) -> ClaimedErasure:
    """A request and its certificate by the claim code. A wrong code finds nothing, as a request that does not exist."""
    given = hashlib.sha256(query.claim_code.encode("utf-8", "surrogatepass")).hexdigest()
    with store.work(account_id) as work:
        row = work.fetch_one(
            "SELECT r.state, r.requested_at, r.completed_at, c.document, r.claim_hash FROM request r"
            " LEFT JOIN certificate c USING (account_id, request_id) WHERE r.account_id = %s AND r.request_id = %s",
            (account_id, query.request_id),
        )
        holds = holds_of_requests(work, [query.request_id]).get(query.request_id, [])
    if row is None or not hmac.compare_digest(row[4], given):
        raise NotFound()
    document = bytes(row[3]) if row[3] is not None else None
    return ClaimedErasure(
        request_id=query.request_id, state=row[0], requested_at=row[1], completed_at=row[2], document=document,
        holds=holds if row[0] == "held" else [],
    )


def addresses_of_request(work: Work, request_id: str) -> list[str]:
    """The addresses that a request names, while it is open; [] once it is completed (its key is cut)."""
    row = work.fetch_one(
        "SELECT r.addresses, r.event_id, n.addresses, n.event_id FROM request r"
        " LEFT JOIN renewed_addresses n USING (account_id, request_id) WHERE r.account_id = %s AND r.request_id = %s",
        (work.account_id, request_id),
    )
    if row is None:
        raise NotFound()
    stream = f"erasure/{request_id}"
    newest = (
        SealedValue(row[0], stream, row[1], Names.ERASURE_REQUESTED, "addresses")
        if row[3] is None
        else SealedValue(row[2], stream, row[3], Names.ADDRESSES_RENEWED, "addresses")
    )
    (opened,) = work.open([newest])
    return list(opened) if isinstance(opened, list) else []


def _missing() -> list[Any]:
    raise NotFound()


def _views(work: Work, rows: Sequence[tuple[Any, ...]]) -> list[ErasureView]:
    receipts: dict[tuple[str, str], tuple[Any, ...]] = {
        (row[0], row[1]): row[2:]
        for row in work.fetch(
            "SELECT request_id, service, outcome, counts, retained FROM receipt"
            " WHERE account_id = %s AND request_id = ANY (%s::uuid[])",
            (work.account_id, [row[0] for row in rows]),
        )
    }
    holds = holds_of_requests(work, [row[0] for row in rows if row[1] == "held"])
    views = []
    for request, state, asked_by, requested_at, completed_at, persons, traces in rows:
        views.append(
            ErasureView(
                request_id=request, state=state, asked_by=asked_by, requested_at=requested_at, completed_at=completed_at,
                person_ids=persons, holds=holds.get(request, []),
                participants=[
                    _participant(service, receipts.get((request, service)), traces.get(service, {}))
                    for service in participants()
                ],
            )
        )  # fmt: skip
    return views


def _participant(service: str, receipt: tuple[Any, ...] | None, traces: dict[str, int]) -> ParticipantView:
    if receipt is None:
        return ParticipantView(service=service, outcome="pending", counts={}, retained=[], traces=traces)
    outcome, counts, retained = receipt
    return ParticipantView(
        service=service, outcome="failed" if traces else outcome, counts=counts,
        retained=msgspec.convert(retained, list[Retained]), traces=traces,
    )  # fmt: skip
