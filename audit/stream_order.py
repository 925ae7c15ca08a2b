"""Checks that the versions of each stream follow one another, without a hole, in the order of the log.

Of each stream it keeps its last version under a fingerprint of its name: about 100 bytes a stream, whatever its length. Pure.
"""

from __future__ import annotations

import secrets
from array import array

import msgspec

_MODULUS_BITS = 60
_MOST_VERSION = 2**31 - 1
"""What a version's column holds. An envelope may claim more; it is then not what is due next either."""


class StreamPositions(msgspec.Struct, frozen=True, kw_only=True):
    """The last versions seen, to be kept in a file: two columns, and the modulus of the fingerprints."""

    modulus: int
    streams: bytes
    versions: bytes


class StreamOrder:
    """The streams of one log. `partial`: what was before is not known, so that a stream may begin anywhere."""

    def __init__(self, partial: bool = False, begin: StreamPositions | None = None) -> None:
        self._partial = partial
        # a random odd modulus, as in Rabin's fingerprints: two of a million names collide with a chance of 1 in 500,000,
        # nobody who does not know it can choose names that do, and it costs a fifth of a keyed hash
        self._modulus = secrets.randbits(_MODULUS_BITS) | 1 << (_MODULUS_BITS - 1) | 1
        self._versions: dict[int, int] = {}
        if begin is not None:
            self._modulus = begin.modulus
            self._versions = dict(zip(array("Q", begin.streams), array("I", begin.versions), strict=True))

    def due(self, account: bytes, stream: bytes, version: int) -> int:
        """Takes the next event of a stream; which version was due (the same, where all is well)."""
        name = int.from_bytes(account + stream, "little") % self._modulus
        before = self._versions.get(name)
        self._versions[name] = version & _MOST_VERSION
        if before is None:
            return version if self._partial else 1
        return before + 1

    def positions(self) -> StreamPositions:
        """What was seen so far."""
        return StreamPositions(
            modulus=self._modulus, streams=array("Q", self._versions).tobytes(),
            versions=array("I", self._versions.values()).tobytes(),
        )  # fmt: skip
