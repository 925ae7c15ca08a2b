"""What each service remembers of an account's state, so that *suspended* closes every service at once (mission L3).

Lifecycle's events say it; the state with the higher version wins, so that their order does not matter. An account that a
service has not heard of is active: its token could not have been minted otherwise.
"""

from __future__ import annotations

from shared.work import Store, Work


def state_of(store: Store, account_id: str) -> str:
    """`active` or `suspended`."""
    with store.work(account_id) as work:
        row = work.fetch_one("SELECT state FROM lethe.account_state WHERE account_id = %s", (account_id,))
    return str(row[0]) if row else "active"


def set_state(store: Store, account_id: str, state: str, version: int) -> None:
    """Keeps a state unless a newer one is known."""
    with store.work(account_id) as work:
        keep_state(work, state, version)


def keep_state(work: Work, state: str, version: int) -> None:
    """The same as a part of a transaction."""
    work.later(
        "INSERT INTO lethe.account_state AS known (account_id, state, version) VALUES (%s, %s, %s)"
        " ON CONFLICT (account_id) DO UPDATE SET state = EXCLUDED.state, version = EXCLUDED.version"
        " WHERE known.version < EXCLUDED.version",
        (work.account_id, state, version),
    )
