"""Events → rows of lifecycle. Uses what the envelope says and the sealed bytes as they are; opens nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.lifecycle.account import PeriodKind, State
from services.lifecycle.events import (
    AccountDissolved,
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
            yield _over(envelope, "trial")
        case BillingFailed():
            yield _begun(envelope, "past due", event.suspended_at)
        case BillingRecovered():
            yield _over(envelope, "past due")
        case AccountSuspended():
            yield _changed(envelope, "suspended")
            yield _begun(envelope, "suspended", event.dissolved_at)
        case AccountResumed():
            yield _changed(envelope, "active")
            yield _over(envelope, "suspended")
        case AccountDissolved():
            yield _changed(envelope, "dissolved")
            yield _over(envelope)
            yield _begun(envelope, "dissolved", event.ended_at)
        case AccountEnded():
            yield _changed(envelope, "ended")
            yield _over(envelope)
        case _:
            pass


def _begun(envelope: Envelope, kind: PeriodKind, ends_at: datetime) -> Statement:
    """Of each kind the newest."""
    return Statement(
        "INSERT INTO account_period (account_id, kind, began_at, ends_at) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (account_id, kind) DO UPDATE SET began_at = EXCLUDED.began_at, ends_at = EXCLUDED.ends_at",
        (envelope.account, kind, envelope.time, ends_at),
    )


def _over(envelope: Envelope, kind: PeriodKind | None = None) -> Statement:
    """One period, or all of them."""
    return Statement(
        "DELETE FROM account_period WHERE account_id = %s AND (%s::text IS NULL OR kind = %s)", (envelope.account, kind, kind)
    )


def _changed(envelope: Envelope, state: State) -> Statement:
    return Statement(
        "UPDATE account SET state = %s, changed_at = %s WHERE account_id = %s", (state, envelope.time, envelope.account)
    )
