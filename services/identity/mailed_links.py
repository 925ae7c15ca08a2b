"""The rows of one-time links: kept by hash, found over all accounts by hash, taken once. What a link is, `link.py` says.

A link is no event: its row goes when it is used, with what it is about, with its person, and when it is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from services.identity.credentials import open_for_row, seal_for_row
from services.identity.link import Purpose, hash_of, new_link
from services.identity.routing import account_of_credential, add_credential_route, remove_credential_routes
from shared import account_states
from shared.errors import AccountSuspended, Unauthenticated
from shared.work import SYSTEM_ACTOR, Store, Work

NOT_GOOD = "This link is not good any more."
"""The one answer, whatever is wrong with a link."""


SWEPT_AT_ONCE = 1_000
HELD = "held"


class Opened(NamedTuple):
    """What a link that is good leads to."""

    subject_id: str
    person_id: str
    held: str | None = None
    """What it is to bring about, where its purpose does not say that alone: the login that the user will have."""


def add_link(
    work: Work, purpose: Purpose, subject_id: str, person_id: str, life: timedelta, held: str | None = None
) -> str:
    """A new link to an invitation or a user; gives its address, which is to be mailed and kept nowhere. `held`, of a user's, is
    sealed under their key and bound to the row."""
    link = new_link(work.store.settings.public_url, purpose)
    work.pin_persons((person_id,))
    sealed = None
    if held is not None:
        sealed = seal_for_row(work, subject_id, person_id, link.token_hash.hex(), HELD, held.encode())
    work.later(
        "INSERT INTO link (account_id, digest, purpose, subject_id, person_id, mailed_at, expires_at, held)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (work.account_id, link.token_hash, purpose, subject_id, person_id, work.now, work.now + life, sealed),
    )
    add_credential_route(work, link.token_hash)
    return link.url


def account_of_link(store: Store, token: str) -> str:
    """The account whose link it is. Raises `Unauthenticated`, `AccountSuspended` (mission L3)."""
    account_id = account_of_credential(store, hash_of(token))
    if account_id is None:
        raise Unauthenticated(NOT_GOOD)
    if account_states.state_of(store, account_id) != "active":
        raise AccountSuspended()
    return account_id


def look_at_link(work: Work, token: str, purpose: Purpose) -> Opened:
    """What a link leads to, without using it. Raises `Unauthenticated`."""
    row = work.fetch_one(
        "SELECT subject_id, person_id, held FROM link"
        " WHERE account_id = %s AND digest = %s AND purpose = %s AND expires_at > %s",
        (work.account_id, hash_of(token), purpose, work.now),
    )
    if row is None:
        raise Unauthenticated(NOT_GOOD)
    if row[2] is None:
        return Opened(row[0], row[1])
    plain = open_for_row(work, row[0], hash_of(token).hex(), HELD, row[2])
    if plain is None:
        raise Unauthenticated(NOT_GOOD)
    return Opened(row[0], row[1], plain.decode())


def take_link(work: Work, token: str, purpose: Purpose) -> Opened:
    """Uses a link. Of many who use it at once the row is one's; the others wait for that one's commit, and find it gone.

    Raises `Unauthenticated`."""
    opened = look_at_link(work, token, purpose)
    digest = hash_of(token)
    if not work.change("DELETE FROM link WHERE account_id = %s AND digest = %s RETURNING 1", (work.account_id, digest)):
        raise Unauthenticated(NOT_GOOD)
    remove_credential_routes(work, [digest])
    return opened


def links_mailed_since(work: Work, purpose: Purpose, subject_id: str, age: timedelta) -> int:
    """How many links of a purpose went out to a user lately and were not used."""
    (count,) = work.fetch(
        "SELECT count(*) FROM link WHERE account_id = %s AND subject_id = %s AND purpose = %s AND mailed_at > %s",
        (work.account_id, subject_id, purpose, work.now - age),
    )[0]
    return int(count)


def remove_links(work: Work, subject_id: str) -> None:
    """The links to an invitation or a user lead nowhere any more."""
    _remove(work, "subject_id = %s", subject_id)


def remove_login_changes(work: Work, user_id: str) -> None:
    """The links lead nowhere any more by which a user was to have another login."""
    _remove(work, "held IS NOT NULL AND subject_id = %s", user_id)


def remove_links_of_persons(work: Work, persons: Sequence[str]) -> int:
    """The same for all that was mailed to these persons; gives how many there were."""
    return _remove(work, "person_id = ANY (%s::uuid[])", list(persons))


def links_of_persons(work: Work, persons: Sequence[str]) -> int:
    """How many links to these persons there are."""
    (count,) = work.fetch(
        "SELECT count(*) FROM link WHERE account_id = %s AND person_id = ANY (%s::uuid[])", (work.account_id, list(persons))
    )[0]
    return int(count)


def _remove(work: Work, condition: str, value: object) -> int:
    rows = work.change(f"DELETE FROM link WHERE account_id = %s AND {condition} RETURNING digest", (work.account_id, value))
    remove_credential_routes(work, [digest for (digest,) in rows])
    return len(rows)


def sweep_links(store: Store) -> int:
    """Removes what is over, of all accounts, sign-in links of customers included; each row is taken by one replica. How many it
    was. Nothing waits for it: a link that is over is good for nothing, swept or not."""
    with store.work(SYSTEM_ACTOR) as work:
        ((count,),) = work.change("SELECT lethe.sweep_links(%s, %s)", (work.now, SWEPT_AT_ONCE))
    return int(count)
