"""After a database was put back from a copy: the log gets its places back, and all that was cut since the copy is cut again.

Tiles, signing record, cut journal and root keys lie outside of the database and of its copies, so they know what it forgot
(architecture, "Backups"; mission E10, A5). Of one service, before it answers anything, in this order:

(a) a marker, durable: as long as it is there the service does not start. (b) Indices, with the leaves that the tiles have: the
log never forks. An event that the copy had and that was indexed later takes its own place; all others are lost. (c) Where the
epoch of the copy has ended, the keys of the newest key dump. (d) `RowsLost`, an event that names the lost places. (e) The cut
journal: accounts, persons and items that the copy does not know as cut are cut again, with events that explain to an auditor
what is pruned. The marker goes when the caller has verified the log (`finish`).

Each step begins by looking at what is done, so all of it can be repeated from the start after a crash anywhere. Events that
were published in the last hour before the copy are published again, since another service's copy may be older.
"""

from __future__ import annotations

import base64
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

import msgspec
import psycopg2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from psycopg2.extras import execute_values

from shared import clock
from shared.account_end import CELL, RANGES_IN_ONE_EVENT, Count, end_account
from shared.cut_journal import Cut, read
from shared.erasing import Holdings, Retained, erase_subject, prune, receipt_exists
from shared.errors import Conflict, Tampered
from shared.events import Envelope, commitment
from shared.failpoints import failpoint
from shared.ids import new_id
from shared.item_cuts import cut_item
from shared.legal_holds import PersonsReleased
from shared.log_comparison import RowsMissing, compare_with_tiles
from shared.personal import NotPersonal
from shared.put_back import signer_of
from shared.recovery_events import CutRepeated, RowsLost
from shared.relay_database import LEASE_SECONDS, RelayDatabase
from shared.root_keys import RootKeys
from shared.rotation import DUMPS, KeyDump
from shared.settings import Settings
from shared.tiles import TileReader, files_in
from shared.work import Store, Work

PLACES = "places"
CUTS = "cuts"
"""The two steps of a recovery, between which the relays are started."""
LEASE_PATIENCE_SECONDS = 2 * LEASE_SECONDS
PAGE = 5_000
_UNLOGGED = """
SELECT sequence, salt, envelope FROM lethe.event e
WHERE NOT EXISTS (SELECT 1 FROM lethe.log l WHERE l.sequence = e.sequence)
"""
# No event has such a number, so these rows say of themselves that they have none
_INSERT = "INSERT INTO lethe.log (index, sequence, leaf, term) VALUES %s"
_PUBLISH_AGAIN = """
UPDATE lethe.relay_cursor SET published = LEAST(published, COALESCE((
    SELECT min(index) FROM lethe.log WHERE index < %(size)s AND indexed_at >= (
        SELECT max(indexed_at) FROM lethe.log WHERE index < %(size)s) - interval '1 hour'), 0))
"""
_LOST = """
SELECT min(index), max(index) FROM (
    SELECT index, index - row_number() OVER (ORDER BY index) AS run FROM lethe.log WHERE sequence < 0 AND index > %s) AS each
GROUP BY run ORDER BY 1
"""
_SEALED_COLUMNS = """
SELECT c.oid::regclass::text, quote_ident(a.attname), a.attnotnull OR EXISTS (
    SELECT 1 FROM pg_constraint WHERE conrelid = c.oid AND contype = 'c' AND a.attnum = ANY (conkey))
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'lethe' AND c.relkind = 'r' AND c.relrowsecurity AND a.atttypid = 'bytea'::regtype AND a.attnum > 0
    AND NOT a.attisdropped AND c.relname NOT IN ('event', 'idempotency') AND has_table_privilege(c.oid, 'UPDATE, DELETE')
ORDER BY 1, 2
"""


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery did in one service."""

    service: Annotated[str, NotPersonal("the name of a service")]
    keys_reloaded: Count
    persons: Count
    items: Count
    accounts: Count
    """Cut again, by the journal."""


# -- (b) the log


def give_back_places(settings: Settings, service: str) -> int:
    """Gives the log the rows of all that is signed; returns how many there were not. Raises `Tampered` where the rows that are
    there are not those that were signed, `Conflict` where a relay leads."""
    record = signer_of(settings, service).record()
    tiles = settings.path("tiles", service)
    reader = TileReader(files_in(tiles), record.size)
    if reader.root() != record.root:
        raise Tampered("the tiles do not have the root that was signed", service=service, size=record.size)
    database = RelayDatabase(settings.database_url(service, "relay"), "recovery")
    term = None
    try:
        term = _lease(database, record.term)
        size = database.log_size()
        try:
            compare_with_tiles(database, tiles, min(size, record.size), lambda: database.renew_lease(term))
        except RowsMissing as error:
            raise Tampered("rows are missing in the middle of the log: this is no copy", service=service) from error
        if size < record.size:
            _insert_rows(settings, service, reader, size, term)
        return max(0, record.size - size)
    finally:
        if term is not None:
            database.release_lease(term)
        database.close()


def _lease(database: RelayDatabase, above: int) -> int:
    """The relay's lease: one that ended without a word runs out in some seconds."""
    deadline = time.monotonic() + LEASE_PATIENCE_SECONDS
    while (term := database.take_lease(above)) is None:
        if time.monotonic() > deadline:
            raise Conflict("a relay of this service leads: stop it first")
        time.sleep(0.2)
    return term


def _insert_rows(settings: Settings, service: str, reader: TileReader, size: int, term: int) -> None:
    connection = psycopg2.connect(settings.database_url(service, "relay"), connect_timeout=5)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_UNLOGGED)
            known = {commitment(bytes(salt), bytes(envelope)): sequence for sequence, salt, envelope in cursor.fetchall()}
            rows = (
                (index, known.get(leaf, -index - 1), leaf, term)
                for index, leaf in enumerate(reader.entries(size), start=size)
            )
            execute_values(cursor, _INSERT, rows, page_size=PAGE)
            cursor.execute(_PUBLISH_AGAIN, {"size": size})
            failpoint("recovery.indexing")
    finally:
        connection.close()


def tell_lost(store: Store) -> tuple[int, str | None]:
    """Appends what names the places whose events are lost, once; how many they are, and the event by which it was told last."""

    def decide(work: Work) -> tuple[int, str | None]:
        told = work.fetch(
            "SELECT event_id, envelope FROM lethe.event WHERE account_id = %s AND type = %s ORDER BY sequence",
            (CELL, f"{store.service}.RowsLost"),
        )
        named = [last for _, raw in told for _, last in msgspec.json.decode(bytes(raw))["data"]["ranges"]]
        ranges = [(first, last) for first, last in work.fetch(_LOST, (max(named, default=-1),))]
        if not ranges:
            return 0, str(told[-1][0]) if told else None
        stream = f"recovery/{new_id()}"
        parts = [ranges[at : at + RANGES_IN_ONE_EVENT] for at in range(0, len(ranges), RANGES_IN_ONE_EVENT)]
        appended = work.append(stream, 0, [RowsLost(ranges=part) for part in parts])
        return sum(last - first + 1 for first, last in ranges), appended[-1].envelope.event

    return store.run(CELL, decide)


# -- (c) keys of an epoch that has ended


def reload_keys(settings: Settings, service: str) -> int:
    """Where the copy's account keys are wrapped under a root that is destroyed: puts the wraps of the newest key dump in their
    place; returns how many items have theirs again.

    An item that the dump lacks was cut before that, and is noted as cut. Raises `Tampered` where the journal knows nothing of
    it: then its key is lost, and the copy is younger than the dump.
    """
    epochs = RootKeys(settings.path("root-keys"), service).epochs()
    connection = psycopg2.connect(settings.database_url(service, "owner"), connect_timeout=5)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM keys.account_key WHERE epoch <> ALL (%s) LIMIT 1", (epochs,))
            if cursor.fetchone() is None:
                return 0
            dump = _newest_dump(settings, service, epochs)
            return _take_dump(cursor, dump, _journal(settings, service))
    finally:
        connection.close()


def _newest_dump(settings: Settings, service: str, epochs: list[int]) -> KeyDump:
    for epoch in reversed(epochs):
        for place in DUMPS:
            path = settings.path("key-dumps", place, service) / f"epoch-{epoch}.dump"
            try:
                return msgspec.msgpack.decode(path.read_bytes(), type=KeyDump)
            except FileNotFoundError:
                continue
            except msgspec.MsgspecError:
                continue  # the other place has it whole
    raise Tampered("the epoch of this copy has ended, and there is no key dump of a later one", service=service)


def _take_dump(cursor: Any, dump: KeyDump, journal: list[Cut]) -> int:
    cursor.execute("SELECT DISTINCT account_id::text FROM keys.account_key")
    known = {account for (account,) in cursor.fetchall()}
    accounts = [row for row in dump.accounts if row.account in known]
    cursor.execute("SELECT account_id::text, item_id::text, key_id, stream FROM keys.item_key")
    there = {(account, item): (bytes(key), stream) for account, item, key, stream in cursor.fetchall()}
    kept = [row for row in dump.items if (row.account, row.item) in there]
    cursor.execute("SELECT account_id::text, item_id::text, person_id::text FROM keys.item_person ORDER BY 1, 2, 3")
    owners: dict[tuple[str, str], list[str]] = defaultdict(list)
    for account, item, person in cursor.fetchall():
        owners[account, item].append(person)
    # apart, since a person's profile is an item of the person's id
    persons = {(cut.account, cut.subject): cut.time for cut in journal if cut.kind == "person"}
    others = {(cut.account, cut.subject): cut.time for cut in journal if cut.kind in ("item", "account")}
    for account, item in there.keys() - {(row.account, row.item) for row in kept}:
        took = max(((persons[account, one], one) for one in owners[account, item] if (account, one) in persons), default=None)
        at, person = took or (others.get((account, item)) or others.get((account, account)), None)
        if at is None:
            raise Tampered("the key of an item is in no dump, and the journal does not say that it was cut", item=item)
        _note_cut(cursor, account, item, *there[account, item], person, at)
    execute_values(
        cursor, "INSERT INTO keys.account_key (account_id, generation, epoch, wrapped, created_at) VALUES %s"
        " ON CONFLICT (account_id, generation) DO UPDATE SET epoch = EXCLUDED.epoch, wrapped = EXCLUDED.wrapped",
        [(row.account, row.generation, row.epoch, row.wrapped, clock.now()) for row in accounts],
    )  # fmt: skip
    execute_values(
        cursor, "UPDATE keys.item_key k SET generation = new.generation, wrapped = new.wrapped"
        " FROM (VALUES %s) AS new (account_id, item_id, generation, wrapped)"
        " WHERE k.account_id = new.account_id AND k.item_id = new.item_id",
        [(row.account, row.item, row.generation, row.wrapped) for row in kept],
        template="(%s::uuid, %s::uuid, %s, %s::bytea)", page_size=1_000,
    )  # fmt: skip
    for row in accounts:
        cursor.execute("DELETE FROM keys.account_key WHERE account_id = %s AND generation < %s", (row.account, row.generation))
    return len(kept)


def _note_cut(cursor: Any, account: str, item: str, key_id: bytes, stream: str, person: str | None, at: datetime) -> None:
    """An item that the key dump lacks, as the cut had left it. Its person is the one whose cut took it: the last of several."""
    cursor.execute("DELETE FROM keys.item_key WHERE account_id = %s AND item_id = %s RETURNING generation", (account, item))
    (generation,) = cursor.fetchone()
    cursor.execute(
        "INSERT INTO keys.cut_item (account_id, item_id, key_id, stream, generation, person_id, cut_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (account, item, key_id, stream, generation, person, at),
    )


# -- (e) the cut journal


class Side(Protocol):
    """What a service does of its own where cuts are repeated (`shared/service.py`)."""

    @property
    def holdings(self) -> Holdings:
        """As in every erasure."""

    def tidy_account(self, account_id: str) -> None:
        """As at an account's end."""

    def tell_end_again(self, account_id: str) -> None:
        """Says of an account that ended what only this service says. Repeatable."""

    def end_logins(self, account_id: str) -> None:
        """Ends what may have been ended since the copy, and nobody knows any more. Repeatable."""

    def tell_before_cut_again(self, account_id: str, request_id: str, persons: Sequence[str]) -> None:
        """Tells elsewhere what a request that is lost had told. Repeatable."""


def repeat_cuts(store: Store, side: Side, cause: str | None) -> tuple[int, int, int]:
    """Cuts what the journal names and the database does not know as cut: persons, items, accounts; how many of each. The relay
    has to run, and the service erasure, which is told what must not come back. `cause` is the event that told of the lost
    rows."""
    journal = _journal(store.settings, store.service)
    ended = {cut.account: cut for cut in journal if cut.kind == "account"}
    accounts = sum(_repeat_end(store, side, cut, cause) for cut in ended.values())
    of_request: dict[tuple[str, str], dict[str, Cut]] = defaultdict(dict)
    items: dict[tuple[str, str], Cut] = {}
    for cut in journal:
        if cut.account in ended:
            continue
        if cut.kind == "person":
            of_request[cut.account, str(cut.request)].setdefault(cut.subject, cut)
        elif cut.kind == "item":
            items.setdefault((cut.account, cut.subject), cut)
    persons = sum(_repeat_persons(store, side, *key, list(cuts.values()), cause) for key, cuts in of_request.items())
    cut_again = [cut.account for cut in items.values() if _repeat_item(store, cut, cause)]
    for account in sorted(set(cut_again)):
        prune(store, account)
    for account in _accounts(store.settings, store.service):
        side.end_logins(account)
    return persons, len(cut_again), accounts


def _accounts(settings: Settings, service: str) -> list[str]:
    """All that hold a key."""
    connection = psycopg2.connect(settings.database_url(service, "owner"), connect_timeout=5)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT DISTINCT account_id::text FROM keys.account_key ORDER BY 1")
            return [account for (account,) in cursor.fetchall()]
    finally:
        connection.close()


def _journal(settings: Settings, service: str) -> list[Cut]:
    """Raises `Tampered` where it is not as it was signed: a journal that somebody changed decides nothing."""
    path = settings.path("tiles", service) / "cut-journal.jsonl"
    if not path.exists():
        return []
    octets = base64.b64decode(settings.path("verifiers", f"journal-{service}.key").read_text("utf-8"))
    return read(path, Ed25519PublicKey.from_public_bytes(octets))


def _repeat_end(store: Store, side: Side, cut: Cut, cause: str | None) -> bool:
    def is_gone(work: Work) -> bool:
        return bool(
            work.fetch(
                "SELECT 1 FROM lethe.event WHERE account_id = %s AND stream = %s AND type = %s",
                (CELL, f"gone/{cut.account}", f"{store.service}.AccountGone"),
            )
        )

    if store.run(CELL, is_gone):
        return False
    _release(store, cut.account, None)
    side.tell_end_again(cut.account)
    end_account(store, _told(store, CELL, {"account_id": cut.account}, cut.time, cause), side.tidy_account)
    failpoint(f"{store.service}.recovering-end")
    return True


def _repeat_persons(store: Store, side: Side, account: str, request: str, cuts: list[Cut], cause: str | None) -> int:
    if store.run(account, lambda work: receipt_exists(work, request)):
        return 0
    persons = sorted(cut.subject for cut in cuts)
    _release(store, account, persons)
    side.tell_before_cut_again(account, request, persons)
    data = {"request_id": request, "person_ids": persons}
    erase_subject(store, _Repeated(side.holdings), _told(store, account, data, cuts[0].time, cause))
    failpoint(f"{store.service}.recovering-person")
    return len(persons)


class _Repeated:
    """A service's holdings as they are when a cut is repeated: nobody is kept from it who was not then."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._holdings, name)

    def retained(self, _work: Work, _persons: Iterable[str]) -> list[Retained]:
        return []

    def kept(self, _work: Work, _persons: Iterable[str]) -> list[str]:
        return []


def _release(store: Store, account: str, persons: list[str] | None) -> None:
    """Holds that the database still knows of persons who were cut since had ended before. Without persons, all."""

    def decide(work: Work) -> None:
        rows = work.change(
            "DELETE FROM keys.hold WHERE account_id = %s AND (%s::uuid[] IS NULL OR person_id = ANY (%s::uuid[]))"
            " RETURNING hold_id, person_id",
            (account, persons, persons),
        )
        of_hold: dict[str, list[str]] = defaultdict(list)
        for hold, person in rows:
            of_hold[str(hold)].append(str(person))
        for hold, released in of_hold.items():
            stream = f"held/{hold}"
            event = PersonsReleased(hold_id=hold, person_ids=sorted(released))
            work.append(stream, work.versions_of([stream])[stream], [event])

    store.run(account, decide)


def _repeat_item(store: Store, cut: Cut, cause: str | None) -> bool:
    stream = f"recut/{cut.subject}"

    def decide(work: Work) -> bool:
        rows = work.fetch(
            "SELECT key_id FROM keys.cut_item WHERE account_id = %s AND item_id = %s", (work.account_id, cut.subject)
        )
        told = work.fetch("SELECT 1 FROM lethe.event WHERE account_id = %s AND stream = %s", (work.account_id, stream))
        if told or (rows and not _was_reloaded(work, cut.subject)):
            return False
        keys = cut_item(work, cut.subject) or [bytes(key).hex() for (key,) in rows]
        work.append(stream, 0, [CutRepeated(item_id=cut.subject, keys=keys)])
        _blank(work, keys)
        return True

    return store.run(cut.account, decide, causation=cause)


def _blank(work: Work, keys: Sequence[str]) -> None:
    """Dead ciphertext leaves the rows too (its key's id stands in bytes 2 to 9). The event that would have changed or removed
    them is lost, so a row stays, with nothing of anybody in it; one that can't be without goes."""
    names = [bytes.fromhex(key) for key in keys]
    for table, column, is_needed in work.fetch(_SEALED_COLUMNS):
        change = f"DELETE FROM {table}" if is_needed else f"UPDATE {table} SET {column} = NULL"
        work.later(f"{change} WHERE account_id = %s AND substr({column}, 2, 8) = ANY (%s::bytea[])", (work.account_id, names))


def _was_reloaded(work: Work, item: str) -> bool:
    """Whether a tombstone was made of a key dump, and no event tells of it: of what an event tells, the bytes are pruned."""
    return bool(
        work.fetch(
            "SELECT 1 FROM keys.cut_item WHERE account_id = %s AND item_id = %s AND person_id IS NULL AND NOT pruned",
            (work.account_id, item),
        )
    )


def _told(store: Store, account: str, data: dict[str, Any], at: datetime, cause: str | None) -> Envelope:
    """The event that the service took the cut from, as far as the journal has kept it."""
    event = cause or new_id()
    return Envelope(
        account=account, actor=CELL, causation=None, data=data, event=event, schema=1, sealed=[], service=store.service,
        stream="recovery", time=at, type="recovery", version=1,
    )  # fmt: skip
