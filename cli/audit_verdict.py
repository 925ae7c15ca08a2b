"""How the verdicts of `lethe audit verify` look to a person: one table, the first findings, one sentence, on one screen."""

from __future__ import annotations

from collections.abc import Sequence

from audit.findings import Verdict
from cli.output import note, show, table

MOST_FINDINGS = 15
"""What a screen holds beside the table of logs; the JSON has more."""


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Prints the verdicts."""
    columns = ["log", "events", "checked", "gone", "pruned parts", "not signed yet", "kept checkpoint", "verdict"]
    rows = [_row(verdict) for verdict in verdicts]
    if any(verdict.lost for verdict in verdicts):  # a database was put back: rare, and a column less is good to have
        columns.insert(4, "lost")
        rows = [[*row[:4], verdict.lost, *row[4:]] for row, verdict in zip(rows, verdicts, strict=True)]
    show(table("Event logs", columns, rows))
    found = [(verdict.service, one) for verdict in verdicts for one in verdict.findings]
    if found:
        shown = [
            (service, one.kind, "" if one.index is None else str(one.index), one.stream or "", one.event_id or "", one.text)
            for service, one in found[:MOST_FINDINGS]
        ]
        show(table("Findings", ("service", "kind", "index", "stream", "event id", "what"), shown))
        more = len(found) + sum(verdict.left_out for verdict in verdicts) - len(shown)
        if more:
            show(f"and {more} more (--json has the first 1,000 of each log)")
    bad = [verdict.service for verdict in verdicts if not verdict.good]
    show(f"NOT WHOLE: {', '.join(bad)}." if bad else _what_holds(verdicts))


def _row(verdict: Verdict) -> Sequence[object]:
    kept = "none" if verdict.kept_size is None else f"of {verdict.kept_size} events"
    found = len(verdict.findings) + verdict.left_out
    if found:
        said = f"{found} finding{'s' if found > 1 else ''}"
    else:
        said = f"whole from {verdict.since} on" if verdict.since else "whole"
    return verdict.origin, verdict.size, verdict.checked, verdict.gone, verdict.pruned, verdict.pending, kept, said


def _what_holds(verdicts: Sequence[Verdict]) -> str:
    if any(verdict.since for verdict in verdicts):
        return "What came after the kept checkpoints is as it was signed, and extends them. What was before was not looked at."
    gone, lost = sum(verdict.gone for verdict in verdicts), sum(verdict.lost for verdict in verdicts)
    went = f", and each of {gone:,} that are gone went with its account" if gone else ""
    put_back = f" {lost:,} were lost when a database was put back from a copy, as the logs themselves say." if lost else ""
    return f"Whole: every event{' that is there' if lost else ''} is as it was signed{went}.{put_back}"


def show_limits(verdicts: Sequence[Verdict], with_kept: bool, offline: bool, with_keys: bool) -> None:
    """Says, on stderr, what this verification could not show."""
    if any(verdict.since for verdict in verdicts):
        note(
            "Of events before the kept checkpoints nothing is said: one that was changed, dropped or pruned in the database"
            " since is not seen, nor a cut that only the journal knows. Without --since-checkpoint everything is read."
        )
    if any(verdict.resumed_at for verdict in verdicts):
        note("An earlier run had read a part of it: of that part the verdict says what was there then.")
    if offline and not with_keys:
        note("The signatures were checked with the keys in the folder itself: compare them with keys of your own (--keys DIR).")
    if offline:
        note("An export has no rows: query columns and the bytes of sealed parts can only be checked on the stack.")
    if not with_kept:
        note("Compared with no kept checkpoint, so a log that was cut short and signed anew would pass: lethe audit checkpoint")
