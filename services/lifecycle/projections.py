"""Events → rows of lifecycle. Uses what the envelope says and the sealed bytes as they are; opens nothing."""

from __future__ import annotations

from collections.abc import Iterator

from services.lifecycle.account import State
from services.lifecycle.events import AccountEnded, AccountOpened, AccountResumed, AccountSuspended
from shared.events import Envelope, Recorded
from shared.work import Statement


def project(recorded: Recorded) -> Iterator[Statement]:
    """The statements that bring the read model up to an event. Table names are without schema: a replay sets another one."""
    envelope, event = recorded.envelope, recorded.event
    match event:
        case AccountOpened():
            yield Statement(
                "INSERT INTO account (account_id, plan, state, opened_at, changed_at, name, event_id)"
                " VALUES (%s, %s, 'active', %s, %s, %s, %s)",
                (
                    event.account_id, event.plan, envelope.time, envelope.time, recorded.sealed.get("name"), envelope.event,
                ),
            )  # fmt: skip
        case AccountSuspended():
            yield _changed(envelope, "suspended")
        case AccountResumed():
            yield _changed(envelope, "active")
        case AccountEnded():
            yield _changed(envelope, "ended")
        case _:
            pass


def _changed(envelope: Envelope, state: State) -> Statement:
    return Statement(
        "UPDATE account SET state = %s, changed_at = %s WHERE account_id = %s", (state, envelope.time, envelope.account)
    )
