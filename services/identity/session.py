"""The session: its token, and for how long it is good. Pure. Only the digest of a token is kept."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

PREFIX = "lethe_session_"
IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
TOUCHED_EVERY = timedelta(minutes=1)
"""Use is noted this often at most: most requests then write nothing."""
SESSIONS_AT_MOST = 50
"""Of one user; the one that was idle for longest makes room."""

CHALLENGE_PREFIX = "lethe_login_"
CHALLENGE_LIFE = timedelta(minutes=10)


def new_token(prefix: str = PREFIX) -> str:
    """192 random bits."""
    return prefix + secrets.token_urlsafe(24)


def digest(token: str) -> bytes:
    """What is kept of a token: SHA-256, without salt since nobody guesses what is random."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def is_good(used_at: datetime, expires_at: datetime, now: datetime) -> bool:
    """Neither idle for too long nor past its absolute end. A clock that was put back does not make it good for longer than
    `ABSOLUTE`: its beginning is never after now."""
    return used_at - TOUCHED_EVERY <= now < expires_at and now - used_at < IDLE


def needs_touch(used_at: datetime, now: datetime) -> bool:
    """Whether this use is to be noted."""
    return now - used_at >= TOUCHED_EVERY
