"""What identity holds of customers, for `holdings.py`: credentials, saved searches, grants to apps."""

from __future__ import annotations

from collections.abc import Sequence

from services.identity.portal_projections import PERSONS_TABLES
from services.identity.routing import remove_credential_routes
from shared.work import Work

_THEIRS = "account_id = %s AND person_id = ANY (%s::uuid[])"
_CREDENTIALS = {
    "sign_in_link": "sign-in links", "portal_password": "portal passwords", "portal_session": "portal sessions",
    "app_code": "codes for apps", "app_token": "tokens of apps",
}  # fmt: skip
_KINDS = {"customer": "customers", "saved_search": "saved searches", "app_grant": "grants to apps", **_CREDENTIALS}
"""The tables with rows of customers, and what a receipt calls them."""
_ROUTED = ("portal_session", "app_token")
"""Whose digests lead to their account from outside of it."""


def count(work: Work, persons: Sequence[str]) -> dict[str, int]:
    """How many rows there are of persons, by kind."""
    looks = ", ".join(f"(SELECT count(*) FROM {table} WHERE {_THEIRS})" for table in _KINDS)
    (counts,) = work.fetch(f"SELECT {looks}", [work.account_id, list(persons)] * len(_KINDS))
    return dict(zip(_KINDS.values(), counts, strict=True))


def inventory(work: Work, persons: Sequence[str]) -> list[str]:
    """The digests that lead to their credentials, in hexadecimal."""
    looks = " UNION ALL ".join(f"SELECT encode(digest, 'hex') FROM {table} WHERE {_THEIRS}" for table in _ROUTED)
    return [digest for (digest,) in work.fetch(looks, [work.account_id, list(persons)] * len(_ROUTED))]


def remove(work: Work, persons: Sequence[str]) -> int:
    """Removes the rows of persons who are cut, in one batch: they are few. Gives how many credentials there were."""
    gone = 0
    for table in _CREDENTIALS:
        digest = "digest" if table in _ROUTED else "NULL"
        rows = work.change(f"DELETE FROM {table} WHERE {_THEIRS} RETURNING {digest}", (work.account_id, list(persons)))
        remove_credential_routes(work, [one for (one,) in rows if one is not None])
        gone += len(rows)
    for table in PERSONS_TABLES:
        gone += len(work.change(f"DELETE FROM {table} WHERE {_THEIRS} RETURNING 1", (work.account_id, list(persons))))
    return gone


def routes_left(work: Work, digests: Sequence[str]) -> int:
    """How many of these digests still lead somewhere."""
    rows = work.fetch(
        "SELECT count(*) FROM unnest(%s::text[]) AS hex WHERE lethe.route_credential(decode(hex, 'hex')) IS NOT NULL",
        (list(digests),),
    )
    return int(rows[0][0])
