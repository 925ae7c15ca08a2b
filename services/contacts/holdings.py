"""What contacts holds of persons, and how it lets go of it: its part in an erasure (`shared/erasing.py` has the protocol)."""

from __future__ import annotations

from collections.abc import Sequence

from services.contacts.person import Key
from services.contacts.projections import removal
from shared.erasing import Retained
from shared.references import normalise_address, normalise_phone
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

    def before_cut(self, store: Store, account_id: str, request_id: str, persons: Sequence[str]) -> int:
        """Nothing has to be told elsewhere: erasure took the identifiers with the request."""
        return 0

    def to_tell(self, work: Work, persons: Sequence[str]) -> int:
        return 0

    def inventory(self, work: Work, persons: Sequence[str]) -> list[str]:
        """The identifiers that are theirs alone."""
        rows = work.fetch(
            "SELECT DISTINCT mine.identifier_id FROM identifier_person mine WHERE mine.account_id = %s"
            " AND mine.person_id = ANY (%s::uuid[]) AND NOT EXISTS (SELECT 1 FROM identifier_person other"
            " WHERE other.account_id = mine.account_id AND other.identifier_id = mine.identifier_id"
            " AND other.person_id <> ALL (%s::uuid[]))",
            (work.account_id, list(persons), list(persons)),
        )
        return [identifier for (identifier,) in rows]

    def kept(self, work: Work, persons: Sequence[str]) -> list[str]:
        return []

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
            work.later(statement.sql, statement.values)
        return int(left)

    def traces(
        self, work: Work, persons: Sequence[str], addresses: Sequence[str], inventory: Sequence[str]
    ) -> dict[str, int]:
        """Looks by person, by the ids that were there, and by blind index for rows whose key is gone. An address that another
        person uses as well is theirs still: not a trace."""
        traces = {kind: count for kind, count in self.count(work, persons).items() if count}
        for table in ("identifier", "spelling", "identifier_token", "spelling_token"):
            (left,) = work.fetch(
                f"SELECT count(*) FROM {table} WHERE account_id = %s AND identifier_id = ANY (%s::uuid[])",
                (work.account_id, list(inventory)),
            )[0]
            if left:
                traces[f"rows of {table} of identifiers that are gone"] = left
        index = work.blind_index()
        tokens = [index.token(*identifier_key(address)) for address in addresses]
        (dead,) = work.fetch(
            "SELECT count(*) FROM identifier_token t WHERE account_id = %s AND token = ANY (%s::bigint[]) AND NOT EXISTS"
            " (SELECT 1 FROM keys.item_key k WHERE k.account_id = t.account_id AND k.item_id = t.identifier_id)",
            (work.account_id, tokens),
        )[0]
        if dead:
            traces["index rows that lead to what is gone"] = dead
        return traces


def identifier_key(identifier: str) -> Key:
    """An identifier of a request as contacts keeps it."""
    phone = normalise_phone(identifier) if "@" not in identifier else None
    return ("phone", phone) if phone else ("address", normalise_address(identifier))


HOLDINGS = ContactsHoldings()
