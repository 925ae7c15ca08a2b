"""What leads from a credential to its account, over all accounts of the cell: digests of random tokens, and keyed tokens of
logins.

The key lies outside of every database and backup, as lifecycle's does. The tables are reached by functions only, which answer
for one digest or token at a time and change rows of the own account only (`routes.sql`). Nothing can be read
here, and nothing is decided: whether a credential is good, its account's own rows say.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import NamedTuple

from shared.blind_index import BlindIndex
from shared.references import normalise_address
from shared.sealing import derive
from shared.settings import Settings
from shared.work import SYSTEM_ACTOR, Store, Work


class LoginRoute(NamedTuple):
    """Where a login leads."""

    account_id: str
    user_id: str
    is_confirmed: bool = True
    """Whether somebody showed that the mailbox is theirs: by a link that was mailed there."""


def login_route_token(settings: Settings, login: str) -> int:
    """The keyed token of a login, the same in all accounts."""
    return _index(settings.path("root-keys", "cell", "routing.key")).token("login", normalise_address(login))


TRIED_AT_MOST = 3
"""Accounts of one login in which a password is tried where none is named. Each costs a hash, and the answer takes as long as
for so many whenever it says no."""
NO_SOURCE = 0
"""In the place of a source, for who is in already and gives another code: their login alone counts."""


def source_token(settings: Settings, source: str | None) -> int:
    """The keyed token of what counts as one source: an IPv4 address, or the /64 that an IPv6 customer is given. The caller has
    the address in its normal form, or has none."""
    if source is None:
        return NO_SOURCE
    address = ip_address(source)
    if isinstance(address, IPv6Address):
        source = str(ip_network((int(address) >> 64 << 64, 64)))
    return _index(settings.path("root-keys", "cell", "routing.key")).token("source", source)


@functools.lru_cache(maxsize=8)
def _index(key_path: Path) -> BlindIndex:
    return BlindIndex(derive(key_path.read_bytes(), "login routes"))


def account_of_credential(store: Store, digest: bytes) -> str | None:
    """The account of a session, an API token, or a challenge."""
    with store.work(SYSTEM_ACTOR) as work:
        row = work.fetch_one("SELECT lethe.route_credential(%s)", (digest,))
    return None if row is None else row[0]


def routes_of_login(work: Work, token: int) -> list[LoginRoute]:
    """The users of a login, in all accounts: confirmed ones first. The one look over accounts that begins with something that
    people choose."""
    look = "SELECT account_id, user_id, is_confirmed FROM lethe.route_login(%s)"
    return [LoginRoute(*row) for row in work.fetch(look, (token,))]


def counted(routes: Sequence[LoginRoute], account_id: str | None) -> list[LoginRoute]:
    """Those of the routes of a login that a password is tried at. In an account that is named: its own. Otherwise those whose
    mailbox was confirmed, so many at most: whoever else writes somebody's address into an account of theirs changes nothing
    for them, and does not learn whether it is known."""
    if account_id is not None:
        return [one for one in routes if one.account_id == account_id][:1]
    return [one for one in routes if one.is_confirmed][:TRIED_AT_MOST]


def add_credential_route(work: Work, digest: bytes) -> None:
    """Lets a credential be found. Together with the credential's own row."""
    work.later("SELECT lethe.add_credential_route(%s)", (digest,))


def remove_credential_routes(work: Work, digests: Iterable[bytes]) -> None:
    """The credentials are found no more."""
    gone = [bytes(digest) for digest in digests]
    if gone:
        work.later("SELECT lethe.remove_credential_routes(%s::bytea[])", (gone,))


def add_login_route(work: Work, login: str, user_id: str, *, is_confirmed: bool) -> None:
    """Lets a login be found from outside of the account; without the account's name only once the mailbox is confirmed."""
    token = login_route_token(work.store.settings, login)
    work.later("SELECT lethe.add_login_route(%s, %s, %s, %s)", (token, user_id, work.now, is_confirmed))


def confirm_login_route(work: Work, user_id: str) -> None:
    """The mailbox of this user's login is theirs: they brought what was mailed there, or the cell's operator vouches."""
    work.later("SELECT lethe.confirm_login_route(%s, %s)", (user_id, work.now))


def remove_login_routes(work: Work, user_ids: Sequence[str]) -> None:
    """The logins of these users are found no more, and the delays that their failures left are gone."""
    if user_ids:
        work.later("SELECT lethe.remove_login_routes(%s::uuid[])", (list(user_ids),))


def remove_routes_of_account(store: Store, account_id: str) -> None:
    """Removes all routes to an account that has ended, with the delays of logins that lead nowhere else."""
    with store.work(account_id) as work:
        work.change("SELECT lethe.remove_routes_of_account()")
