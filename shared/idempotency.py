"""Commands that are done once for one idempotency key: a caller who got no answer sends the command again and gets the same.

Only keyed hashes of the key and of the request are kept, and the ids that the command gave (architecture, "Personal data").
The row goes in with the command's effects, in one transaction. Of two who send the same at once, the later one waits before it
looks: otherwise it could miss the row, then see the effects, and say "taken" to the one who took it. A transaction can be
decided anew, so what `do` does must not reach outside of it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import msgspec

from shared.errors import AlreadyDone, Conflict
from shared.work import Work

_encoder = msgspec.json.Encoder(order="deterministic")


def once(
    work: Work, actor_id: str, key: str | None, request: msgspec.Struct, do: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What `do` gives, or what it gave when this actor sent this request under this key before.

    Without a key the command is simply done. `do` returns ids and names of fixed lists only: they are kept readable.
    Raises `Conflict` where the key was used for another request.
    """
    if key is None:
        return do()
    done = done_before(work, actor_id, key, request)
    if done is not None:
        return done
    result = do()
    work.mark_repeatable()
    command_key, request_hash = _hashes(work, key, request)
    work.later(
        "INSERT INTO lethe.idempotency (account_id, actor_id, command_key, request_hash, result, done_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (work.account_id, actor_id, command_key, request_hash, msgspec.json.encode(result).decode(), work.now),
    )
    return result


def done_before(work: Work, actor_id: str, key: str | None, request: msgspec.Struct) -> dict[str, Any] | None:
    """The result of a command that was done under this key, or None. Raises `Conflict` as `once` does."""
    if key is None:
        return None
    _wait_for_twins(work, actor_id, key)
    command_key, request_hash = _hashes(work, key, request)
    row = work.fetch_one(
        "SELECT request_hash, result FROM lethe.idempotency WHERE account_id = %s AND actor_id = %s AND command_key = %s",
        (work.account_id, actor_id, command_key),
    )
    if row is None:
        return None
    if not hmac.compare_digest(bytes(row[0]), request_hash):
        raise Conflict("This idempotency key was used for another request.")
    result: dict[str, Any] = row[1]
    return result


def check_not_done(work: Work, actor_id: str, key: str | None, request: msgspec.Struct) -> None:
    """For a command that gives a secret: that is kept nowhere, so sent again the command can't be answered as before, and must
    not be done twice either. Raises `AlreadyDone`, `Conflict`."""
    if done_before(work, actor_id, key, request) is not None:
        raise AlreadyDone()


def note_done(work: Work, actor_id: str, key: str | None, request: msgspec.Struct) -> None:
    """Such a command is done, with the commit."""
    once(work, actor_id, key, request, dict)


def _wait_for_twins(work: Work, actor_id: str, key: str) -> None:
    """Held until the commit. Its number is no keyed hash: of two first commands of an account each would make a key."""
    digest = hashlib.sha256(f"{work.account_id}\n{actor_id}\n{key}".encode("utf-8", "surrogatepass")).digest()
    work.fetch("SELECT pg_advisory_xact_lock(%s)", (int.from_bytes(digest[:8], "big", signed=True),))


def _hashes(work: Work, key: str, request: msgspec.Struct) -> tuple[bytes, bytes]:
    """The row's key and the request's hash, both under a key of the account, so that neither can be guessed from the row.
    The request's type is hashed with it: two commands may have the same fields."""
    secret = work.secret("idempotency")
    encoded = type(request).__name__.encode() + b"\n" + _encoder.encode(request)
    return (
        hmac.digest(secret, b"key\n" + key.encode("utf-8", "surrogatepass"), "sha256"),
        hmac.digest(secret, b"request\n" + encoded, "sha256"),
    )
