"""A copy of all that an account has at rest, as a backup or a thief has it: dumps, root keys, blobs; and attempts to open it.

The databases go through `pg_dump` and `pg_restore`, so what is looked at is what a dump holds. The attempts know the forms of
`shared/sealing.py` and nothing else: they ask neither a key's id nor a tombstone, only AES-GCM.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

from deploy.stack.postgres import programs
from shared.blobs import BlobStore
from shared.errors import Tampered
from shared.events import Envelope, decode_envelope
from shared.keys import KeyTree
from shared.root_keys import RootKeys
from shared.sealing import place_of
from shared.settings import SERVICES, Settings
from tests.support.databases import superuser

HEAD, NONCE = 9, 12
WRAPS = {("keys.item_key", "wrapped"), ("keys.account_key", "wrapped")}
PUBLIC = {
    ("lethe.event", "envelope"), ("lethe.event", "salt"), ("lethe.log", "leaf"), ("keys.item_key", "key_id"),
    ("keys.cut_item", "key_id"), ("lethe.idempotency", "command_key"), ("lethe.idempotency", "request_hash"),
    ("lethe.certificate", "document"),
}  # fmt: skip
"""Columns of bytes that hold no ciphertext. Any other is taken for sealed, so that a new one can't be forgotten."""


class Part(NamedTuple):
    """A sealed part of an event."""

    service: str
    field: str
    item: str
    sealed: bytes
    place: bytes


class ItemWrap(NamedTuple):
    """A wrapped item key, with its place in the key tree."""

    service: str
    item: str
    generation: int
    wrapped: bytes


class AccountWrap(NamedTuple):
    """A wrapped account key."""

    service: str
    generation: int
    epoch: int
    wrapped: bytes


class Blob(NamedTuple):
    """A sealed file, and the item under which it is sealed."""

    blob: str
    item: str


class Copy:
    """What an account has at rest at this moment. `folder` takes the dumps, and copies of the root keys and the blobs."""

    def __init__(self, settings: Settings, account: str, folder: Path) -> None:
        self.account = account
        self.parts: list[Part] = []
        self.columns: dict[tuple[str, str, str], list[bytes]] = {}
        self.item_wraps: list[ItemWrap] = []
        self.account_wraps: list[AccountWrap] = []
        self.blob_items: list[Blob] = []
        for name in ("root-keys", "blobs"):
            shutil.copytree(settings.path(name), folder / name)
        self.roots = folder / "root-keys"
        self.blobs = BlobStore(str(folder / "blobs" / "tickets"))
        for service in SERVICES:
            with restored(settings, service, folder / f"{service}.dump") as connection:
                self._read(service, connection.cursor())

    def _read(self, service: str, cursor: Any) -> None:
        cursor.execute("SELECT envelope, sealed FROM lethe.event WHERE account_id = %s ORDER BY sequence", (self.account,))
        for raw, sealed in cursor.fetchall():
            self.parts += parts_of(decode_envelope(bytes(raw)), sealed)
        for table, column in byte_columns(cursor):
            cursor.execute(
                sql.SQL("SELECT {} FROM {} WHERE account_id = %s").format(
                    sql.Identifier(column), sql.Identifier(*table.split("."))
                ),
                (self.account,),
            )
            self.columns[service, table, column] = [one for (value,) in cursor.fetchall() for one in flat(value)]
        cursor.execute(
            "SELECT item_id::text, generation, wrapped FROM keys.item_key WHERE account_id = %s", (self.account,)
        )
        self.item_wraps += [ItemWrap(service, item, number, bytes(wrap)) for item, number, wrap in cursor.fetchall()]
        cursor.execute(
            "SELECT generation, epoch, wrapped FROM keys.account_key WHERE account_id = %s", (self.account,)
        )
        self.account_wraps += [AccountWrap(service, number, epoch, bytes(wrap)) for number, epoch, wrap in cursor.fetchall()]
        if service == "tickets":
            cursor.execute("SELECT blob_id::text, item_id::text FROM lethe.attachment WHERE account_id = %s", (self.account,))
            self.blob_items = [Blob(*row) for row in cursor.fetchall()]

    def own_keys(self) -> dict[tuple[str, str], bytes]:
        """Every item key in the copy, by service and item, opened with the copy's own root keys."""
        accounts: dict[tuple[str, int], bytes] = {}
        for one in self.account_wraps:
            root = RootKeys(self.roots, one.service).load(one.epoch)
            opened = attempt(root, one.wrapped, account_place(self.account, one))
            assert opened is not None
            accounts[one.service, one.generation] = opened
        found = {}
        for wrap in self.item_wraps:
            opened = attempt(accounts[wrap.service, wrap.generation], wrap.wrapped, item_place(self.account, wrap))
            assert opened is not None
            found[wrap.service, wrap.item] = opened
        return found

    def opens(self, blob: Blob, key: bytes) -> bool:
        """Whether a key opens a blob of the copy."""
        try:
            self.blobs.read(self.account, blob.blob, key)
        except Tampered:
            return False
        return True


def parts_of(envelope: Envelope, sealed: list[Any]) -> Iterator[Part]:
    """The sealed parts of an event that were not pruned."""
    for one, octets in zip(envelope.sealed, sealed, strict=True):
        if octets is not None:
            place = place_of(envelope.service, envelope.stream, envelope.event, envelope.type, one.field)
            yield Part(envelope.service, f"{envelope.type}.{one.field}", one.item, bytes(octets), place)


def living_keys(settings: Settings, account: str) -> dict[tuple[str, str], bytes]:
    """Every item key of an account that a running system can open now, by service and item."""
    found: dict[tuple[str, str], bytes] = {}
    for service in SERVICES:
        accounts = living_account_keys(settings, account, service)
        tree = KeyTree(service, RootKeys(settings.path("root-keys"), service))
        cursor = superuser(settings, service).cursor()
        cursor.execute("SELECT item_id::text, generation, wrapped FROM keys.item_key WHERE account_id = %s", (account,))
        for item, generation, wrapped in cursor.fetchall():
            found[service, item] = tree.unwrap_item_key(account, accounts[generation], item, bytes(wrapped))
        cursor.connection.close()
    return found


def living_account_keys(settings: Settings, account: str, service: str) -> dict[int, bytes]:
    """The keys of an account in one service, by generation."""
    tree = KeyTree(service, RootKeys(settings.path("root-keys"), service))
    cursor = superuser(settings, service).cursor()
    cursor.execute("SELECT generation, epoch, wrapped FROM keys.account_key WHERE account_id = %s", (account,))
    rows = cursor.fetchall()
    cursor.connection.close()
    return {number: tree.unwrap_account_key(account, number, epoch, bytes(wrapped)) for number, epoch, wrapped in rows}


def attempt(key: bytes, sealed: bytes, place: bytes) -> bytes | None:
    """What a key makes of a sealed part; None if it does not open."""
    try:
        return AESGCM(key).decrypt(sealed[HEAD : HEAD + NONCE], sealed[HEAD + NONCE :], sealed[:HEAD] + place)
    except InvalidTag:
        return None


def account_place(account: str, wrap: AccountWrap) -> bytes:
    """What the wrap of an account key is bound to."""
    return f"account\n{wrap.service}\n{account}\n{wrap.generation}".encode()


def item_place(account: str, wrap: ItemWrap) -> bytes:
    """What the wrap of an item key is bound to."""
    return f"item\n{wrap.service}\n{account}\n{wrap.item}".encode()


def byte_columns(cursor: Any, *, of_accounts_only: bool = True) -> list[tuple[str, str]]:
    """Every column of bytes, as (schema.table, column); of tables that belong to accounts, or of all."""
    owned = (
        " AND EXISTS (SELECT 1 FROM information_schema.columns a WHERE (a.table_schema, a.table_name, a.column_name)"
        " = (c.table_schema, c.table_name, 'account_id'))"
    )
    cursor.execute(
        "SELECT c.table_schema || '.' || c.table_name, c.column_name FROM information_schema.columns c"
        " WHERE c.udt_name IN ('bytea', '_bytea') AND c.table_schema !~ '^pg_' AND c.table_schema <> 'information_schema'"
        f"{owned if of_accounts_only else ''} ORDER BY 1, 2"
    )
    return [(table, column) for table, column in cursor.fetchall()]


def flat(value: Any) -> list[bytes]:
    """The bytes in a value: of one, or of an array."""
    values = value if isinstance(value, list) else [value]
    return [bytes(one) for one in values if one is not None]


def dump(settings: Settings, service: str, path: Path, *options: str) -> None:
    """`pg_dump` of a service's database, by the superuser."""
    url = _url(settings, service)
    subprocess.run([_program("pg_dump"), "--file", str(path), *options, url], check=True, capture_output=True)


@contextmanager
def restored(settings: Settings, service: str, path: Path) -> Iterator[Any]:
    """A connection to a database made from a dump of a service's; the database is gone after the block."""
    dump(settings, service, path, "--format", "custom")
    name = f"copy_{parse_dsn(settings.database_url(service, 'owner'))['dbname']}"
    server = superuser(settings, service)
    server.cursor().execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    try:
        url = _url(settings, service, name)
        subprocess.run([_program("pg_restore"), "--dbname", url, str(path)], check=True, capture_output=True)
        connection = psycopg2.connect(url)
        yield connection
        connection.close()
    finally:
        server.cursor().execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        server.close()


def _url(settings: Settings, service: str, name: str | None = None) -> str:
    connection = superuser(settings, service)
    given = parse_dsn(connection.dsn) | {"password": connection.info.password, "dbname": name or connection.info.dbname}
    connection.close()
    return " ".join(f"{key}='{value}'" for key, value in given.items())


def _program(name: str) -> str:
    beside = programs() / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is missing"
    return found
