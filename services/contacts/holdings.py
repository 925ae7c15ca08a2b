"""What contacts holds of persons, and how it lets go of it: its part in an erasure (`shared/erasing.py` has the protocol)."""

from __future__ import annotations

from collections.abc import Sequence

from services.contacts.person import Key
from services.contacts.projections import removal
from services.contacts.queries import known_identifiers
from shared.erasing import Retained
from shared.references import normalise_address
from shared.work import Store, Work

_THEIRS = "account_id = %s AND person_id = ANY (%s::uuid[])"


class ContactsHoldings:
    """Profiles, identifiers and spellings."""

    def count(self, work: Work, persons: Sequence[str]) -> dict[str, int]:
        values = (work.account_id, list(persons))
        rows = work.fetch(
            f"SELECT (SELECT count(*) FROM person WHERE {_THEIRS}), (SELECT count(*) FROM identifier_person WHERE {_THEIRS}),"
            " (SELECT count(*) FROM spelling WHERE account_id = %s AND identifier_id IN"
            f" (SELECT identifier_id FROM identifier_person WHERE {_THEIRS}))",
            (*values, *values, work.account_id, *values),
        )
        return dict(zip(("profiles", "identifiers", "spellings in texts"), rows[0], strict=True))

    def before_cut(self, store: Store, account_id: str, request_id: str, persons: Sequence[str]) -> None:
        """Nothing has to be told elsewhere: erasure took the identifiers with the request."""

    def retained(self, work: Work, persons: Sequence[str]) -> list[Retained]:
        return []

    def remove(self, work: Work, persons: Sequence[str]) -> int:
        """A person's rows are few, so one batch takes all. The index rows go first: they are found by the others."""
        values = (work.account_id, list(persons))
        (left,) = work.fetch(f"SELECT count(*) FROM person WHERE {_THEIRS}", values)[0]
        alone = (
            "SELECT mine.identifier_id FROM identifier_person mine WHERE mine.account_id = %s"
            " AND mine.person_id = ANY (%s::uuid[]) AND NOT EXISTS (SELECT 1 FROM keys.item_key k"
            " WHERE k.account_id = mine.account_id AND k.item_id = mine.identifier_id)"
        )
        for table in ("spelling_token", "identifier_token"):
            work.later(
                f"DELETE FROM {table} WHERE account_id = %s AND identifier_id IN ({alone})", (work.account_id, *values)
            )
        work.later(f"DELETE FROM name_token WHERE {_THEIRS}", values)
        for statement in removal(work.account_id, list(persons)):
            work.later(*statement)
        return int(left)

    def traces(self, work: Work, persons: Sequence[str], addresses: Sequence[str]) -> dict[str, int]:
        """Looks by id and by blind index. An address that another person uses as well is theirs still: not a trace."""
        traces = {kind: count for kind, count in self.count(work, persons).items() if count}
        keys: list[Key] = [("address", normalise_address(address)) for address in addresses]
        known = known_identifiers(work, work.blind_index(), keys)
        found = sum(1 for one in known.values() if set(one.person_ids) & set(persons))
        if found:
            traces["identifiers found by blind index"] = found
        return traces


HOLDINGS = ContactsHoldings()
