"""Small charts as inline SVG: bars side by side, and stacks over time. Pure: numbers in, markup out.

Every text is escaped. A chart has a title and a description for who can't see it, takes its colours from the page's style, so
that they change with dark mode, and is as wide as the page; beside each stands a table with the same numbers (`report.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

WIDTH: Final = 720
"""Units of the drawing; it scales with the page."""
_LABELS: Final = 190
_ROW: Final = 26
_BAR: Final = 16
_NUMBERS: Final = 76
_HEIGHT: Final = 220
_LEFT: Final = 52
_FOOT: Final = 26
_COLUMN: Final = 64


def bars(name: str, title: str, description: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars: (label, value, value as text), from zero. `name` is unique in the page."""
    most = max((value for _, value, _ in rows), default=0) or 1
    room = WIDTH - _LABELS - _NUMBERS
    drawn = []
    for place, (label, value, text) in enumerate(rows):
        middle, length = place * _ROW + _ROW / 2, max(value / most * room, 1.5 if value else 0)
        drawn.append(
            f'<text x="{_LABELS - 10}" y="{middle:g}" class="label end">{escape(label)}</text>'
            f'<rect x="{_LABELS}" y="{middle - _BAR / 2:g}" width="{length:.1f}" height="{_BAR}" rx="2" class="bar"/>'
            f'<text x="{_LABELS + length + 8:.1f}" y="{middle:g}" class="number">{escape(text)}</text>'
        )
    height = max(len(rows), 1) * _ROW
    axis = f'<line x1="{_LABELS}" y1="0" x2="{_LABELS}" y2="{height}" class="axis"/>'
    return _svg(name, title, description, height, axis + "".join(drawn))


def stacks(
    name: str, title: str, description: str, columns: Mapping[str, Mapping[str, float]], kinds: Sequence[str]
) -> str:
    """Columns in their order, each a stack of the `kinds`, over an axis with round numbers. A kind's place is its colour."""
    top = _round_top(max((sum(one.values()) for one in columns.values()), default=0))
    plot, step = WIDTH - _LEFT - 4, (WIDTH - _LEFT - 4) / max(len(columns), 1)
    base, tall = _HEIGHT - _FOOT, _HEIGHT - _FOOT - 10
    drawn = []
    for tick in range(5):
        y = base - tall * tick / 4
        drawn.append(
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + plot}" y2="{y:.1f}" class="{"grid" if tick else "axis"}"/>'
            f'<text x="{_LEFT - 8}" y="{y:.1f}" class="number end">{_plain(top * tick / 4)}</text>'
        )
    every = max(1, math.ceil(len(columns) / 5))
    for place, (label, parts) in enumerate(columns.items()):
        wide = min(step - min(step * 0.2, 6), _COLUMN)
        x, y = _LEFT + place * step + (step - wide) / 2, base
        whole = f"{label}: " + ", ".join(f"{kind} {_plain(parts[kind])}" for kind in kinds if parts.get(kind))
        drawn.append(f"<g><title>{escape(whole)}</title>")
        for number, kind in enumerate(kinds):
            height = tall * parts.get(kind, 0) / top
            if height:
                y -= height
                drawn.append(
                    f'<rect x="{x:.1f}" y="{y:.2f}" width="{wide:.1f}" height="{height:.2f}"'
                    f' class="kind{number}"/>'
                )
        drawn.append("</g>")
        if place % every == 0:
            drawn.append(f'<text x="{x + wide / 2:.1f}" y="{_HEIGHT - 8}" class="number middle">{escape(label)}</text>')
    return _svg(name, title, description, _HEIGHT, "".join(drawn)) + _legend(kinds)


def _legend(kinds: Sequence[str]) -> str:
    items = "".join(f'<li><span class="swatch kind{place}"></span>{escape(kind)}</li>' for place, kind in enumerate(kinds))
    return f'<ul class="legend">{items}</ul>'


def _svg(name: str, title: str, description: str, height: float, inside: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-text">{escape(description)}</desc>{inside}</svg>'
    )


def _round_top(value: float) -> float:
    """The least of 4, 8, 20, 40, 80, … that is not below: a quarter of it is a round number."""
    if value <= 4:
        return 4
    scale = 10.0 ** math.floor(math.log10(value))
    return next(scale * one for one in (1, 2, 4, 8, 10, 20) if scale * one >= value and (scale * one) % 4 == 0)


def _plain(value: float) -> str:
    return f"{value:,.0f}"
