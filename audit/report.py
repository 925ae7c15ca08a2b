"""The report: an exported folder as one page that a person reads, offline, with charts (mission A4).

One file without scripts and without anything from elsewhere. It shows ids, numbers, times and words from fixed lists, which is
all that envelopes hold; whatever comes from the folder is escaped. It counts what the folder says: whether that is what was
signed is for `lethe audit verify --offline` to say, and the page says so.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Final

from audit.charts import bars, stacks
from audit.report_figures import MOST_LATE, MOST_REQUESTS, Figures, Late, LogFigures, by_period, figures_of
from audit.report_style import STYLE
from shared.durable_files import replace

NAME: Final = "report.html"
MOST_COLUMNS: Final = 124
MOST_READERS_SHOWN: Final = 50
_SPANS: Final = (
    ("under 10 s", 10), ("under 1 min", 60), ("under 10 min", 600), ("under 1 hour", 3_600), ("under 1 day", 86_400),
    ("under 1 week", 604_800), ("under 30 days", 2_592_000), ("longer", float("inf")),
)  # fmt: skip
_STATES: Final = ("completed", "erasing", "held", "incomplete")


def write_report(folder: Path) -> None:
    """Writes `report.html` into an exported folder, whole or not at all. Raises `InvalidArgument` where it is no such folder,
    `Tampered` where something in it can't be read."""
    replace(folder / NAME, render(figures_of(folder)).encode())


def render(figures: Figures) -> str:
    """The page."""
    sections = (_erasures, _late, _holds, _activity, _reads, _cuts, _logs)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">'
        f"<title>Audit report of {escape(figures.cell)}</title><style>{STYLE}</style></head><body><main>"
        f"{_head(figures)}{''.join(section(figures) for section in sections)}</main></body></html>\n"
    )


def _head(figures: Figures) -> str:
    states = figures.states
    is_late = ' class="bad"' if figures.late_in_all else ""
    tiles = (
        ("Events", f"{figures.events:,}", ""), ("Logs", str(len(figures.logs)), ""),
        ("Erasures completed", f"{states['completed']:,}", ""),
        ("Erasures open", f"{states.total() - states['completed']:,}", ""),
        ("Erasures late", f"{figures.late_in_all:,}", is_late),
        ("Reads recorded", f"{sum(one.reads for one in figures.shown.values()) + figures.readers_left_out:,}", ""),
    )  # fmt: skip
    shown = "".join(f"<div><dt>{name}</dt><dd{mark}>{value}</dd></div>" for name, value, mark in tiles)
    return (
        f"<header><h1>Audit report</h1><p>Cell <strong>{escape(figures.cell)}</strong>, as of {_moment(figures.taken_at)}."
        " Times are UTC. People, users and staff stand here by their pseudonyms only.</p>"
        '<p class="soft">This page counts what the folder beside it says. Whether that is what was signed, this says, with a'
        " checkpoint that you kept: <code>lethe audit verify --offline FOLDER</code></p></header>"
        f'<dl class="figures">{shown}</dl>'
    )


def _erasures(figures: Figures) -> str:
    states = figures.states
    by_state = [(state, float(states[state]), f"{states[state]:,}") for state in _STATES]
    spans = _by_span(figures.seconds)
    text = "No erasure was completed."
    if figures.seconds:
        ordered = sorted(figures.seconds)
        text = (
            f"From request to certificate: median <strong>{_length(_share(ordered, 0.5))}</strong>, nine of ten within"
            f" <strong>{_length(_share(ordered, 0.9))}</strong>, the longest {_length(ordered[-1])}."
        )
    states_said = ", ".join(f"{state} {count}" for state, _, count in by_state)
    spans_said = ", ".join(f"{name} {count}" for name, _, count in spans)
    return _section(
        "Erasures",
        f"<p>{text}</p><h3>By state</h3>",
        _figure(bars("states", "Erasures by state", states_said, by_state)),
        _details("erasures by state", ("state", "requests"), [(state, count) for state, _, count in by_state]),
        "<h3>Time from request to certificate</h3>",
        _figure(bars("spans", "Time from request to certificate", spans_said, spans)),
        _details("completed erasures by the time they took", ("time", "erasures"), [(name, count) for name, _, count in spans]),
        _requests(figures),
    )


def _requests(figures: Figures) -> str:
    is_open = sorted(figures.open.items(), key=lambda one: one[1].requested_at)[:MOST_REQUESTS]
    rows = [(_Id(request), one.state, _moment(one.requested_at), "", "") for request, one in is_open]
    rows += [
        (
            _Id(one.request), "completed", _moment(one.requested_at), _moment(one.completed_at),
            _length((one.completed_at - one.requested_at).total_seconds()),
        )
        for one in reversed(figures.latest)
    ]  # fmt: skip
    if not rows:
        return ""
    columns = ("request", "state", "requested", "completed", "took")
    return (
        "<h3>One by one</h3>" + _table(f"Requests: open ones, and the last {MOST_REQUESTS} that were completed", columns, rows)
        + '<p class="soft">The story of one: <code>lethe audit trail --offline FOLDER --request ID</code></p>'
    )  # fmt: skip


def _late(figures: Figures) -> str:
    law = (
        '<p class="soft">Late is what was not completed within one month of its request (GDPR Art. 12(3)), counted by'
        " Regulation 1182/71: until the last hour of the day of the same number, or of the next working day. Public holidays"
        " are not considered, nor an extension of two months, which no event records yet. What a legal hold keeps waiting"
        " counts too: within the month the person is to be told why (Art. 12(4)).</p>"
    )
    if not figures.late_in_all:
        none = '<p class="good">None: every erasure was, or can still be, completed in time.</p>'
        return _section("Late erasures", none, law)
    rows = [
        (
            _Id(one.request), _moment(one.requested_at), _moment(one.due_at - timedelta(seconds=1)),
            _how_late(one, figures.taken_at),
        )
        for one in figures.late
    ]  # fmt: skip
    more = figures.late_in_all - len(figures.late)
    return _section(
        "Late erasures",
        f'<p class="bad"><strong>{figures.late_in_all:,}</strong> of {figures.states.total():,} requests.</p>',
        _table("Late erasures, by the end of their month", ("request", "requested", "was due by", "what became of it"), rows),
        f"<p>{more:,} more are not listed: the first {MOST_LATE} are.</p>" if more else "",
        law,
    )


def _holds(figures: Figures) -> str:
    if not figures.holds:
        return _section("Legal holds", "<p>None: no hold was placed.</p>")
    rows = [
        (
            _Id(hold), one.basis, str(one.persons), _moment(one.placed_at), _moment(one.expires_at),
            f"{one.ended} {_moment(one.ended_at)}" if one.ended_at else "in force",
        )
        for hold, one in figures.holds.items()
    ]  # fmt: skip
    more = figures.holds_in_all - len(figures.holds)
    return _section(
        "Legal holds",
        f"<p><strong>{len(figures.holds_in_force):,}</strong> in force of {figures.holds_in_all:,}. Nothing of a held"
        " person is erased; a cut in spite of it is found by <code>lethe audit verify</code>.</p>",
        _table("Legal holds, the oldest first", ("hold", "basis", "persons", "placed", "until", "what became of it"), rows),
        f"<p>{more:,} more are not listed: those in force come first.</p>" if more else "",
    )


def _activity(figures: Figures) -> str:
    period, columns = by_period(figures.days, MOST_COLUMNS)
    services = [one.service for one in figures.logs]
    if not columns:
        return _section("Events", "<p>There are no events.</p>")
    rows = [
        (name, *(f"{counts[service]:,}" for service in services), f"{counts.total():,}") for name, counts in columns.items()
    ]
    busiest = max(columns, key=lambda name: columns[name].total())
    said = (
        f"{figures.events:,} events from {next(iter(columns))} to {next(reversed(columns))};"
        f" the most, {columns[busiest].total():,}, {'on' if period == 'day' else 'in'} {busiest}"
    )
    return _section(
        f"Events a {period}, by service",
        f"<p>{escape(said)}.</p>",
        _figure(stacks("activity", f"Events a {period}, by service", said, columns, services)),
        _details(f"events a {period}, by service", (period, *services, "all"), rows),
    )


def _reads(figures: Figures) -> str:
    if not figures.shown:
        return _section("Who saw what", "<p>No read of personal data is recorded in these logs.</p>")
    purposes: Counter[tuple[str, str]] = Counter()
    for reader, shown in figures.shown.items():
        purposes[reader.kind, reader.purpose] += shown.reads
    by_purpose = [(f"{purpose}, {kind}", float(count), f"{count:,}") for (kind, purpose), count in purposes.most_common(12)]
    said = ", ".join(f"{name} {count}" for name, _, count in by_purpose)
    ranked = sorted(figures.shown.items(), key=lambda one: (-one[1].reads, one[0]))
    rows = [
        (reader.kind, _Id(reader.actor), reader.purpose, f"{shown.reads:,}", f"{shown.persons:,}", f"{shown.tickets:,}")
        for reader, shown in ranked[:MOST_READERS_SHOWN]
    ]
    more = len(ranked) - len(rows)
    return _section(
        "Who saw what",
        "<p>Each time a user of an account, or a member of the vendor's staff under a grant, was shown something of a person."
        " Persons and tickets are counted once for each time.</p><h3>By purpose</h3>",
        _figure(bars("purposes", "Reads by purpose", said, by_purpose)),
        "<h3>By reader and purpose</h3>",
        _table("Reads, the most first", ("who", "pseudonym", "purpose", "reads", "persons", "tickets"), rows),
        f"<p>{more:,} more readers are not listed.</p>" if more else "",
        f"<p>{figures.readers_left_out:,} reads are of readers beyond those counted.</p>" if figures.readers_left_out else "",
        '<p class="soft">Of one person, with times: <code>lethe audit trail --offline FOLDER --person ID</code></p>',
    )


def _cuts(figures: Figures) -> str:
    shares = [
        (one.service, float(one.pruned), f"{one.pruned:,} of {one.parts:,}") for one in figures.logs
    ]
    said = ", ".join(f"{service}: {text} parts" for service, _, text in shares)
    rows = [
        (
            one.service, f"{one.parts:,}", f"{one.pruned:,}", f"{one.keys_cut:,}",
            ", ".join(f"{count:,} {kind}" for kind, count in sorted(one.journal.items())) or "empty",
        )
        for one in figures.logs
    ]  # fmt: skip
    return _section(
        "Cuts and prunes",
        "<p>What is erased loses its key (cut), and then its sealed bytes (pruned). The event stays, with their digest.</p>",
        _figure(bars("pruned", "Pruned parts by service", said, shares)),
        _table("Sealed parts, cut keys, and the cut journal", ("service", "parts", "pruned", "keys cut", "cut journal"), rows),
    )


def _logs(figures: Figures) -> str:
    blocks = "".join(_log(one) for one in figures.logs)
    return _section("Logs", "<p>Compare the roots with the third line of checkpoints that you kept.</p>", blocks)


def _log(one: LogFigures) -> str:
    gone = max(0, one.lines - one.events - one.lost)
    rows = [
        ("size", f"{one.size:,} events in the manifest, {one.events:,} in the folder"),
        ("gone", f"{gone:,} events, with {len(one.accounts_gone):,} accounts that have ended"),
        *([("lost", _lost(one))] if one.lost else []),
        ("root", _Id(_root(one.root))),
        ("checkpoint", _Id(one.checkpoint)),
    ]  # fmt: skip
    return f"<h3>{escape(one.origin)}</h3>" + _table(f"The log of {one.service}", ("what", "value"), rows)


def _lost(one: LogFigures) -> str:
    when = ", ".join(f"{at.astimezone(UTC):%Y-%m-%d %H:%M}" for at in sorted(one.put_back))
    return (
        f"{one.lost:,} events, since the database was put back from a copy ({when} UTC): what they told of erasures, reads and"
        " holds is in no figure here"
    )


# -- pieces


def _root(digits: str) -> str:
    """As a checkpoint has it, and as hexadecimal."""
    try:
        return f"{base64.b64encode(bytes.fromhex(digits)).decode()} ({digits})"
    except ValueError:
        return digits


class _Id(str):
    """A text in which each letter counts."""


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _figure(chart: str) -> str:
    return f"<figure>{chart}</figure>"


def _details(what: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"<details><summary>The same as a table</summary>{_table(what.capitalize(), columns, rows)}</details>"


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    numeric = [
        bool(rows) and all(row[place].replace(",", "").isdigit() for row in rows) for place in range(len(columns))
    ]
    head = "".join(
        f'<th scope="col"{_side(right)}>{escape(name)}</th>' for name, right in zip(columns, numeric, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(_cell(value, right) for value, right in zip(row, numeric, strict=True))}</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _side(is_number: bool) -> str:
    return ' class="n"' if is_number else ""


def _cell(value: str, is_number: bool) -> str:
    return f'<td class="id">{escape(value)}</td>' if isinstance(value, _Id) else f"<td{_side(is_number)}>{escape(value)}</td>"


def _by_span(seconds: Sequence[float]) -> list[tuple[str, float, str]]:
    counted = Counter(next(name for name, most in _SPANS if one < most) for one in seconds)
    return [(name, float(counted[name]), f"{counted[name]:,}") for name, _ in _SPANS]


def _share(ordered: Sequence[float], share: float) -> float:
    """The least value that so many are not above (nearest rank)."""
    return ordered[max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1)]


def _how_late(late: Late, now: datetime) -> str:
    late_by = (late.completed_at or now) - late.due_at
    is_open = "still open, under a legal hold" if late.is_held else "still open"
    ending = is_open if late.completed_at is None else f"completed {_moment(late.completed_at)}"
    return f"{ending}, {_length(late_by.total_seconds())} late"


def _length(seconds: float) -> str:
    """A length of time as people say it."""
    for name, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} seconds"


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}"
