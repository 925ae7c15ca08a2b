"""Charts as inline SVG: whole, escaped, and readable for who can't see them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.charts import WIDTH, bars, stacks

SVG = "{http://www.w3.org/2000/svg}"


def parsed(markup: str) -> ElementTree.Element:
    """The drawing as an XML parser sees it: strict, so that what is not escaped fails."""
    drawing = markup.partition("</svg>")[0] + "</svg>"
    return ElementTree.fromstring(drawing.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def test_bars_are_as_long_as_their_values() -> None:
    """From zero, in proportion; a small value is still to be seen, none is not there."""
    one, half, least, none = parsed(
        bars("b", "Title", "Text", [("a", 100, "100"), ("b", 50, "50"), ("c", 0.01, "1"), ("d", 0, "0")])
    ).findall(f"{SVG}rect")
    assert float(one.get("width", "")) == pytest.approx(2 * float(half.get("width", "")), abs=0.2)
    assert 1 < float(least.get("width", "")) < 3 and 0 == float(none.get("width", ""))


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_every_text_is_escaped(label: str, title: str) -> None:
    """Whatever stands in a label or a title stays a text, and is no markup."""
    drawing = parsed(bars("b", title, label, [(label, 1, label)]))
    assert title == (drawing.findtext(f"{SVG}title") or "") and label == (drawing.findtext(f"{SVG}desc") or "")
    assert [label, label] == [one.text or "" for one in drawing.findall(f"{SVG}text")]
    assert {"title", "desc", "line", "text", "rect"} == {one.tag.removeprefix(SVG) for one in drawing}


def test_a_chart_is_named_for_who_can_not_see_it() -> None:
    """It is an image with a title and a description, under ids of its own."""
    drawing = parsed(stacks("days", "Events a day", "Two days", {"2026-05-01": {"x": 1}}, ["x"]))
    named = (drawing.get("aria-labelledby") or "").split()
    assert "img" == drawing.get("role")
    assert ["Events a day", "Two days"] == [
        one.text for name in named for one in drawing.iter() if one.get("id") == name
    ]


@given(st.lists(st.lists(st.integers(0, 10**6), min_size=3, max_size=3), min_size=1, max_size=40))
def test_stacks_add_up_and_stay_inside(days: list[list[int]]) -> None:
    """The heights of a column are in proportion to its parts, and no column leaves the drawing."""
    kinds = ["x", "y", "z"]
    columns = {f"day {place}": dict(zip(kinds, counts, strict=True)) for place, counts in enumerate(days)}
    drawing = parsed(stacks("days", "t", "d", columns, kinds))
    groups = drawing.findall(f"{SVG}g")
    assert len(days) == len(groups)
    most = max(map(sum, days))
    heights = [sum(float(one.get("height", "")) for one in group.findall(f"{SVG}rect")) for group in groups]
    for total, height in zip(map(sum, days), heights, strict=True):
        assert height == pytest.approx(total / most * max(heights), abs=0.1) if most else height == 0
    for rectangle in drawing.iter(f"{SVG}rect"):
        x, y, wide = (float(rectangle.get(name, "")) for name in ("x", "y", "width"))
        assert 0 <= x and x + wide <= WIDTH and y >= 0
