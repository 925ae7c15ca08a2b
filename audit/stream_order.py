"""Checks that the versions of each stream follow one another, without a hole, in the order of the log.

Of each stream it keeps its last version under its account and name: about 200 bytes a stream, whatever its length. Pure.
"""

from __future__ import annotations

from array import array

import msgspec

_MOST_VERSION = 2**31 - 1
"""What a version's column holds. An envelope may claim more; it is then not what is due next either."""


class StreamPositions(msgspec.Struct, frozen=True, kw_only=True):
    """The last versions seen, to be kept in a file: two columns."""

    streams: list[bytes]
    """Account and name of each, one after the other."""
    versions: bytes


class StreamOrder:
    """The streams of one log. `partial`: what was before is not known, so that a stream may begin anywhere."""

    def __init__(self, partial: bool = False, begin: StreamPositions | None = None) -> None:
        self._partial = partial
        self.versions: dict[bytes, int] = {}
        """The last version of each stream, under its account and name."""
        if begin is not None:
            self.versions = dict(zip(begin.streams, array("I", begin.versions), strict=True))

    def due(self, account: bytes, stream: bytes, version: int) -> int:
        """Takes the next event of a stream; which version was due (the same, where all is well)."""
        name = account + stream  # an account's id has one length, so no two streams have one name
        before = self.versions.get(name)
        self.versions[name] = version & _MOST_VERSION
        if before is None:
            return version if self._partial else 1
        return before + 1

    def positions(self) -> StreamPositions:
        """What was seen so far."""
        return StreamPositions(
            streams=list(self.versions), versions=array("I", self.versions.values()).tobytes()
        )
