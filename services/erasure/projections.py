"""Events → rows of erasure. Uses what the envelope says and the sealed bytes as they are; opens nothing."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from services.erasure.events import (
    AddressesRenewed,
    ErasureCompleted,
    ErasureHeld,
    ErasureIncomplete,
    ErasureRequested,
    HoldEnded,
    HoldPlaced,
    SubjectErased,
)
from shared.events import Recorded
from shared.work import Statement


def project(recorded: Recorded) -> Iterator[Statement]:
    """The statements that bring the read model up to an event. Table names are without schema: a replay sets another one."""
    envelope, event = recorded.envelope, recorded.event
    account = envelope.account
    match event:
        case ErasureRequested():
            yield Statement(
                "INSERT INTO request (account_id, request_id, state, requested_at, person_ids, claim_hash, asked_by,"
                " unanswered, traces, addresses, reason, event_id)"
                " VALUES (%s, %s, 'erasing', %s, %s::uuid[], %s, %s, '[]', '{}', %s, %s, %s)",
                (
                    account, event.request_id, envelope.time, event.person_ids, event.claim_hash, event.asked_by,
                    recorded.sealed.get("addresses"), recorded.sealed.get("reason"), envelope.event,
                ),
            )  # fmt: skip
            yield Statement(
                "INSERT INTO request_person (account_id, person_id, request_id) SELECT %s, unnest(%s::uuid[]), %s",
                (account, event.person_ids, event.request_id),
            )
        case ErasureHeld():
            yield Statement(
                "UPDATE request SET state = 'held' WHERE account_id = %s AND request_id = %s", (account, event.request_id)
            )
        case AddressesRenewed():
            yield Statement(
                "INSERT INTO renewed_addresses (account_id, request_id, addresses, event_id) VALUES (%s, %s, %s, %s)",
                (account, event.request_id, recorded.sealed.get("addresses"), envelope.event),
            )
        case SubjectErased():
            yield Statement(
                "UPDATE request SET state = 'erasing' WHERE account_id = %s AND request_id = %s AND state = 'held'",
                (account, event.request_id),
            )
        case ErasureIncomplete():
            yield Statement(
                "UPDATE request SET state = 'incomplete', unanswered = %s, traces = %s"
                " WHERE account_id = %s AND request_id = %s AND state <> 'completed'",
                (
                    msgspec.json.encode(event.unanswered).decode(), msgspec.json.encode(event.traces).decode(), account,
                    event.request_id,
                ),
            )  # fmt: skip
        case ErasureCompleted():
            yield Statement(
                "UPDATE request SET state = 'completed', completed_at = %s, certificate = %s, unanswered = '[]', traces = '{}',"
                " addresses = NULL, reason = NULL WHERE account_id = %s AND request_id = %s",
                (event.completed_at, event.certificate, account, event.request_id),
            )
            yield Statement(
                "DELETE FROM renewed_addresses WHERE account_id = %s AND request_id = %s", (account, event.request_id)
            )
        case HoldPlaced():
            yield Statement(
                "INSERT INTO hold (account_id, hold_id, person_ids, basis, placed_at, placed_by, expires_at, reference,"
                " event_id) VALUES (%s, %s, %s::uuid[], %s, %s, %s, %s, %s, %s)",
                (
                    account, event.hold_id, event.person_ids, event.basis, envelope.time, envelope.actor, event.expires_at,
                    recorded.sealed.get("reference"), envelope.event,
                ),
            )  # fmt: skip
            yield Statement(
                "INSERT INTO hold_person (account_id, person_id, hold_id) SELECT %s, unnest(%s::uuid[]), %s",
                (account, event.person_ids, event.hold_id),
            )
        case HoldEnded():
            yield Statement(
                "UPDATE hold SET ended_at = %s, ended_as = %s, reference = NULL WHERE account_id = %s AND hold_id = %s",
                (envelope.time, event.end, account, event.hold_id),
            )
        case _:
            pass
