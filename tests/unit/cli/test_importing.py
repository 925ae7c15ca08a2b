"""How an archive is cut into batches, and how outcomes are counted."""

from __future__ import annotations

from pathlib import Path

from cli.import_report import Tally, rows
from cli.importing import grouped
from services.tickets.commands import ImportedMail
from shared.mail.archive import MailSource


def sources(*sizes: int) -> list[MailSource]:
    """Mails of these sizes, in order."""
    return [MailSource(Path("archive.mbox"), place, b"x" * size) for place, size in enumerate(sizes)]


def test_batches_keep_the_order_and_the_limits() -> None:
    """No batch has too many mails or bytes, and a mail that is larger by itself stands alone."""
    groups = list(grouped(sources(1, 1, 1, 1, 50, 1, 9, 2), 3, 10))
    assert [[len(one.raw) for one in group] for group in groups] == [[1, 1, 1], [1], [50], [1, 9], [2]]
    assert list(range(8)) == [one.position for group in groups for one in group]


def test_what_became_of_the_mails_adds_up() -> None:
    """Every mail is counted once, whatever became of it."""
    tally = Tally(dry_run=False)
    tally.add(
        [
            ImportedMail(status="imported", defects=["unknown-charset"]),
            ImportedMail(status="imported", defects=["unknown-charset", "no-date"]),
            ImportedMail(status="known", defects=["no-date"]),
            ImportedMail(status="refused", reason="its sender was erased"),
            ImportedMail(status="put aside", reason="no-mail-header"),
        ]
    )
    tally.add_known(3)
    tally.add_problem("too-large")
    tally.add_failed("internal")
    report = tally.report(2.0)
    assert report.mails == 10
    assert report.imported + report.known + sum(
        sum(one.values()) for one in (report.refused, report.put_aside, report.failed)
    ) == 10
    assert report.defects == {"unknown-charset": 2, "no-date": 1}
    assert report.mails_per_second == 5.0


def test_the_table_names_each_reason() -> None:
    """Reasons stand in the table, and a row for what did not occur."""
    tally = Tally(dry_run=True)
    tally.add_problem("too-large")
    shown = rows(tally.report(1.0))
    assert ("put aside", 1, "too-large") in shown
    assert ("refused", 0, "") in shown
    assert shown[0] == ("would be imported", 0, "")
