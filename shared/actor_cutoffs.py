"""From when on an actor's tokens count, in each service: what was minted before somebody's rights changed is refused.

A token is checked offline and may be good for hours; identity's event `ActorCutOff` ends it in every service. Of two moments
the later one wins, so that the order of deliveries does not matter. The rows hold a user's opaque id and a time; they go with
the account.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from shared.events import Envelope
from shared.work import Store, Work


def take_cutoff(store: Store, envelope: Envelope) -> None:
    """The reaction to `identity.ActorCutOff`, which has `user_id` and `not_before`."""
    not_before = msgspec.convert(envelope.data["not_before"], datetime)
    with store.work(envelope.account) as work:
        keep_cutoff(work, str(envelope.data["user_id"]), not_before)


def keep_cutoff(work: Work, actor_id: str, not_before: datetime) -> None:
    """Refuses the actor's tokens from before a moment, from the commit on. Keeps a later moment that is known."""
    work.later(
        "INSERT INTO lethe.actor_cutoff AS known (account_id, actor_id, not_before) VALUES (%s, %s, %s)"
        " ON CONFLICT (account_id, actor_id) DO UPDATE SET not_before = EXCLUDED.not_before"
        " WHERE known.not_before < EXCLUDED.not_before",
        (work.account_id, actor_id, not_before),
    )
