"""Validation says which field breaks which rule, and nothing of what stood there."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InvalidArgument
from shared.ids import Id
from shared.validation import validate


class Colour(enum.Enum):
    RED = "red"


class Recipient(msgspec.Struct):
    address: Annotated[str, msgspec.Meta(max_length=5)]


class Mail(msgspec.Struct, tag="mail"):
    to: Recipient


class Note(msgspec.Struct, tag="note"):
    body: str


class Everything(msgspec.Struct):
    recipients: list[Recipient]
    when: datetime | None = None
    counts: dict[str, int] = {}
    named: dict[str, Recipient] = {}
    number: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    pair: tuple[int, Recipient | None] = (1, None)
    code: Annotated[str, msgspec.Meta(pattern="^[a-z]$")] = "a"
    thing: Id = "7c1d4cf1-0d9e-4b3a-8f5f-6f6f0c6a2b11"
    colour: Colour = Colour.RED
    part: Mail | Note | None = None


@pytest.mark.parametrize(
    ("raw", "field", "rule"),
    [
        ({}, "recipients", "is required"),
        (5, "argument", "is object"),
        (
            {"recipients": [{"address": "a"}, {"address": "too long"}]},
            "recipients[1].address",
            "is str of length <= 5",
        ),
        ({"recipients": [{"address": 1}]}, "recipients[0].address", "is str"),
        ({"recipients": [{}]}, "recipients[0].address", "is required"),
        ({"recipients": [{"address": "a", "anna": 1}]}, "recipients[0]", "has only fields that are known"),
        ({"recipients": [], "anna": 1}, "argument", "has only fields that are known"),
        ({"recipients": [], "when": "anna"}, "when", "is RFC3339 encoded datetime"),
        ({"recipients": [], "counts": {"anna": "b"}}, "counts[...]", "is int"),
        ({"recipients": [], "counts": {5: 1}}, "counts", "is str"),
        (
            {"recipients": [], "named": {"anna": {"address": "a", "b": 1}}},
            "named[...]",
            "has only fields that are known",
        ),
        ({"recipients": [], "number": 9}, "number", "is int <= 5"),
        ({"recipients": [], "number": "1"}, "number", "is int"),
        ({"recipients": [], "pair": [1]}, "pair", "is an array of length 2"),
        (
            {"recipients": [], "pair": [1, {"address": "a", "b": 1}]},
            "pair[1]",
            "has only fields that are known",
        ),
        ({"recipients": [], "code": "anna"}, "code", "has the form that is asked for"),
        ({"recipients": [], "thing": "anna"}, "thing", "has the form of an id, such as 7c1d4cf1-0d9e-4b3a-8f5f-6f6f0c6a2b11"),
        ({"recipients": [], "colour": "anna"}, "colour", "is one of the values that are allowed"),
        ({"recipients": [], "part": {"type": "anna"}}, "part.type", "is one of the kinds that are allowed"),
        (
            {"recipients": [], "part": {"type": "note", "body": "b", "x": 1}},
            "part",
            "has only fields that are known",
        ),
        ({"recipients": [], "part": {"type": "mail", "to": {"address": 5}}}, "part.to.address", "is str"),
    ],
)
def test_field_and_rule_are_named(raw: Any, field: str, rule: str) -> None:
    """Each malformed argument is refused with the path of the field and the rule that it breaks."""
    with pytest.raises(InvalidArgument) as refused:
        validate(Everything, raw)
    assert (field, rule) == (refused.value.field, refused.value.rule)


def test_what_is_right_passes() -> None:
    """A right argument becomes the struct; a struct is taken as well."""
    raw = {
        "recipients": [{"address": "a"}],
        "part": {"type": "note", "body": "b"},
        "when": "2026-01-01T00:00:00Z",
    }
    assert Everything(
        [Recipient("a")], part=Note("b"), when=datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    ) == (validate(Everything, raw))
    assert Recipient("a") == validate(Recipient, Recipient("a"))


SECRET = "zqxanna"
names = st.sampled_from(
    [*Everything.__struct_fields__, "address", "type", "to", SECRET, f"` - at `$.{SECRET}`"]
)
scalars = st.sampled_from([SECRET, f"'{SECRET}", f"{SECRET}` - at `$.{SECRET}`"]) | st.text() | st.binary()
garbage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.integers(), inner, max_size=4),
)


@settings(max_examples=1000)
@given(raw=garbage)
def test_garbage_gets_a_typed_error_without_its_values(raw: Any) -> None:
    """Whatever is sent, the answer is a struct or InvalidArgument, and no text of the caller's stands in the
    error.
    """
    try:
        validate(Everything, raw)
    except InvalidArgument as error:
        assert error.field and error.rule
        assert SECRET not in str(error) + repr(error.details)


def test_deep_nesting_is_refused() -> None:
    """An argument nested a hundred thousand deep is refused, not a crash."""
    raw: Any = {}
    for _ in range(100_000):
        raw = {"named": {"a": raw}, "recipients": [raw]}
    with pytest.raises(InvalidArgument):
        validate(Everything, raw)
