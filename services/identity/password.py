"""The password: what a new one has to be, and its hash. No rows, no keys; hashing takes a tenth of a second and 64 MiB, so
callers do it through `hashing` only, which bounds how many are made at once.

Rules and parameters are security.md's (NIST SP 800-63B-4 §3.1.1, RFC 9106 §4).
"""

from __future__ import annotations

import unicodedata
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from services.identity.common_passwords import is_common
from shared.errors import InvalidArgument
from shared.heavy_work import HeavyWork

LENGTH_ALONE: Final = 15
LENGTH_WITH_SECOND_FACTOR: Final = 8
FAILURES_AT_MOST: Final = 100
"""In a row; then the user is locked out until the password is reset."""

hashing = HeavyWork(at_once=2, waiting=5, patience_seconds=5)
"""All hashes of users in this process: 128 MiB at most, whatever comes in."""
portal_hashing = HeavyWork(at_once=1, waiting=5, patience_seconds=5)
"""Those of customers, 64 MiB: however many sign in to a portal, the account's users get in."""

_hasher = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4, hash_len=32, salt_len=16, type=Type.ID)

NOBODYS_HASH: Final = "$argon2id$v=19$m=65536,t=3,p=4$bm9ib2R5J3Mgc2FsdC4uLg$FPqQnqeSJBBIxbZlW3zJX5TH3n3FVPDhR2JRVDBV7ks"
"""Is verified against where there is no user, so that the answer takes as long. Of the same cost; no password is known to
it."""


def check_new(password: str, login: str, *, has_second_factor: bool, field: str = "password") -> None:
    """Whether this may become somebody's password. No rule about its letters, and nothing is cut off. Raises
    `InvalidArgument`."""
    plain = normalised(password)
    shortest = LENGTH_WITH_SECOND_FACTOR if has_second_factor else LENGTH_ALONE
    if len(plain) < shortest:
        raise InvalidArgument(field=field, rule=f"has {shortest} characters at least")
    if plain.casefold() in (login.casefold(), login.partition("@")[0].casefold()) or is_common(plain):
        raise InvalidArgument(field=field, rule="is none that everybody tries first")


def stands_alone(password: str) -> bool:
    """Whether it is long enough without a second factor."""
    return len(normalised(password)) >= LENGTH_ALONE


def normalised(password: str) -> str:
    """The same text however a keyboard composes it (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def hashed(password: str, places: HeavyWork = hashing) -> str:
    """The argon2id hash with a fresh salt and today's parameters. Heavy. Raises `Busy`."""
    made: str = places.run(_hasher.hash, _octets(password))
    return made


def matches(stored: str, password: str, places: HeavyWork = hashing) -> bool:
    """Whether a password is the one of a hash. Heavy, and takes as long for a wrong one. Raises `Busy`."""
    return bool(places.run(_verify, stored, _octets(password)))


def is_outdated(stored: str) -> bool:
    """Whether the parameters have risen since the hash was made."""
    return _hasher.check_needs_rehash(stored)


def _octets(password: str) -> bytes:
    return normalised(password).encode("utf-8", "surrogatepass")


def _verify(stored: str, octets: bytes) -> bool:
    try:
        return _hasher.verify(stored, octets)
    except (VerificationError, InvalidHashError):
        return False
