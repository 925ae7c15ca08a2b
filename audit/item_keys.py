"""Loads the living item keys of a whole service, for those who read its whole log and open it.

Only where an operator's work needs it (the benchmark, the rebuilding of an index): the auditor has no keys. What is loaded
opens people's data; the caller holds it for the time of one reading (architecture, "Personal data": 60 s) and drops it.
"""

from __future__ import annotations

import psycopg2

from shared.errors import Tampered
from shared.keys import KeyTree
from shared.root_keys import RootKeys
from shared.sealing import key_id
from shared.settings import Settings

_KEYS_AT_ONCE = 5_000


def load_item_keys(settings: Settings, service: str) -> dict[bytes, bytes]:
    """All living item keys of a service by their ids (8 bytes), read as the owner. Each is checked to have its id."""
    tree = KeyTree(service, RootKeys(settings.path("root-keys"), service))
    keys: dict[bytes, bytes] = {}
    connection = psycopg2.connect(settings.database_url(service, "owner"), connect_timeout=5)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT account_id::text, generation, epoch, wrapped FROM keys.account_key")
            accounts = {
                (account, generation): tree.unwrap_account_key(account, generation, epoch, bytes(wrapped))
                for account, generation, epoch, wrapped in cursor.fetchall()
            }
        with connection.cursor("item_keys") as cursor:
            cursor.itersize = _KEYS_AT_ONCE
            cursor.execute("SELECT key_id, account_id::text, item_id::text, generation, wrapped FROM keys.item_key")
            for name, account, item, generation, wrapped in cursor:
                key = tree.unwrap_item_key(account, accounts[account, generation], item, bytes(wrapped))
                if key_id(key) != bytes(name):
                    raise Tampered("an item key has not the id of its row", item=item)
                keys[bytes(name)] = key
    finally:
        connection.close()
    return keys
