"""How much of the gateway one source or one credential may have (token buckets), and how much all bodies together: in the
memory of this process.

Several gateways side by side each count for themselves. A bucket is kept for a keyed hash (of a credential) or an address, for
as long as there is room; nothing of it is written anywhere.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from services.gateway.problems import NoRoom

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


class BytesInFlight:
    """How many bytes of bodies this process holds, over all requests: `most` at most, however many come at once.
    Used from one thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    def part(self) -> PartInFlight:
        """What one request will hold of it: nothing yet."""
        return PartInFlight(self)

    def take(self, count: int) -> None:
        """Holds so many bytes more. Raises `NoRoom` where there is none; then nothing was taken."""
        if self.held + count > self._most:
            raise NoRoom()
        self.held += count

    def give_back(self, count: int) -> None:
        """They are not held any more."""
        self.held -= count


class PartInFlight:
    """One request's part. It grows with the body, and is given back as a whole when the request has its answer: until then the
    body is on its way to a service."""

    def __init__(self, whole: BytesInFlight) -> None:
        self._whole = whole
        self._held = 0

    def cover(self, count: int) -> None:
        """Makes the part so many bytes large, if it is smaller. Raises `NoRoom`."""
        if count > self._held:
            self._whole.take(count - self._held)
            self._held = count

    def give_back(self) -> None:
        """The request is over."""
        self._whole.give_back(self._held)
        self._held = 0


class CredentialNames:
    """Names credentials without holding them: a hash keyed with what this process alone has."""

    def __init__(self) -> None:
        self._key = os.urandom(32)

    def name(self, authorization: bytes) -> str:
        """The name of the value of an Authorization header."""
        return hashlib.blake2b(authorization, digest_size=16, key=self._key).hexdigest()
