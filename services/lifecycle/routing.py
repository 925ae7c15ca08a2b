"""The cell's routing of names to accounts: keyed tokens, under a key that lies outside of every database and backup.

The one place where something is looked up over all accounts. Its table holds tokens, ids and times, and nothing that can be
read (security.md, "tenant isolation"). It must not open or seal anything.
"""

from __future__ import annotations

import hmac
import uuid

from services.lifecycle.account import comparable_name
from shared.blind_index import BlindIndex
from shared.sealing import derive
from shared.settings import Settings


class Routing:
    """Makes the tokens and ids of one cell from its routing key (32 bytes)."""

    def __init__(self, key: bytes) -> None:
        self._index = BlindIndex(key)
        self._ids = derive(key, "account ids")

    @classmethod
    def of(cls, settings: Settings) -> Routing:
        """With the key of a home."""
        return cls(settings.path("root-keys", "cell", "routing.key").read_bytes())

    def token(self, name: str) -> int:
        """The token of an account's name. Raises `InvalidArgument` where it is none."""
        return self._index.token("account", comparable_name(name))

    def account_for(self, actor_id: str, idempotency_key: str) -> str:
        """The id of the account that a command under this key opens: the same each time, so that a repeated command comes
        to the account that the first one opened, and finds its result there."""
        made = hmac.digest(self._ids, f"{actor_id}\n{idempotency_key}".encode("utf-8", "surrogatepass"), "sha256")
        return str(uuid.UUID(bytes=made[:16], version=4))
