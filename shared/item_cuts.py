"""Cutting one item, and no person: a profile that is deleted, an invitation that is over, a saved search that is removed, what
a completed request for erasure knew of its person.

The key goes in the transaction of the event that says so (its `keys` explain to an auditor what is pruned); the cut journal and
the pruning follow in the reaction to that event, so that a crash in between is mended by its delivery.
"""

from __future__ import annotations

from shared.cut_journal import Cut, note_cuts
from shared.erasing import prune
from shared.events import Envelope
from shared.work import Store, Work


def cut_item(work: Work, item_id: str) -> list[str]:
    """Destroys an item's key; gives the ids of the keys that went, for the event. Nothing opens from the commit on.

    While a legal hold is on its person none goes: the item is cut when the hold ends (`legal_holds.py`)."""
    (cut,) = work.change("SELECT keys.cut_item_key(%s, %s, %s)", (work.account_id, item_id, work.now))[0]
    work.store.keys.forget(work.account_id, [item_id])
    return [] if cut is None else [bytes(cut).hex()]


def finish_cut(store: Store, envelope: Envelope, item_id: str) -> None:
    """Puts the cut into the journal and removes the dead ciphertext. Repeatable: an entry twice does no harm."""
    if not envelope.data["keys"]:
        return
    cut = Cut(account=envelope.account, subject=item_id, kind="item", reason="deletion", request=None, time=envelope.time)
    note_cuts(store.settings, store.service, [cut])
    prune(store, envelope.account)
