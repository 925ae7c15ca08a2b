"""One-time links: random tokens that go out by mail, of which only the hash stays. Pure.

The token stands behind the #, which no browser sends and no server or proxy writes down; whoever follows the link hands it over
in a body. It holds nothing but randomness: no id, no account.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Literal, NamedTuple

TOKEN_BYTES = 32
Purpose = Literal["invitation", "password reset", "login", "IP ranges"]
_PAGES: dict[Purpose, str] = {
    "invitation": "invitation", "password reset": "password-reset", "login": "login", "IP ranges": "ip-ranges",
}  # fmt: skip


class Link(NamedTuple):
    """A new link: what is mailed and what is kept."""

    url: str
    token_hash: bytes


def new_link(public_url: str, purpose: Purpose) -> Link:
    """A link of 256 random bits below the gateway's address."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return Link(f"{public_url.rstrip('/')}/{_PAGES[purpose]}#{token}", hash_of(token))


def hash_of(token: str) -> bytes:
    """SHA-256 of a token, for keeping and looking up. The token is random, so the hash needs neither salt nor cost."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
