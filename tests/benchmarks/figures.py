"""A figure as it is printed and written: what was measured, against whom, and whether it reaches its target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `bench.json`. `holds` is null where there is no target, and honest where it is false."""

    figure: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    target: str | None = None
    holds: bool | None = None


def against(figure: str, value: float, unit: str, peer: str, peer_value: float, at_least: float | None) -> Figure:
    """A figure whose ratio to a peer's is to reach `at_least`; None where no target was set."""
    ratio = value / peer_value if peer_value else 0.0
    return Figure(
        figure=figure, value=round(value, 3), unit=unit, peer=peer, peer_value=round(peer_value, 3), ratio=round(ratio, 3),
        target=None if at_least is None else f"≥ {at_least:g} × peer", holds=None if at_least is None else ratio >= at_least,
    )  # fmt: skip


def reaches(figure: str, value: float, unit: str, limit: float) -> Figure:
    """A figure that is to reach a limit."""
    return Figure(figure=figure, value=round(value, 3), unit=unit, target=f"≥ {limit:g} {unit}", holds=value >= limit)


def below(figure: str, value: float, unit: str, limit: float) -> Figure:
    """A figure that is to stay below a limit."""
    return Figure(figure=figure, value=round(value, 3), unit=unit, target=f"< {limit:g} {unit}", holds=value < limit)


def at_most(figure: str, value: float, unit: str, limit: float) -> Figure:
    """A figure that may reach a limit and not exceed it."""
    return Figure(figure=figure, value=round(value, 3), unit=unit, target=f"≤ {limit:g} {unit}", holds=value <= limit)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(figures: Sequence[Figure], notes: Sequence[str], path: Path | None) -> None:
    """Prints the table and writes `bench.json`, if it is to be written."""
    table = Table(title="Speed, in one run")
    for column in ("figure", "value", "unit", "peer", "peer's", "ratio", "target", "holds"):
        table.add_column(column, justify="right" if column in ("value", "peer's", "ratio") else "left")
    for one in figures:
        holds = "" if one.holds is None else "yes" if one.holds else "NO"
        table.add_row(
            one.figure, _number(one.value), one.unit, one.peer or "", _number(one.peer_value), _number(one.ratio),
            one.target or "", holds,
        )  # fmt: skip
    console = Console(width=170)
    console.print(table)
    for note in notes:
        console.print(note, soft_wrap=True, highlight=False)
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(list(figures)), indent=2) + b"\n")
    console.print(f"written to {path}", highlight=False)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.3f}" if abs(value) < 10 else f"{value:,.0f}"
