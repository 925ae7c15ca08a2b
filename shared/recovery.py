"""After a database was put back from a copy: the log gets its places back, and all that was cut since the copy is cut again.

Tiles, signing record, cut journal and root keys lie outside of the database and of its copies, so they know what it forgot
(architecture, "Backups"; mission E10, A5). Of one service, before it answers anything, in this order:

(a) a marker, durable: as long as it is there the service answers nothing (`put_back.py`). (b) The places of the log
(`recovery_log.py`). (c) Where the epoch of the copy has ended, the keys of the newest key dump (`recovery_keys.py`). (d)
`RowsLost`, an event that names the lost places. (e) The cut journals: accounts, items and persons that the copy does not know
as cut are cut again, with events that explain to an auditor what is pruned; erasure takes its suppression lists back, before
any person is cut. (f) Erasure ends the holds that had kept them. The marker goes when the caller has verified all logs.

Each step begins by looking at what is done, so all of it can be repeated from the start after a crash anywhere. Events that
were published in the last day before the copy are published again, since another service's copy may be older.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

import msgspec
import psycopg2

from shared.account_end import CELL, Count, end_account, has_given_receipt
from shared.cut_journal import Cut
from shared.erasing import Holdings, Retained, erase_subject, prune, receipt_exists
from shared.errors import Tampered
from shared.events import Envelope
from shared.failpoints import failpoint
from shared.ids import Id, new_id
from shared.item_cuts import cut_item
from shared.legal_holds import PersonsReleased
from shared.personal import NotPersonal
from shared.recovery_events import CutRepeated
from shared.recovery_journals import journals_of
from shared.settings import Settings
from shared.suppression_files import TakenBack
from shared.work import Store, Work

PLACES = "places"
CUTS = "cuts"
HOLDS = "holds"
"""The steps of a recovery: between the first two the relays are started; the last one is erasure's."""
_SEALED_COLUMNS = """
SELECT c.oid::regclass::text, quote_ident(a.attname), a.attnotnull OR EXISTS (
    SELECT 1 FROM pg_constraint WHERE conrelid = c.oid AND contype = 'c' AND a.attnum = ANY (conkey))
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'lethe' AND c.relkind = 'r' AND c.relrowsecurity AND a.atttypid = 'bytea'::regtype AND a.attnum > 0
    AND NOT a.attisdropped AND c.relname NOT IN ('event', 'idempotency') AND has_table_privilege(c.oid, 'UPDATE, DELETE')
ORDER BY 1, 2
"""


class ReleasedHold(msgspec.Struct, frozen=True, kw_only=True):
    """A legal hold that the copy still knew, of somebody who was cut since: it had ended before that."""

    account_id: Id
    hold_id: Id


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery did in one service."""

    service: Annotated[str, NotPersonal("the name of a service")]
    keys_reloaded: Count = 0
    persons: Count = 0
    items: Count = 0
    accounts: Count = 0
    """Cut again, by the journals."""
    suppressed: Count = 0
    """Entries of the suppression list that were outside of the database."""
    incomplete_lists: Count = 0
    """Accounts whose suppression list lacked something, or was missing: what persons had sent who were erased before can be
    imported again."""
    released: list[ReleasedHold] = []


class Side(Protocol):
    """What a service does of its own where cuts are repeated (`shared/service.py`)."""

    @property
    def holdings(self) -> Holdings:
        """As in every erasure."""

    def tidy_account(self, account_id: str) -> None:
        """As at an account's end."""

    def take_back(self) -> TakenBack:
        """Takes back what it keeps outside of its database. Repeatable."""

    def tell_end_again(self, account_id: str) -> None:
        """Says of an account that ended what only this service says. Repeatable."""

    def end_logins(self, account_id: str) -> None:
        """Ends what may have been ended since the copy, and nobody knows any more. Repeatable."""

    def end_item_again(self, work: Work, item_id: str) -> None:
        """Ends what an item was the profile of, as it was ended before: rows and index rows go, and an event says so."""

    def tell_before_cut_again(self, account_id: str, request_id: str, cut_at: dict[str, datetime]) -> None:
        """Tells elsewhere what a request that is lost had told, of persons cut at these times. Repeatable."""


def repeat_cuts(store: Store, side: Side, cause: str | None) -> Recovered:
    """Cuts what the journals name and the database does not know as cut. The relay has to run, and the service erasure, which
    is told what must not come back. `cause` is the event that told of the lost rows.

    Persons and accounts of all journals: what was under way when the databases were lost was carried out by some services, and
    the others would not hear of it any more. Items first: what explains their prunes is told before anything is pruned.
    """
    of_services = journals_of(store.settings)
    own, journals = of_services[store.service], [cut for journal in of_services.values() for cut in journal]
    ended = {cut.account: cut for cut in reversed(journals) if cut.kind == "account"}
    accounts = sum(_repeat_end(store, side, cut, cause) for cut in ended.values())
    taken = side.take_back()
    released: list[ReleasedHold] = []
    items = {(cut.account, cut.subject): cut for cut in own if cut.kind == "item" and cut.account not in ended}
    cut_again = [cut.account for cut in items.values() if _repeat_item(store, side, cut, cause, released)]
    for account in sorted(set(cut_again)):
        prune(store, account)
    forced = {(cut.account, cut.subject) for cut in own if cut.kind == "person"}
    of_request: dict[tuple[str, str], dict[str, datetime]] = defaultdict(dict)
    for cut in journals:
        if cut.kind == "person" and cut.account not in ended:
            of_request[cut.account, str(cut.request)].setdefault(cut.subject, cut.time)
    persons = 0
    for (account, request), cut_at in of_request.items():
        own_here = {person for person in cut_at if (account, person) in forced}
        persons += _repeat_persons(store, side, account, request, cut_at, own_here, cause, released)
    for account in _accounts(store.settings, store.service):
        side.end_logins(account)
    return Recovered(
        service=store.service, persons=persons, items=len(cut_again), accounts=accounts, suppressed=taken.entries,
        incomplete_lists=taken.incomplete, released=released,
    )  # fmt: skip


def _accounts(settings: Settings, service: str) -> list[str]:
    """All that hold a key."""
    connection = psycopg2.connect(settings.database_url(service, "owner"), connect_timeout=5)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT DISTINCT account_id::text FROM keys.account_key ORDER BY 1")
            return [account for (account,) in cursor.fetchall()]
    finally:
        connection.close()


def _repeat_end(store: Store, side: Side, cut: Cut, cause: str | None) -> bool:
    if has_given_receipt(store, cut.account):
        return False
    store.run(cut.account, lambda work: _release(work, None))
    side.tell_end_again(cut.account)
    end_account(store, _told(store, CELL, {"account_id": cut.account}, cut.time, cause), side.tidy_account)
    failpoint(f"{store.service}.recovering-end")
    return True


def _repeat_persons(
    store: Store, side: Side, account: str, request: str, cut_at: dict[str, datetime], own: set[str], cause: str | None,
    released: list[ReleasedHold],
) -> int:  # fmt: skip
    """How many persons of a request were cut. `own`: those of the service's own journal, which nothing keeps now either."""
    if store.run(account, lambda work: receipt_exists(work, request)):
        return 0
    persons = sorted(cut_at)
    released += store.run(account, lambda work: _release(work, persons))
    side.tell_before_cut_again(account, request, cut_at)
    data = {"request_id": request, "person_ids": persons}
    erase_subject(store, _Repeated(side.holdings, own), _told(store, account, data, min(cut_at.values()), cause))
    failpoint(f"{store.service}.recovering-person")
    return len(persons)


class _Repeated:
    """A service's holdings as they are when a cut is repeated: whom it had cut, nothing keeps from it now."""

    def __init__(self, holdings: Holdings, own: set[str]) -> None:
        self._holdings = holdings
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._holdings, name)

    def retained(self, work: Work, persons: Sequence[str]) -> list[Retained]:
        return self._holdings.retained(work, persons) if self.kept(work, persons) else []

    def kept(self, work: Work, persons: Sequence[str]) -> list[str]:
        return sorted(set(self._holdings.kept(work, persons)) - self._own)


def _release(work: Work, persons: Sequence[str] | None) -> list[ReleasedHold]:
    """Holds that the database still knows of persons who were cut since had ended before. Without persons, all."""
    given = None if persons is None else list(persons)
    rows = work.change(
        "DELETE FROM keys.hold WHERE account_id = %s AND (%s::uuid[] IS NULL OR person_id = ANY (%s::uuid[]))"
        " RETURNING hold_id, person_id",
        (work.account_id, given, given),
    )
    of_hold: dict[str, list[str]] = defaultdict(list)
    for hold, person in rows:
        of_hold[str(hold)].append(str(person))
    for hold, people in of_hold.items():
        stream = f"held/{hold}"
        event = PersonsReleased(hold_id=hold, person_ids=sorted(people))
        work.append(stream, work.versions_of([stream])[stream], [event])
    return [ReleasedHold(account_id=work.account_id, hold_id=hold) for hold in of_hold]


def _repeat_item(store: Store, side: Side, cut: Cut, cause: str | None, released: list[ReleasedHold]) -> bool:
    """Cuts an item of the service's own journal, unless the log tells of it: where the database knows a cut, it does."""
    stream = f"recut/{cut.subject}"

    def decide(work: Work) -> tuple[bool, list[ReleasedHold]]:
        rows = work.fetch(
            "SELECT key_id, person_id IS NULL AND NOT pruned FROM keys.cut_item WHERE account_id = %s AND item_id = %s",
            (work.account_id, cut.subject),
        )
        told = work.fetch("SELECT 1 FROM lethe.event WHERE account_id = %s AND stream = %s", (work.account_id, stream))
        if told or (rows and not any(is_open for _, is_open in rows)):
            return False, []
        owners = [
            str(person) for (person,) in work.fetch(
                "SELECT person_id FROM keys.item_person WHERE account_id = %s AND item_id = %s", (work.account_id, cut.subject)
            )
        ]  # fmt: skip
        holds = _release(work, owners) if owners else []
        side.end_item_again(work, cut.subject)
        cut_item(work, cut.subject)
        keys = [
            bytes(key).hex() for (key,) in work.fetch(
                "SELECT key_id FROM keys.cut_item WHERE account_id = %s AND item_id = %s", (work.account_id, cut.subject)
            )
        ]  # fmt: skip
        if work.fetch("SELECT 1 FROM keys.item_key WHERE account_id = %s AND item_id = %s", (work.account_id, cut.subject)):
            raise Tampered("an item that was cut keeps its key", service=store.service, item=cut.subject)
        work.append(stream, 0, [CutRepeated(item_id=cut.subject, keys=keys)])
        _blank(work, keys)
        return True, holds

    done, holds = store.run(cut.account, decide, causation=cause)
    released += holds
    return done


def _blank(work: Work, keys: Sequence[str]) -> None:
    """Dead ciphertext leaves the rows too (its key's id stands in bytes 2 to 9). Where the event that would have changed or
    removed them is lost, a row stays, with nothing of anybody in it; one that can't be without goes."""
    names = [bytes.fromhex(key) for key in keys]
    for table, column, is_needed in work.fetch(_SEALED_COLUMNS):
        change = f"DELETE FROM {table}" if is_needed else f"UPDATE {table} SET {column} = NULL"
        work.later(f"{change} WHERE account_id = %s AND substr({column}, 2, 8) = ANY (%s::bytea[])", (work.account_id, names))


def _told(store: Store, account: str, data: dict[str, Any], at: datetime, cause: str | None) -> Envelope:
    """The event that the service took the cut from, as far as the journal has kept it."""
    return Envelope(
        account=account, actor=CELL, causation=None, data=data, event=cause or new_id(), schema=1, sealed=[],
        service=store.service, stream="recovery", time=at, type="recovery", version=1,
    )  # fmt: skip
