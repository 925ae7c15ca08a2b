"""Whether a user or a customer is let in at this moment: the account's state, and the user's cutoff or the customer's
tombstone, looked at in one round trip at each call.

Nothing of it is held in memory, so that what was committed counts for the very next call, in every replica. It changes
nothing; `account_states.py` and `actor_cutoffs.py` do.
"""

from __future__ import annotations

from shared.account_states import refuse_closed
from shared.errors import Unauthenticated
from shared.tokens import Actor
from shared.work import Store

_LOOK = (
    "SELECT (SELECT state FROM lethe.account_state WHERE account_id = %s),"
    " (SELECT not_before FROM lethe.actor_cutoff WHERE account_id = %s AND actor_id = %s)"
)


def admit_user(store: Store, account_id: str, actor: Actor, allow_suspended: bool) -> None:
    """Raises `Unauthenticated` for a token from before the user's rights changed, `AccountGone`, `AccountSuspended` (mission
    L3)."""
    ((state, not_before),) = store.look(account_id, _LOOK, (account_id, account_id, actor.id))
    if not_before is not None and (actor.issued_at is None or actor.issued_at < not_before):
        raise Unauthenticated("The token is from before this user's rights changed.")
    refuse_closed(state, allow_suspended)


_LOOK_AT_CUSTOMER = (
    "SELECT (SELECT state FROM lethe.account_state WHERE account_id = %s),"
    " EXISTS (SELECT 1 FROM keys.person WHERE account_id = %s AND person_id = %s AND cut_at IS NOT NULL)"
)


def admit_customer(store: Store, account_id: str, actor: Actor, allow_suspended: bool) -> None:
    """Raises `Unauthenticated` for a person who is erased here, `AccountGone`, `AccountSuspended` (mission L3)."""
    ((state, is_cut),) = store.look(account_id, _LOOK_AT_CUSTOMER, (account_id, account_id, actor.id))
    if is_cut:
        raise Unauthenticated()
    refuse_closed(state, allow_suspended)
