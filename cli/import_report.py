"""What became of the mails of an import: counted as they come, told as a table or as JSON. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

import msgspec

from services.tickets.commands import ImportedMail
from shared.personal import NotPersonal

Reason = Annotated[str, NotPersonal("a reason or a defect from a fixed list")]


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """The end of an import. The numbers of mails by what became of them add up to `mails`."""

    dry_run: bool
    mails: int
    bytes: int
    imported: int
    known: int
    """In already, or twice in the archive: nothing was changed."""
    refused: dict[Reason, int]
    """By reason: their person was erased."""
    put_aside: dict[Reason, int]
    """By reason: they can't be parsed at all."""
    failed: dict[Reason, int]
    """By the error's code: the service could not take them in. The next import tries them again."""
    defects: dict[Reason, int]
    """What was repaired in the mails that came in, by kind."""
    interruptions: int
    """How often a batch had to be sent again, since a service or a server was away."""
    seconds: float
    mails_per_second: float


class Tally:
    """Counts outcomes while an import runs."""

    def __init__(self, dry_run: bool) -> None:
        self.dry_run = dry_run
        self.mails = self.bytes = self.imported = self.known = self.interruptions = 0
        self.refused: Counter[str] = Counter()
        self.put_aside: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.defects: Counter[str] = Counter()

    def add(self, outcomes: Iterable[ImportedMail]) -> None:
        """Counts the answers of a batch."""
        for one in outcomes:
            self.mails += 1
            self.defects.update(one.defects if one.status == "imported" else ())
            match one.status:
                case "imported":
                    self.imported += 1
                case "known":
                    self.known += 1
                case "refused":
                    self.refused[one.reason or "refused"] += 1
                case "put aside":
                    self.put_aside[one.reason or "not readable"] += 1

    def add_known(self, count: int) -> None:
        """Counts mails that were skipped, since their bytes are known."""
        self.mails += count
        self.known += count

    def add_problem(self, reason: str) -> None:
        """Counts a mail whose bytes could not even be read."""
        self.mails += 1
        self.put_aside[reason] += 1

    def add_failed(self, code: str) -> None:
        """Counts a mail that the service could not take in."""
        self.mails += 1
        self.failed[code] += 1

    def report(self, seconds: float) -> ImportReport:
        """The end, after so many seconds."""
        return ImportReport(
            dry_run=self.dry_run, mails=self.mails, bytes=self.bytes, imported=self.imported, known=self.known,
            refused=_sorted(self.refused), put_aside=_sorted(self.put_aside), failed=_sorted(self.failed),
            defects=_sorted(self.defects), interruptions=self.interruptions, seconds=round(seconds, 3),
            mails_per_second=round(self.mails / seconds, 1) if seconds > 0 else 0.0,
        )  # fmt: skip


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items()))


def rows(report: ImportReport) -> list[tuple[str, int, str]]:
    """The report as rows of a table: what, how many, why."""
    would = "would be imported" if report.dry_run else "imported"
    lines = [
        (would, report.imported, ""),
        ("known", report.known, "in already: nothing changed" if report.known else ""),
    ]
    for name, by_reason in (
        ("refused", report.refused),
        ("put aside", report.put_aside),
        ("failed", report.failed),
    ):
        lines += [(name, count, reason) for reason, count in by_reason.items()] or (
            [(name, 0, "")] if name != "failed" else []
        )
    lines.append(("mails in all", report.mails, ""))
    lines += [("repaired", count, defect) for defect, count in report.defects.items()]
    return lines
