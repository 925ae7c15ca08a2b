"""From the type of an argument: values that fit it, and values that break one rule of it, with the field and the rule broken.

Every string, key and byte string that is made here holds the `MARK`, so that a test can look for what must not be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec.inspect as types
from hypothesis import strategies as st

from shared.ids import new_id

MARK = "zqmalformedqz"
LARGEST_LIST = 6_000
"""Lists that may be longer are not made too long: it would cost seconds and show nothing more."""

_texts = st.text(st.characters(codec="utf-8"), max_size=12).map(lambda text: f"{MARK}{text}")
_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), _texts,
    st.binary(max_size=8).map(lambda octets: MARK.encode() + octets),
)  # fmt: skip
GARBAGE = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3))
"""Any plain data."""


class Broken(NamedTuple):
    """An argument that breaks one rule; the field that a caller must be told, and a piece of the rule."""

    value: Any
    field: str
    rule: str


def fitting(kind: types.Type) -> st.SearchStrategy[Any]:
    """Values that fit a type: as plain data, odd in whatever way the type allows."""
    match kind:
        case types.Metadata():
            return fitting(kind.type)
        case types.StructType():
            required = {one.encode_name: fitting(one.type) for one in kind.fields if one.required}
            others = {one.encode_name: fitting(one.type) for one in kind.fields if not one.required}
            return st.fixed_dictionaries(required, optional=others)
        case types.UnionType():
            return st.one_of([fitting(one) for one in kind.types])
        case types.ListType():
            return st.lists(fitting(kind.item_type), min_size=kind.min_length or 0, max_size=min(kind.max_length or 3, 3))
        case types.DictType():
            return st.dictionaries(_texts, fitting(kind.value_type), max_size=2)
        case types.StrType():
            return _strings(kind)
        case types.BytesType():
            return st.binary(max_size=200).map(lambda octets: MARK.encode() + octets)
        case types.IntType():
            return st.integers(kind.ge if kind.ge is not None else -5, kind.le if kind.le is not None else 10**9)
        case types.BoolType():
            return st.booleans()
        case types.LiteralType():
            return st.sampled_from(kind.values)
        case types.DateTimeType():
            return st.datetimes(timezones=st.just(UTC))
        case types.NoneType():
            return st.none()
    raise NotImplementedError(f"{kind}: say here what fits it")


def _strings(kind: types.StrType) -> st.SearchStrategy[str]:
    if kind.pattern is not None:
        return st.builds(lambda: _of_pattern(kind.pattern or ""))
    longest = kind.max_length or 200
    odd = st.sampled_from(["\0", "' OR 1=1 --", "%s%n{0}", "\u202e\u2066", "@", "+49 30", "a@b@c", "<>", "\U0001f375" * 3, " "])
    text = st.one_of(_texts, odd.map(lambda one: f"{MARK}{one}"), odd)
    return text.map(lambda one: one[:longest].ljust(kind.min_length or 0, "x"))


def _of_pattern(pattern: str) -> str:
    return "0" * 64 if "{64}" in pattern else new_id()


def example(kind: types.Type) -> Any:
    """One plain value that fits."""
    match kind:
        case types.Metadata():
            return example(kind.type)
        case types.StructType():
            return {one.encode_name: example(one.type) for one in kind.fields if one.required}
        case types.UnionType():
            return example(kind.types[0])
        case types.ListType():
            return [example(kind.item_type)]
        case types.DictType():
            return {}
        case types.StrType():
            return _of_pattern(kind.pattern) if kind.pattern else MARK.ljust(kind.min_length or 0, "x")[: kind.max_length]
        case types.BytesType():
            return MARK.encode()
        case types.IntType():
            return kind.ge if kind.ge is not None else 1
        case types.BoolType():
            return False
        case types.LiteralType():
            return kind.values[0]
        case types.DateTimeType():
            return datetime(2024, 3, 4, tzinfo=UTC)
        case types.NoneType():
            return None
    raise NotImplementedError(f"{kind}: say here what fits it")


def broken(kind: types.Type) -> Iterator[Broken]:
    """Every way to break one rule of a struct, at each of its fields, however deep."""
    assert isinstance(kind, types.StructType)
    whole = example(kind)
    for value in (MARK, 7, [MARK], [[MARK]], MARK.encode()):
        yield Broken(value, "argument", "is object")
    yield Broken(whole | {MARK: MARK}, "argument", "fields that are known")
    for path, rule, value in _broken_below(kind, ""):
        yield Broken(value, path, rule)


def _broken_below(kind: types.Type, path: str) -> Iterator[tuple[str, str, Any]]:
    match kind:
        case types.Metadata():
            yield from _broken_below(kind.type, path)
        case types.StructType():
            whole = example(kind)
            for one in kind.fields:
                name = f"{path}.{one.encode_name}" if path else one.encode_name
                if one.required:
                    yield name, "is required", {key: value for key, value in whole.items() if key != one.encode_name}
                for wrong in _wrong_kinds(one.type):
                    yield name, "is ", whole | {one.encode_name: wrong}
                for inner, rule, value in _broken_below(one.type, name):
                    yield inner, rule, whole | {one.encode_name: value}
            if path:
                yield path, "fields that are known", whole | {MARK: MARK}
        case types.UnionType():
            for each in kind.types:
                yield from _broken_below(each, path)
        case types.ListType():
            if kind.min_length:
                yield path, "length", []
            if kind.max_length and kind.max_length < LARGEST_LIST:
                yield path, "length", [example(kind.item_type)] * (kind.max_length + 1)
            for wrong in _wrong_kinds(kind.item_type):
                yield f"{path}[...]", "is ", [wrong]
            for inner, rule, value in _broken_below(kind.item_type, f"{path}[...]"):
                yield inner, rule, [value]
        case types.StrType():
            if kind.min_length:
                yield path, "length", ""
            if kind.max_length:
                yield path, "length", MARK.ljust(kind.max_length + 1, "x")
            if kind.pattern:
                yield path, "form", MARK
                yield path, "form", example(kind).upper() + MARK
        case types.IntType():
            if kind.ge is not None:
                yield path, "is ", kind.ge - 1
            if kind.le is not None:
                yield path, "is ", kind.le + 1
            yield path, "is ", 2**63
        case types.LiteralType():
            yield path, "values that are allowed", MARK
        case types.DateTimeType():
            yield path, "is ", MARK
            yield path, "is ", f"2024-13-45T99:00:00Z {MARK}"


def _wrong_kinds(kind: types.Type) -> Iterator[Any]:
    """Values of other kinds than a field takes."""
    kinds = tuple(_kinds(kind))
    samples: dict[type, Any] = {
        types.StrType: MARK, types.IntType: 7, types.BoolType: True, types.ListType: [MARK], types.DictType: {MARK: MARK},
        types.NoneType: None, types.FloatType: 1.5,
    }  # fmt: skip
    for sample_kind, value in samples.items():
        if not any(_takes(one, sample_kind) for one in kinds):
            yield value


def _takes(kind: types.Type, sample: type) -> bool:
    if isinstance(kind, (types.LiteralType, types.DateTimeType, types.BytesType)) and sample is types.StrType:
        return True  # refused for another reason, which is broken by itself
    if isinstance(kind, types.StructType):
        return sample is types.DictType
    return isinstance(kind, sample)


def _kinds(kind: types.Type) -> Iterator[types.Type]:
    if isinstance(kind, types.Metadata):
        yield from _kinds(kind.type)
    elif isinstance(kind, types.UnionType):
        for one in kind.types:
            yield from _kinds(one)
    else:
        yield kind
