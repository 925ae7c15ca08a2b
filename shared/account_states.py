"""What each service remembers of an account's state, so that *suspended* closes every service at once (mission L3).

Lifecycle says it: by a call to each service right after its commit, and by its event, which reaches also who was away. The
state with the higher version wins, so that neither their order nor their number matters. An account that a service has not
heard of is active: its token could not have been minted otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from shared.errors import AccountGone, AccountSuspended
from shared.work import Store, Work

AccountState = Literal["active", "suspended", "gone"]
"""*gone*: nothing of the account is stored any more, and the database refuses to write anything (`account_end.py`)."""
GONE_VERSION = 2**31 - 1
"""The version of the last state: none is later."""


class KeepAccountState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account's state with the version of its stream that brought it. An older one than is known changes nothing."""

    state: Literal["active", "suspended"]
    version: Annotated[int, msgspec.Meta(ge=1, lt=GONE_VERSION)]


class KeptAccountState(msgspec.Struct, frozen=True, kw_only=True):
    """The newest state that the service knows now."""

    state: AccountState
    version: int


def state_of(store: Store, account_id: str) -> AccountState:
    """The state as it is known here. One round trip."""
    rows = store.look(account_id, "SELECT state FROM lethe.account_state WHERE account_id = %s", (account_id,))
    return rows[0][0] if rows else "active"


def set_state(store: Store, account_id: str, state: AccountState, version: int) -> KeptAccountState:
    """Keeps a state unless a newer one is known, and gives the newest."""
    with store.work(account_id) as work:
        keep_state(work, state, version)
        work.flush()
        ((newest, of),) = work.fetch("SELECT state, version FROM lethe.account_state WHERE account_id = %s", (account_id,))
    return KeptAccountState(state=newest, version=of)


def check_open(work: Work) -> None:
    """Raises `AccountSuspended` or `AccountGone` by what is known in this transaction: for what must not be committed once the
    account is closed, although the call was let in before."""
    refuse_closed(_known_state(work), allow_suspended=False)


def check_not_gone(work: Work) -> None:
    """Raises `AccountGone`: before anything is written outside of the transaction."""
    refuse_closed(_known_state(work), allow_suspended=True)


def refuse_closed(state: AccountState | None, allow_suspended: bool) -> None:
    """Raises `AccountGone` for an account that is gone, `AccountSuspended` for a suspended one (mission L3)."""
    if state == "gone":
        raise AccountGone()
    if state == "suspended" and not allow_suspended:
        raise AccountSuspended()


def version_of_state(work: Work) -> int | None:
    """The version of the newest state that is known in this transaction; None where the account has only ever been active."""
    row = work.fetch_one("SELECT version FROM lethe.account_state WHERE account_id = %s", (work.account_id,))
    return None if row is None else int(row[0])


def _known_state(work: Work) -> AccountState | None:
    row = work.fetch_one("SELECT state FROM lethe.account_state WHERE account_id = %s", (work.account_id,))
    return None if row is None else row[0]


def keep_state(work: Work, state: AccountState, version: int) -> None:
    """The same as a part of a transaction."""
    work.later(
        "INSERT INTO lethe.account_state AS known (account_id, state, version) VALUES (%s, %s, %s)"
        " ON CONFLICT (account_id) DO UPDATE SET state = EXCLUDED.state, version = EXCLUDED.version"
        " WHERE known.version < EXCLUDED.version",
        (work.account_id, state, version),
    )
