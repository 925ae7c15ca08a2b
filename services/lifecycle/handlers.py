"""One function per command of lifecycle: read, decide (`account.py`), append. Knows nothing of nameko."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Literal

from services.lifecycle.account import (
    Account,
    ahead,
    due,
    end,
    fail_billing,
    opening,
    recover_billing,
    resume,
    run_out,
    suspend,
    upgrade,
)
from services.lifecycle.commands import AccountEndView, AccountView, NoteBilling, OpenAccount, SuspendAccount
from services.lifecycle.events import (
    AccountEnded,
    AccountResumed,
    AccountSuspended,
    AccountUpgraded,
    BillingFailed,
    BillingRecovered,
)
from services.lifecycle.periods import Periods
from services.lifecycle.queries import account_as_it_stands, show_account, show_account_end
from services.lifecycle.routing import Routing
from shared.account_states import KeepAccountState, keep_state, version_of_state
from shared.due_rows import claim_due
from shared.errors import Conflict, Incomplete, LetheError, NotFound, Refused, TimedOut, Unavailable
from shared.events import Envelope
from shared.idempotency import once
from shared.ids import new_id
from shared.logs import get_logger
from shared.settings import ACCOUNT_SERVICES
from shared.work import SYSTEM_ACTOR, Store, Work

log = get_logger("lethe.lifecycle")
Tell = Callable[[KeepAccountState], Collection[str]]
"""Tells every other service the account's state; gives the names of those that have not said that they keep it."""
Keeps = Callable[[str], tuple[int, int]]
"""How many legal holds, and how many erasures that are not completed, keep an account from its end."""
Change = AccountUpgraded | BillingFailed | BillingRecovered
NEXT_LOOK = timedelta(minutes=1)
"""For so long an account whose period is over is one replica's; if that dies, another looks after it then."""
KEPT_LOOK = timedelta(hours=1)
"""After that it is looked again whether something still keeps an account from its end."""


def open_account(
    store: Store, routing: Routing, periods: Periods, actor: str, command: OpenAccount, idempotency_key: str | None
) -> AccountView:
    """Opens an account. Raises `Conflict` where its name is taken, or the key was used for another request.

    The row of the name is the guard: two at once meet at its primary key, and the later one looks again. A command that is
    sent again under its key comes to the id that the key stands for, and finds there what it did."""
    account_id = routing.account_for(actor, idempotency_key) if idempotency_key is not None else new_id()
    token = routing.token(command.name)

    def decide(work: Work) -> None:
        def do() -> dict[str, str]:
            if work.fetch_one("SELECT 1 FROM account_name WHERE token = %s", (token,)):
                raise Conflict("There is an account of this name already.", field="name")
            opened = opening(account_id, command.name, command.plan, work.now, periods)
            work.append(f"account/{account_id}", 0, [opened])
            _look_at(work, opened.trial_ends_at)
            work.later(
                "INSERT INTO account_name (token, account_id, opened_at) VALUES (%s, %s, %s)", (token, account_id, work.now)
            )
            return {"account_id": account_id}

        once(work, actor, idempotency_key, command, do)

    store.run(account_id, decide, actor=actor)
    return show_account(store, periods, account_id)


def suspend_account(
    store: Store, periods: Periods, account_id: str, actor: str, command: SuspendAccount, tell: Tell
) -> AccountView:
    """No login and no access to data, for anybody (mission L3), from the answer on. Done already is done, and told again.

    Raises `Incomplete` where a service could not be told: it is suspended, and that service learns it from the event."""
    return _change_state(
        store, periods, account_id, actor, lambda account, now: suspend(account, command.reason, now, periods), tell
    )


def resume_account(store: Store, periods: Periods, account_id: str, actor: str, tell: Tell) -> AccountView:
    """Opens the account again. Raises `Incomplete` as suspending does, and `Refused` where it would be suspended at once, or is
    dissolved."""
    return _change_state(store, periods, account_id, actor, resume, tell)


def upgrade_account(store: Store, periods: Periods, account_id: str, actor: str) -> AccountView:
    """The account is paid for from now on. A suspended one stays so until it is resumed."""
    return _change(store, periods, account_id, actor, lambda account, _: upgrade(account))


def note_billing(store: Store, periods: Periods, account_id: str, actor: str, command: NoteBilling) -> AccountView:
    """Begins the period after which an account is suspended whose billing failed, or ends it (mission L2). Raises `Refused`."""
    if command.outcome == "failed":
        return _change(store, periods, account_id, actor, lambda account, now: fail_billing(account, now, periods))
    return _change(store, periods, account_id, actor, lambda account, _: recover_billing(account))


def take_due_steps(
    store: Store, periods: Periods, keeps: Keeps, tell: Callable[[str, Collection[str]], Tell], limit: int = 20
) -> None:
    """Suspends, dissolves or ends the accounts whose period is over, each by one replica (mission L1, L2, L4, L5, L8). One with
    which it can't be done keeps no other, and is looked at again. A service that could not be told of a suspension learns it
    from the event, and of the others of this look as well: `tell` takes an account and whom not to wait for."""
    changed: dict[str, KeepAccountState] = {}
    ending: list[str] = []
    for account_id, _ in claim_due(store, "open_period", "account_id", NEXT_LOOK, limit):
        try:
            is_end, state = store.run(account_id, lambda work: _run_out(work, periods))
        except LetheError as error:
            log.warning("an account whose period is over could not go on", account=account_id, error=error)
        else:
            changed |= {} if state is None else {account_id: state}
            ending += [account_id] if is_end else []
    untold: set[str] = set()
    for account_id, state in changed.items():  # after all are suspended: a service that is away takes its time each
        if untold := untold | set(tell(account_id, untold)(state)):
            log.warning("services could not be told of a suspension", account=account_id, reason=", ".join(sorted(untold)))
    for account_id in ending:  # last: who is to say what keeps an account may be away, and is not waited for twice
        try:
            _end_unless_kept(store, account_id, keeps)
        except LetheError as error:
            log.warning("an account whose period is over could not be ended", account=account_id, error=error)
            if isinstance(error, (TimedOut, Unavailable)):
                break


def _run_out(work: Work, periods: Periods) -> tuple[bool, KeepAccountState | None]:
    """Whether the end is due, which is not for this transaction; else what was done, if services are to be told of it."""
    try:
        account = _locked(work)
    except NotFound:
        _look_at(work, None)  # it has ended since it was claimed
        return False, None
    step = due(account, work.now, periods)
    if step is not None and step.to == "ended":
        return True, None
    event = run_out(account, work.now, periods)
    if isinstance(event, AccountSuspended):
        return False, _append_state(work, account, event)
    if event is not None:
        work.append(f"account/{work.account_id}", _version(work), [event])
        _look_at(work, event.ended_at)
        return False, None
    _look_at(work, next((step.at for step in ahead(account, periods)), None))  # the clock was put back, or it's another period
    return False, None


def _end_unless_kept(store: Store, account_id: str, keeps: Keeps) -> None:
    holds, erasures = keeps(account_id)
    try:
        store.run(account_id, lambda work: _end(work, holds, erasures))
    except Refused:
        log.warning("a dissolved account is kept by legal holds or erasures", account=account_id, count=holds + erasures)
        store.run(account_id, _look_later)


def _look_later(work: Work) -> None:
    """Changes the look that is there: where somebody has ended the account meanwhile there is none."""
    work.later(
        "UPDATE open_period SET look_at = %s, claimed_until = NULL WHERE account_id = %s",
        (work.now + KEPT_LOOK, work.account_id),
    )


def _look_at(work: Work, at: datetime | None) -> None:
    """Has the timer look at the account then; with None no more."""
    if at is None:
        work.later("DELETE FROM open_period WHERE account_id = %s", (work.account_id,))
        return
    work.later(
        "INSERT INTO open_period AS known (account_id, look_at) VALUES (%s, %s)"
        " ON CONFLICT (account_id) DO UPDATE SET look_at = EXCLUDED.look_at, claimed_until = NULL",
        (work.account_id, at),
    )


def end_account(store: Store, account_id: str, actor: str, holds: int, erasures: int) -> AccountEndView:
    """Has every service remove all that it has of an account, for good. Raises `Refused`. Done already is done; services that
    are not done are told again, by an event of the cell: the account's own may be gone."""
    with store.work(SYSTEM_ACTOR) as work:
        ended = work.fetch("SELECT gone_at FROM ended_account WHERE account_id = %s", (account_id,))
    if ended:
        if any(gone_at is None for (gone_at,) in ended):
            store.run(SYSTEM_ACTOR, lambda work: _tell_again(work, account_id), actor=actor)
        return show_account_end(store, account_id)
    store.run(account_id, lambda work: _end(work, holds, erasures), actor=actor)
    return show_account_end(store, account_id)


def _end(work: Work, holds: int, erasures: int) -> None:
    event = end(_locked(work), holds, erasures)
    if event is None:
        return
    work.append(f"account/{work.account_id}", _version(work), [event])
    _look_at(work, None)
    _note_ended(work, work.account_id)


def _tell_again(work: Work, account_id: str) -> None:
    stream = f"ended/{account_id}"
    work.append(stream, work.versions_of([stream])[stream], [AccountEnded(account_id=account_id)])


def tell_end_again(store: Store, account_id: str) -> None:
    """Says that an account has ended, where the database has forgotten it. Repeatable."""

    def decide(work: Work) -> None:
        if not work.fetch("SELECT 1 FROM ended_account WHERE account_id = %s", (account_id,)):
            _tell_again(work, account_id)
            _note_ended(work, account_id)

    store.run(SYSTEM_ACTOR, decide)


def _note_ended(work: Work, account_id: str) -> None:
    work.later(
        "INSERT INTO ended_account (account_id, service, ended_at) SELECT %s, unnest(%s::text[]), %s",
        (account_id, list(ACCOUNT_SERVICES), work.now),
    )


def take_receipt(store: Store, envelope: Envelope) -> None:
    """A service has nothing of an account any more. Repeatable."""
    with store.work(SYSTEM_ACTOR) as work:
        work.later(
            "UPDATE ended_account SET gone_at = %s WHERE account_id = %s AND service = %s AND gone_at IS NULL",
            (envelope.time, envelope.data["account_id"], envelope.service),
        )


def _change_state(
    store: Store, periods: Periods, account_id: str, actor: str,
    decide_event: Callable[[Account, datetime], AccountSuspended | AccountResumed | None], tell: Tell,
) -> AccountView:  # fmt: skip
    def decide(work: Work) -> KeepAccountState:
        account = _locked(work)
        event = decide_event(account, work.now)
        if event is None:
            state: Literal["active", "suspended"] = "active" if account.state == "active" else "suspended"
            # of the event that made the state what it is, as the others know it: later events may be about the plan
            return KeepAccountState(state=state, version=version_of_state(work) or _version(work))
        return _append_state(work, account, event)

    changed = store.run(account_id, decide, actor=actor)
    untold = sorted(tell(changed))
    if untold:
        raise Incomplete(
            f"The account is {changed.state}; these services could not be told yet: {', '.join(untold)}. They will learn it"
            " when they are back; do it again to make sure.",
            state=changed.state, services=untold,
        )  # fmt: skip
    return show_account(store, periods, account_id)


def _append_state(work: Work, account: Account, event: AccountSuspended | AccountResumed) -> KeepAccountState:
    """Lifecycle itself is closed, or open, from this commit on."""
    version = _version(work)
    work.append(f"account/{work.account_id}", version, [event])
    state: Literal["active", "suspended"] = "suspended" if isinstance(event, AccountSuspended) else "active"
    keep_state(work, state, version + 1)
    if isinstance(event, AccountSuspended):
        _look_at(work, event.dissolved_at)
    else:
        _look_at(work, None if account.period is None else account.period.ends_at)
    return KeepAccountState(state=state, version=version + 1)


def _change(
    store: Store, periods: Periods, account_id: str, actor: str,
    decide_event: Callable[[Account, datetime], Change | None],
) -> AccountView:  # fmt: skip
    def decide(work: Work) -> None:
        account = _locked(work)
        event = decide_event(account, work.now)
        if event is None:
            return
        work.append(f"account/{account_id}", _version(work), [event])
        if account.state == "active":  # for a suspended one it is looked at when it is to be dissolved
            _look_at(work, event.suspended_at if isinstance(event, BillingFailed) else None)

    store.run(account_id, decide, actor=actor)
    return show_account(store, periods, account_id)


def _locked(work: Work) -> Account:
    """The account, which nobody else changes until this transaction ends. Raises `NotFound`."""
    row = work.fetch_one("SELECT state, plan FROM account WHERE account_id = %s FOR UPDATE", (work.account_id,))
    if row is None:
        raise NotFound()
    return account_as_it_stands(work, *row)


def _version(work: Work) -> int:
    stream = f"account/{work.account_id}"
    return work.versions_of([stream])[stream]
