"""A recovery's step for copies whose key epoch has ended (`recovery.py`): the wraps of the newest key dump take the place of
theirs. What the dump lacks was cut before it, or its key is lost; the journal says which."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

import msgspec
import psycopg2
from psycopg2.extras import execute_values

from shared import clock
from shared.cut_journal import Cut
from shared.errors import Tampered
from shared.recovery_journals import journal_of
from shared.root_keys import RootKeys
from shared.rotation import DUMPS, KeyDump
from shared.settings import Settings


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
            return _take_dump(cursor, dump, journal_of(settings, service))
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
        took = [(persons[account, one], one) for one in owners[account, item] if (account, one) in persons]
        if (alone := others.get((account, item)) or others.get((account, account))) is not None:
            at, person = alone, None
        elif took:
            at, person = max(took)
        else:
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
