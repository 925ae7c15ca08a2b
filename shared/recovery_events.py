"""What a service's log says of a recovery (`recovery.py`): which events are lost, and which cuts were repeated."""

from __future__ import annotations

from shared.account_end import Index
from shared.events import Event, HexDigest
from shared.ids import StoredId


class RowsLost(Event, frozen=True, kw_only=True):
    """The database was put back to an earlier state: the events at these places of the log (first and last index of each
    range) are lost. Their commitments stay in the tree."""

    ranges: list[tuple[Index, Index]]


class CutRepeated(Event, frozen=True, kw_only=True):
    """An item was cut, the database forgot it, and it is cut again by the journal. `keys` are those that it had here."""

    item_id: StoredId
    keys: list[HexDigest]
