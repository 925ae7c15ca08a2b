"""Whose tokens end when: the order between whoever changes a user's rights and whoever vouches for them.

A token says what its user might do when it was minted. So who mints reads the rights, and who changes them cuts the tokens
off, under one lock per user: a token by the old rights is from before the cutoff, one from after it has the new ones.
"""

from __future__ import annotations

from services.identity.events import ActorCutOff
from shared import clock
from shared.actor_cutoffs import keep_cutoff
from shared.work import Work


def hold_rights(work: Work, user_id: str) -> None:
    """Keeps a user's rights as they are until the end of the transaction: read them after it, and mint before the end."""
    work.fetch("SELECT pg_advisory_xact_lock_shared(hashtextextended('identity.rights ' || %s, 0))", (user_id,))


def cut_off(work: Work, user_id: str) -> ActorCutOff:
    """The event for the user's stream that ends all tokens minted so far. Here they end with the commit, elsewhere as soon as
    the event is there."""
    work.fetch("SELECT pg_advisory_xact_lock(hashtextextended('identity.rights ' || %s, 0))", (user_id,))
    not_before = clock.now()  # not `work.now`, which may be from before the lock
    keep_cutoff(work, user_id, not_before)
    return ActorCutOff(user_id=user_id, not_before=not_before)
