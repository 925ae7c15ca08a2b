"""Turns what came from outside into a validated struct, or says which field breaks which rule, and never what
stood there.

msgspec does the checking; its messages may hold the value (or a name that the caller made up), so of them
only what is on a list of ours gets through: the path made of the struct's own field names, and rules that the
struct itself states.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
import msgspec.inspect as inspection

from shared.errors import InvalidArgument

T = TypeVar("T")

ROOT = "argument"
"""What the path of the argument as a whole is called."""
MAX_DEPTH = 64
"""How deeply an argument may be nested."""

_PATH = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`$]*)`$")
_SEGMENT = re.compile(r"\.(?P<name>[A-Za-z_][A-Za-z0-9_]*)|\[(?:\d+|\.\.\.)\]")
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (r"Object missing required field `(?P<name>\w+)`", "is required"),
        (
            r"Expected `(?P<expected>[\w| ]+)` (?P<limit>of length (?:<=|>=|==|<|>) \d+)",
            "is {expected} {limit}",
        ),
        (r"Expected `(?P<expected>[\w| ]+)` (?P<limit>(?:<=|>=|<|>) -?[\d.]+)", "is {expected} {limit}"),
        (
            r"Expected `(?P<expected>[\w| ]+)` that's a multiple of (?P<limit>[\d.]+)",
            "is a multiple of {limit}",
        ),
        (
            r"Expected `str` matching regex '\^\[0-9a-f\]\{8\}-",
            "has the form of an id, such as 7c1d4cf1-0d9e-4b3a-8f5f-6f6f0c6a2b11",
        ),
        (r"Expected `(?P<expected>[\w| ]+)` matching regex ", "has the form that is asked for"),
        (
            r"Expected `(?P<expected>[\w| ]+)` with (?P<limit>no|a|an) timezone component",
            "is {expected} with {limit} time zone",
        ),
        (
            r"Expected `array` of (?P<limit>at (?:least|most) )?length (?P<count>\d+)",
            "is an array of {limit}length {count}",
        ),
        (r"Expected `(?P<expected>[\w| ]+)`, got `[\w ]+`", "is {expected}"),
        (r"Invalid enum value ", "is one of the values that are allowed"),
        (r"Invalid value ", "is one of the kinds that are allowed"),
        (
            r"Invalid (?P<expected>RFC3339 encoded datetime|RFC3339 encoded date|UUID|base64 encoded string)",
            "is {expected}",
        ),
        (r"Integer value out of range", "is in range"),
    )
)


def validate(struct_type: type[T], raw: Any) -> T:
    """`raw` (plain data: dicts, lists, scalars) as a `struct_type`.

    Nothing is coerced, and fields that the struct does not have are refused, whether it says so or not.
    Raises `InvalidArgument` with the path of the field, for example `recipients[2].address`, and the rule.
    """
    if isinstance(raw, msgspec.Struct):
        raw = msgspec.to_builtins(raw, builtin_types=(bytes,))
    path = _unknown_field(_node(cast(Hashable, struct_type)), raw, "", 0)
    if path is not None:
        raise InvalidArgument(field=path or ROOT, rule="has only fields that are known")
    try:
        return msgspec.convert(raw, struct_type, strict=True)
    except msgspec.MsgspecError as error:
        field, rule = _explain(struct_type, str(error))
        raise InvalidArgument(field=field or ROOT, rule=rule) from None
    except RecursionError:
        raise InvalidArgument(field=ROOT, rule="is not nested so deeply") from None
    except (ValueError, TypeError, OverflowError):
        raise InvalidArgument(field=ROOT, rule="is valid") from None


def _unknown_field(node: inspection.Type, raw: Any, path: str, depth: int) -> str | None:
    """The path of the first object with a field that its struct does not have. Never that field's name: it
    isn't ours.
    """
    if depth > MAX_DEPTH:
        raise InvalidArgument(field=ROOT, rule="is not nested so deeply")
    if isinstance(node, inspection.Metadata):
        return _unknown_field(node.type, raw, path, depth)
    if isinstance(raw, dict):
        return _unknown_in_object(node, raw, path, depth)
    if isinstance(raw, (list, tuple)):
        for place, value in enumerate(raw):
            inner = _element(node, place)
            found = _unknown_field(inner, value, f"{path}[{place}]", depth + 1) if inner is not None else None
            if found is not None:
                return found
    return None


def _unknown_in_object(node: inspection.Type, raw: dict[Any, Any], path: str, depth: int) -> str | None:
    struct = _struct(node, raw)
    if struct is None:
        values = _dict_value(node)
        if values is None:
            return None
        found = (_unknown_field(values, value, f"{path}[...]", depth + 1) for value in raw.values())
        return next((place for place in found if place is not None), None)
    fields = {field.encode_name: field for field in struct.fields}
    for name, value in raw.items():
        if name == struct.tag_field:
            continue
        field = fields.get(name) if isinstance(name, str) else None
        if field is None:
            return path
        found_below = _unknown_field(field.type, value, f"{path}.{name}" if path else str(name), depth + 1)
        if found_below is not None:
            return found_below
    return None


def _kinds(node: inspection.Type) -> Iterator[inspection.Type]:
    if isinstance(node, inspection.Metadata):
        yield from _kinds(node.type)
    elif isinstance(node, inspection.UnionType):
        for kind in node.types:
            yield from _kinds(kind)
    else:
        yield node


def _struct(node: inspection.Type, raw: dict[Any, Any]) -> inspection.StructType | None:
    structs = [kind for kind in _kinds(node) if isinstance(kind, inspection.StructType)]
    for struct in structs:
        if struct.tag_field is not None and raw.get(struct.tag_field) == struct.tag:
            return struct
    return structs[0] if len(structs) == 1 else None


def _dict_value(node: inspection.Type) -> inspection.Type | None:
    found = (kind.value_type for kind in _kinds(node) if isinstance(kind, inspection.DictType))
    return next(found, None)


def _element(node: inspection.Type, place: int) -> inspection.Type | None:
    for kind in _kinds(node):
        if isinstance(
            kind, (inspection.ListType, inspection.VarTupleType, inspection.SetType, inspection.FrozenSetType)
        ):
            return kind.item_type
        if isinstance(kind, inspection.TupleType) and place < len(kind.item_types):
            return kind.item_types[place]
    return None


@cache
def _node(struct_type: Hashable) -> inspection.Type:
    return inspection.type_info(struct_type)


@cache
def _field_names(struct_type: Hashable) -> frozenset[str]:
    """The names of all fields that can be reached from a type: what a path may be made of."""
    names: set[str] = set()
    seen: set[type] = set()
    waiting: list[inspection.Type] = [_node(struct_type)]
    while waiting:
        for kind in _kinds(waiting.pop()):
            if isinstance(kind, inspection.StructType) and kind.cls not in seen:
                seen.add(kind.cls)
                names.update(field.encode_name for field in kind.fields)
                names.update([kind.tag_field] if kind.tag_field else [])
                waiting.extend(field.type for field in kind.fields)
            waiting.extend(_inner_types(kind))
    return frozenset(names)


def _inner_types(kind: inspection.Type) -> list[inspection.Type]:
    if isinstance(kind, inspection.TupleType):
        return list(kind.item_types)
    if isinstance(kind, inspection.DictType):
        return [kind.value_type]
    inner = getattr(kind, "item_type", None)
    return [inner] if isinstance(inner, inspection.Type) else []


def _explain(struct_type: Any, message: str) -> tuple[str, str]:
    names = _field_names(struct_type)
    path_match = _PATH.search(message)
    path = _safe_path(path_match["path"], names) if path_match else ""
    for pattern, rule in _RULES:
        match = pattern.match(message)
        if match:
            groups = {key: value or "" for key, value in match.groupdict().items()}
            missing = groups.pop("name", "")
            if missing in names:
                path = f"{path}.{missing}" if path else missing
            return path, rule.format(**groups)
    return path, "is valid"


def _safe_path(path: str, names: frozenset[str]) -> str:
    """The path, if it is made of our own field names and of indexes only; otherwise nothing."""
    place = 0
    while place < len(path):
        segment = _SEGMENT.match(path, place)
        if segment is None or (segment["name"] is not None and segment["name"] not in names):
            return ""
        place = segment.end()
    return path.removeprefix(".")
