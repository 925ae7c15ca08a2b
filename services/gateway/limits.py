"""How much of the gateway one source or one credential may have: token buckets, in the memory of this process.

Several gateways side by side each count for themselves. A bucket is kept for a keyed hash (of a credential) or an address, for
as long as there is room; nothing of it is written anywhere.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

MOST_BUCKETS = 50_000


class TokenBuckets:
    """One bucket a key: it holds `burst` tokens at most, and gains `per_second`.

    Used from one thread. The bucket that was asked for longest ago makes room for a new one.
    """

    def __init__(
        self, per_second: float, burst: float, now: Callable[[], float] = monotonic, most: int = MOST_BUCKETS
    ) -> None:
        if per_second <= 0 or burst < 1:
            raise ValueError("a bucket gains tokens, and holds one at least")
        self._per_second, self._burst = per_second, burst
        self._now, self._most = now, most
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key → tokens, and when they were counted

    def take(self, key: str) -> float:
        """Takes a token: 0.0 if there was one, else the seconds until there will be."""
        now = self._now()
        tokens, counted_at = self._held.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - counted_at) * self._per_second)
        wait_seconds = 0.0 if tokens >= 1 else (1 - tokens) / self._per_second
        self._held[key] = (tokens - 1 if wait_seconds == 0.0 else tokens, now)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return wait_seconds

    def __len__(self) -> int:
        return len(self._held)


class CredentialNames:
    """Names credentials without holding them: a hash keyed with what this process alone has."""

    def __init__(self) -> None:
        self._key = os.urandom(32)

    def name(self, authorization: bytes) -> str:
        """The name of the value of an Authorization header."""
        return hashlib.blake2b(authorization, digest_size=16, key=self._key).hexdigest()
