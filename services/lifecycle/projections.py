"""Events → rows of lifecycle. Uses what the envelope says and the sealed bytes as they are; opens nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.lifecycle.account import PeriodKind, State
from services.lifecycle.events import (
    AccountEnded,
    AccountOpened,
    AccountResumed,
    AccountSuspended,
    AccountUpgraded,
    BillingFailed,
    BillingRecovered,
)
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
            if event.trial_ends_at is not None:
                yield _begun(envelope, "trial", event.trial_ends_at)
        case AccountUpgraded():
            yield Statement(
                "UPDATE account SET plan = 'paid', changed_at = %s WHERE account_id = %s", (envelope.time, envelope.account)
            )
            yield _over(envelope)
        case BillingFailed():
            yield _begun(envelope, "past due", event.suspended_at)
        case BillingRecovered():
            yield _over(envelope)
        case AccountSuspended():
            yield _changed(envelope, "suspended")
        case AccountResumed():
            yield _changed(envelope, "active")
        case AccountEnded():
            yield _changed(envelope, "ended")
        case _:
            pass


def _begun(envelope: Envelope, kind: PeriodKind, ends_at: datetime) -> Statement:
    """An account is in one period at most: the newest."""
    return Statement(
        "INSERT INTO account_period (account_id, kind, began_at, ends_at) VALUES (%s, %s, %s, %s) ON CONFLICT (account_id)"
        " DO UPDATE SET kind = EXCLUDED.kind, began_at = EXCLUDED.began_at, ends_at = EXCLUDED.ends_at",
        (envelope.account, kind, envelope.time, ends_at),
    )


def _over(envelope: Envelope) -> Statement:
    return Statement("DELETE FROM account_period WHERE account_id = %s", (envelope.account,))


def _changed(envelope: Envelope, state: State) -> Statement:
    return Statement(
        "UPDATE account SET state = %s, changed_at = %s WHERE account_id = %s", (state, envelope.time, envelope.account)
    )
