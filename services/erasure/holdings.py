"""What erasure holds of persons: nothing under their own keys. What a request says of its person is an item of the request,
needed until it is completed and cut with it; so the receipt of erasure itself says "nothing held"."""

from __future__ import annotations

from collections.abc import Sequence

from shared.erasing import Retained
from shared.work import Store, Work


class ErasureHoldings:
    """The service's own part in the protocol that it runs."""

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
        """Earlier requests about these persons that are completed and would still open."""
        (count,) = work.fetch(
            "SELECT count(DISTINCT r.request_id) FROM request_person p JOIN request r USING (account_id, request_id)"
            " JOIN keys.item_key k ON k.account_id = r.account_id AND k.item_id = r.request_id"
            " WHERE p.account_id = %s AND p.person_id = ANY (%s::uuid[]) AND r.state = 'completed'",
            (work.account_id, list(persons)),
        )[0]
        return {"completed requests that open": count} if count else {}


HOLDINGS = ErasureHoldings()
