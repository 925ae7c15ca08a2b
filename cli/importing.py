"""Brings the mails of an archive to tickets, in order, in batches; goes on where it was stopped.

Before it sends anything it asks which mails are known by the digest of their bytes, so that an import that was interrupted
skips ahead. A batch that got no answer is sent again: taking in the same mail twice changes nothing. It knows of no
terminal; whoever calls it hears of each mail that is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from time import monotonic
from typing import Final, TypeVar

from cli.import_report import ImportReport, Tally
from cli.insisting import AWAY, insist
from cli.session import Session
from services.tickets.commands import ImportedMails, ImportMails, KnownSources, KnownSourcesAnswer
from shared.errors import AccountSuspended, LetheError, PermissionRefused, Unauthenticated
from shared.mail.archive import MailSource, walk

T = TypeVar("T")
BATCH_BYTES: Final = 8 << 20
"""Mail in one call at most, unless one mail is larger by itself."""
WINDOW_MAILS: Final = 400
WINDOW_BYTES: Final = 32 << 20
"""What is held in memory at once, and asked about in one question."""
OUTAGE_SECONDS: Final = 60.0
LEAST_TRIES: Final = 4
MOST_FAILED_IN_A_ROW: Final = 50
"""Mails, one after the other, after which it is not the mails that are broken but the service: the import ends then."""
BATCH_SECONDS: Final = 20.0
"""How long a batch may take before it is sent again; longer for large ones, and at each further try."""

_FOR_ALL = (AccountSuspended, PermissionRefused, Unauthenticated)
Advance = Callable[[int], None]


class Importer:
    """One run over an archive. `advance` is told how many mails are done, each time some are."""

    def __init__(self, session: Session, *, batch: int, dry_run: bool, advance: Advance) -> None:
        self._session = session
        self._batch = batch
        self._dry_run = dry_run
        self._advance = advance
        self._tally = Tally(dry_run)
        self._failed_in_a_row = 0

    def run(self, paths: Sequence[Path]) -> ImportReport:
        """Imports everything below the paths. Raises `Unavailable` or `TimedOut` if the services stay away; what is in
        stays in, and the same command goes on from there."""
        begun = monotonic()
        for window in grouped(walk(paths), WINDOW_MAILS, WINDOW_BYTES):
            self._take_window(window)
        return self._tally.report(monotonic() - begun)

    def _take_window(self, window: list[MailSource]) -> None:
        readable = [one for one in window if not one.problem]
        for one in window:
            if one.problem:
                self._tally.add_problem(one.problem)
        self._tally.bytes += sum(len(one.raw) for one in readable)
        self._advance(len(window) - len(readable))
        known = self._known(readable)
        for is_known, part in groupby(zip(readable, known, strict=True), key=lambda pair: pair[1]):
            sources = [source for source, _ in part]
            if is_known:
                self._tally.add_known(len(sources))
                self._advance(len(sources))
                continue
            for batch in grouped(sources, self._batch, BATCH_BYTES):
                self._send(batch)

    def _known(self, sources: list[MailSource]) -> list[bool]:
        if not sources:
            return []
        question = KnownSources(digests=[hashlib.sha256(one.raw).hexdigest() for one in sources])
        answer = self._insist(
            lambda seconds: self._session.call(
                "tickets",
                "known_sources",
                question,
                result_type=KnownSourcesAnswer,
                repeatable=True,
                timeout_seconds=seconds,
            ),
            BATCH_SECONDS,
        )
        return answer.known

    def _send(self, batch: list[MailSource]) -> None:
        """Sends a batch; one that the service can't take is sent mail by mail, so that one mail never stops the others."""
        command = ImportMails(mails=[one.raw for one in batch], dry_run=self._dry_run)
        seconds = BATCH_SECONDS + 2 * sum(len(one.raw) for one in batch) / 1_000_000
        try:
            answer = self._insist(
                lambda limit: self._session.call(
                    "tickets",
                    "import_mails",
                    command,
                    result_type=ImportedMails,
                    repeatable=True,
                    timeout_seconds=limit,
                ),
                seconds,
            )
        except (*AWAY, *_FOR_ALL):
            raise
        except LetheError as error:
            if len(batch) > 1:
                for one in batch:
                    self._send([one])
            else:
                self._failed_in_a_row += 1
                if self._failed_in_a_row >= MOST_FAILED_IN_A_ROW:
                    raise
                self._tally.add_failed(error.code)
                self._advance(1)
            return
        self._failed_in_a_row = 0
        self._tally.add(answer.mails)
        self._advance(len(batch))

    def _insist(self, call: Callable[[float], T], seconds: float) -> T:
        """Calls until there is an answer, for a minute of outage; each further try may take longer."""
        return insist(lambda tries: call(seconds * tries), OUTAGE_SECONDS, LEAST_TRIES, self._count_interruption)

    def _count_interruption(self) -> None:
        self._tally.interruptions += 1


def grouped(sources: Iterable[MailSource], most: int, most_bytes: int) -> Iterator[list[MailSource]]:
    """The mails in order, in groups of `most` and of `most_bytes` at most; one that is larger stands alone."""
    group: list[MailSource] = []
    size = 0
    for one in sources:
        if group and (len(group) >= most or size + len(one.raw) > most_bytes):
            yield group
            group, size = [], 0
        group.append(one)
        size += len(one.raw)
    if group:
        yield group
