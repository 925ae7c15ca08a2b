"""What lifecycle holds of persons: nothing. An account's name belongs to the account; so the receipt says "nothing held"."""

from __future__ import annotations

from collections.abc import Sequence

from shared.erasing import Retained
from shared.work import Store, Work


class LifecycleHoldings:
    """The service's part in an erasure."""

    def count(self, work: Work, persons: Sequence[str]) -> dict[str, int]:
        return {}

    def before_cut(self, store: Store, account_id: str, request_id: str, persons: Sequence[str]) -> int:
        """Nothing has to be told elsewhere."""
        return 0

    def to_tell(self, work: Work, persons: Sequence[str]) -> int:
        return 0

    def inventory(self, work: Work, persons: Sequence[str]) -> list[str]:
        return []

    def kept(self, work: Work, persons: Sequence[str]) -> list[str]:
        return []

    def retained(self, work: Work, persons: Sequence[str]) -> list[Retained]:
        return []

    def remove(self, work: Work, persons: Sequence[str]) -> int:
        return 0

    def traces(
        self, work: Work, persons: Sequence[str], addresses: Sequence[str], inventory: Sequence[str]
    ) -> dict[str, int]:
        return {}


HOLDINGS = LifecycleHoldings()
