"""Ends a key epoch: afterwards nothing that was cut opens from any older copy (architecture, "Rotation").

Of one key tree, in this order, each step repeatable after a crash: a new root key → every account's key re-wrapped under it,
or replaced where something was cut under it since it was made (an old dump holds the wraps of what was cut; only a new
account key keeps them shut once dump and new root meet) → a dump of the wrapped keys written in two places and opened again
from each → of erasure the keys of its suppression lists re-wrapped → the old roots destroyed, once no row refers to them. A
writer that still holds an old account key is refused by the foreign key of its wrap and wraps again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import psycopg2
from psycopg2.extras import execute_values

from shared import clock
from shared.cut_journal import Cut, note_cuts
from shared.errors import Conflict, Tampered
from shared.failpoints import failpoint
from shared.keys import KeyTree
from shared.personal import NotPersonal
from shared.root_keys import RootKeys, sync_folder
from shared.settings import Settings
from shared.suppression_files import ERASURE, SuppressionFiles
from shared.work import SYSTEM_ACTOR

TRIES = 5
DUMPS = ("a", "b")
"""The two places of a key dump, below `home/key-dumps`. An operator mounts them on different media."""


class _AccountRow(msgspec.Struct, frozen=True):
    account: str
    generation: int
    epoch: int
    wrapped: bytes


class _ItemRow(msgspec.Struct, frozen=True):
    account: str
    item: str
    generation: int
    wrapped: bytes


class KeyDump(msgspec.Struct, frozen=True):
    """All wrapped keys of a service: useless without a root key."""

    service: Annotated[str, NotPersonal("the name of a service")]
    epoch: int
    accounts: list[_AccountRow]
    items: list[_ItemRow]


class Rotated(msgspec.Struct, frozen=True, kw_only=True):
    """What a rotation did in one key tree."""

    service: str
    epoch: int
    accounts_rewrapped: int
    accounts_rekeyed: int
    items_rewrapped: int
    destroyed: list[int]


def rotate(settings: Settings, service: str, note: Callable[[str], None] = lambda _: None) -> Rotated:
    """Ends the epoch of a service's key tree. Safe to repeat; raises and leaves the old root where a check fails."""
    roots = RootKeys(settings.path("root-keys"), service)
    tree = KeyTree(service, roots)
    older = roots.epochs()
    # a rotation that was cut short has made its new root already: go on with that one
    epoch = older[-1] if len(older) > 1 else roots.begin_epoch()
    begun = clock.now()
    failpoint("rotation.begun")
    connection = psycopg2.connect(settings.database_url(service, "owner"), connect_timeout=5)
    rewrapped = rekeyed = items = 0
    destroyed: list[int] | None = None
    try:
        for _ in range(TRIES):
            for account in _accounts(connection, epoch):
                was_cut, moved = _rotate_account(connection, tree, account, epoch)
                rekeyed, rewrapped, items = rekeyed + was_cut, rewrapped + (not was_cut), items + moved
                failpoint("rotation.account")
            dump = _dump(connection, service, epoch)
            if any(row.epoch != epoch for row in dump.accounts):
                continue  # an account was opened meanwhile, under the old root
            _write_and_open_dumps(settings, tree, dump)
            failpoint("rotation.dumped")
            if service == ERASURE:
                SuppressionFiles(settings).rewrap()
            destroyed = _destroy_older(connection, roots, epoch)
            if destroyed is not None:
                break
        else:
            raise Conflict("accounts are being opened all the time; stop the services and rotate again")
    finally:
        connection.close()
    note(f"{service}: {rewrapped} accounts re-wrapped, {rekeyed} with a new key")
    _remove_older_dumps(settings, service, destroyed)
    failpoint("rotation.destroyed")
    # what was cut later than this may have been re-wrapped before its cut: the next epoch's end covers it
    _note_in_journal(settings, service, begun)
    return Rotated(
        service=service, epoch=epoch, accounts_rewrapped=rewrapped, accounts_rekeyed=rekeyed, items_rewrapped=items,
        destroyed=destroyed,
    )  # fmt: skip


def rotate_transport(settings: Settings) -> int:
    """A new transport key; the older ones go. The services are to be stopped or idle."""
    roots = RootKeys(settings.path("root-keys"), "transport")
    older = roots.epochs()
    epoch = roots.begin_epoch()
    for one in older:
        roots.destroy(one)
    return epoch


def _accounts(connection: Any, epoch: int) -> list[str]:
    with connection, connection.cursor() as cursor:
        # also accounts that an earlier run, cut short, has under the new root already, and in which somebody was cut since
        cursor.execute(
            "SELECT DISTINCT account_id::text FROM keys.account_key k WHERE epoch < %s OR EXISTS (SELECT 1 FROM keys.cut_item c"
            " WHERE c.account_id = k.account_id AND c.generation = k.generation) ORDER BY 1",
            (epoch,),
        )
        return [account for (account,) in cursor.fetchall()]


def _rotate_account(connection: Any, tree: KeyTree, account: str, epoch: int) -> tuple[bool, int]:
    """One account in one transaction; (whether it got a new key, how many items were re-wrapped)."""
    for _ in range(TRIES):
        try:
            with connection, connection.cursor() as cursor:
                return _rotate_in(cursor, tree, account, epoch)
        except psycopg2.errors.RestrictViolation:
            continue  # a writer wrapped under the old key meanwhile: take its wrap along
        except (psycopg2.errors.ForeignKeyViolation, psycopg2.errors.DeadlockDetected):
            continue
    raise Conflict("an account's keys are being written all the time; stop the services and rotate again")


def _rotate_in(cursor: Any, tree: KeyTree, account: str, epoch: int) -> tuple[bool, int]:
    cursor.execute(
        "SELECT generation, epoch, wrapped, EXISTS (SELECT 1 FROM keys.cut_item c WHERE c.account_id = k.account_id"
        " AND c.generation = k.generation) FROM keys.account_key k WHERE account_id = %s ORDER BY generation FOR UPDATE",
        (account,),
    )
    rows = cursor.fetchall()
    keys = {row[0]: tree.unwrap_account_key(account, row[0], row[1], bytes(row[2])) for row in rows}
    newest, _, _, was_cut = rows[-1]
    if not was_cut and len(rows) == 1:
        wrapped = tree.wrap_account_key(account, newest, epoch, keys[newest])
        cursor.execute(
            "UPDATE keys.account_key SET epoch = %s, wrapped = %s WHERE account_id = %s AND generation = %s",
            (epoch, wrapped, account, newest),
        )
        return False, 0
    generation = newest + 1
    _, wrapped, key = tree.new_account_key(account, generation)
    cursor.execute(
        "INSERT INTO keys.account_key (account_id, generation, epoch, wrapped, created_at) VALUES (%s, %s, %s, %s, %s)",
        (account, generation, epoch, wrapped, clock.now()),
    )
    # NO KEY: a writer that holds an item's key, and waits for the account's to mint another, must not wait for us in a circle
    cursor.execute(
        "SELECT item_id::text, generation, wrapped FROM keys.item_key WHERE account_id = %s ORDER BY item_id"
        " FOR NO KEY UPDATE",
        (account,),
    )
    moved = [
        (item, tree.wrap_item_key(account, key, item, tree.unwrap_item_key(account, keys[old], item, bytes(wrap))))
        for item, old, wrap in cursor.fetchall()
    ]
    execute_values(
        cursor,
        "UPDATE keys.item_key k SET generation = new.generation, wrapped = new.wrapped"
        " FROM (VALUES %s) AS new (account_id, item_id, generation, wrapped)"
        " WHERE k.account_id = new.account_id AND k.item_id = new.item_id",
        [(account, item, generation, wrap) for item, wrap in moved],
        template="(%s::uuid, %s::uuid, %s, %s::bytea)",
        page_size=1_000,
    )
    cursor.execute("DELETE FROM keys.account_key WHERE account_id = %s AND generation < %s", (account, generation))
    return True, len(moved)


def _dump(connection: Any, service: str, epoch: int) -> KeyDump:
    with connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT account_id::text, generation, epoch, wrapped FROM keys.account_key ORDER BY 1, 2")
        accounts = [_AccountRow(account, number, at, bytes(wrap)) for account, number, at, wrap in cursor.fetchall()]
        cursor.execute("SELECT account_id::text, item_id::text, generation, wrapped FROM keys.item_key ORDER BY 1, 2")
        items = [_ItemRow(account, item, number, bytes(wrap)) for account, item, number, wrap in cursor.fetchall()]
    return KeyDump(service, epoch, accounts, items)


def _write_and_open_dumps(settings: Settings, tree: KeyTree, dump: KeyDump) -> None:
    raw = msgspec.msgpack.encode(dump)
    for place in DUMPS:
        folder = settings.path("key-dumps", place, dump.service)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"epoch-{dump.epoch}.dump"
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(folder)
        _open_dump(path, tree)


def _open_dump(path: Path, tree: KeyTree) -> None:
    """Reads a dump back and opens every key in it. A dump that does not open must stop the old root's destruction."""
    dump = msgspec.msgpack.decode(path.read_bytes(), type=KeyDump)
    keys = {
        (row.account, row.generation): tree.unwrap_account_key(row.account, row.generation, row.epoch, row.wrapped)
        for row in dump.accounts
    }
    for item in dump.items:
        tree.unwrap_item_key(item.account, keys[item.account, item.generation], item.item, item.wrapped)
    if any(row.epoch != dump.epoch for row in dump.accounts):
        raise Tampered("a key dump refers to an older epoch")


def _destroy_older(connection: Any, roots: RootKeys, epoch: int) -> list[int] | None:
    """Destroys the older root keys and returns their epochs; None, and none is destroyed, if a row refers to one after all.

    The lock waits for writers that are storing the first key of an account, and keeps others from it until the old roots are
    gone, which they look at after they have stored it (`Work._newest_account_key`)."""
    with connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE keys.account_key IN SHARE MODE")
        cursor.execute("SELECT 1 FROM keys.account_key WHERE epoch <> %s LIMIT 1", (epoch,))
        if cursor.fetchone() is not None:
            return None
        destroyed = [one for one in roots.epochs() if one < epoch]
        for one in destroyed:
            roots.destroy(one)
        return destroyed


def _remove_older_dumps(settings: Settings, service: str, epochs: list[int]) -> None:
    for epoch in epochs:
        for place in DUMPS:
            settings.path("key-dumps", place, service, f"epoch-{epoch}.dump").unlink(missing_ok=True)


def _note_in_journal(settings: Settings, service: str, now: datetime) -> None:
    """The end of an epoch stands in the cut journal: what was cut before it is unrecoverable from then on."""
    ended = Cut(
        account=SYSTEM_ACTOR, subject=SYSTEM_ACTOR, kind="epoch", reason="rotation", request=None, time=now
    )  # fmt: skip
    note_cuts(settings, service, [ended])
