"""Keyed tokens for looking things up without keeping what is looked up: HMAC-SHA-256 under an account's index key, 64 bits.

A token is one row (account, token, item) on a B-tree. 64 bits collide, rarely, so hits are checked again after opening.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable


class BlindIndex:
    """Makes tokens under one index key. A field's name separates what is indexed for different look-ups."""

    def __init__(self, key: bytes) -> None:
        self._base = hmac.new(key, digestmod="sha256")

    def token(self, field: str, text: str) -> int:
        """A signed 64-bit integer for `text` in the index `field`."""
        digest = self._base.copy()
        digest.update(f"{field}\n{text}".encode("utf-8", "surrogatepass"))
        return int.from_bytes(digest.digest()[:8], "big", signed=True)

    def tokens(self, field: str, texts: Iterable[str]) -> list[int]:
        """The tokens of several texts, without doubles, in ascending order (so that B-tree inserts are near each other)."""
        return sorted({self.token(field, text) for text in texts})
