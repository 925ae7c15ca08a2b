"""Reads the statements of projections that touch one row by its whole key: an INSERT of values, an UPDATE by primary key.

Pure. `row_batch.py` gathers such statements as rows and writes many at once; any other statement it runs as it is, so what
is not understood here costs speed and nothing else. A form says the same as its statement, or there is no form.
"""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from audit.copied_rows import TYPES, Unfit, copied

_DIALECT: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
BYTES = "BYTEA"
_INSERT = re.compile(r"INSERT INTO (\w+) \(([\w, ]+)\) VALUES \((.+)\)( ON CONFLICT DO NOTHING)?", re.DOTALL)
_UPDATE = re.compile(r"UPDATE (\w+) SET (.+) WHERE (.+)", re.DOTALL)
_EQUALS = re.compile(r"(\w+) = (.+)")
_PLUS = re.compile(r"(\w+) \+ (\d+)")
_PLACEHOLDER = re.compile(r"%s(?:::\w+(?:\[\])?)?")
_NUMBER = re.compile(r"-?\d+")
_QUOTED = re.compile(r"'([^'%]*)'")


class TableForm(NamedTuple):
    """A table as rows are held for it: its columns in their order, with their types and what an INSERT may leave out."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    """As PostgreSQL writes them."""
    key: tuple[int, ...]
    """Where the columns of the primary key stand."""
    defaults: tuple[Any, ...]


class Given(NamedTuple):
    """A value that a statement is sent with, by its place among the placeholders."""

    place: int


class InsertForm(NamedTuple):
    """One row. `values` are those of all columns of the table; a `Given` stands for what is sent."""

    table: TableForm
    values: tuple[Any, ...]
    pick: Callable[[Sequence[Any]], tuple[Any, ...]]
    """Makes the row of what is sent and, behind it, the `constants`: in one call, since this is done for each event."""
    constants: tuple[Any, ...]
    sealed: tuple[int, ...]
    """The columns in which byte strings are sent."""
    ignores_conflicts: bool


class UpdateForm(NamedTuple):
    """Changes of the row with one key: columns that get a value that is sent, or one that stands in the statement, and columns
    that a number is added to."""

    table: TableForm
    key: tuple[int, ...]
    """The places of the key's values, in the order of the key's columns."""
    key_of: Callable[[Sequence[Any]], tuple[Any, ...]]
    """Picks the key out of what is sent."""
    given: tuple[tuple[int, int], ...]
    """Each column with the place of its value among what is sent."""
    sealed: tuple[tuple[int, int], ...]
    """The same of columns in which byte strings are sent."""
    constants: tuple[tuple[int, Any], ...]
    adds: tuple[tuple[int, int], ...]


Form = InsertForm | UpdateForm


def table_form(table: sa.Table) -> TableForm | None:
    """How rows of a table are held; None where a column has a default that only the server can make, or a type that
    `copied_rows.py` does not write."""
    columns = list(table.columns)
    defaults: list[Any] = []
    for column in columns:
        default = column.server_default
        if default is None:
            defaults.append(None)
        elif isinstance(default, sa.DefaultClause) and isinstance(default.arg, str):
            defaults.append(default.arg)
        else:
            return None
    names = tuple(str(column.name) for column in columns)
    types = tuple(column.type.compile(dialect=_DIALECT) for column in columns)
    if not set(types) <= TYPES.keys() or not _fit(types, defaults):
        return None
    return TableForm(
        name=str(table.name), columns=names, types=types,
        key=tuple(names.index(str(column.name)) for column in table.primary_key.columns), defaults=tuple(defaults),
    )  # fmt: skip


def form_of(sql: str, tables: Mapping[str, TableForm]) -> Form | None:
    """The form of a statement with psycopg2's placeholders; None where it does more than touch one row by its key."""
    insert = _INSERT.fullmatch(sql)
    if insert is not None:
        return _insert_form(insert, tables)
    update = _UPDATE.fullmatch(sql)
    return None if update is None else _update_form(update, tables)


def _insert_form(match: re.Match[str], tables: Mapping[str, TableForm]) -> InsertForm | None:
    table, names = tables.get(match[1]), match[2].split(", ")
    values = _values(match[3].split(", "))
    if table is None or values is None or len(names) != len(values) or not set(names) <= set(table.columns):
        return None
    row = list(table.defaults)
    for name, value in zip(names, values, strict=True):
        row[table.columns.index(name)] = value
    ignores = match[4] is not None
    if not table.key or (ignores and _has_arrays(table, range(len(table.columns)))):
        return None
    if not _fit(table.types, [None if isinstance(value, Given) else value for value in row]):
        return None
    sealed = [column for column, value in enumerate(row) if isinstance(value, Given) and table.types[column] == BYTES]
    constants = tuple(value for value in row if not isinstance(value, Given))
    behind = itertools.count(len(row) - len(constants))
    pick = values_at([value.place if isinstance(value, Given) else next(behind) for value in row])
    return InsertForm(table, tuple(row), pick, constants, tuple(sealed), ignores)


def values_at(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """A function that gives the values at these places of a row, as a tuple."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda values: tuple(values[place] for place in places)


def _update_form(match: re.Match[str], tables: Mapping[str, TableForm]) -> UpdateForm | None:
    table = tables.get(match[1])
    assignments = [_EQUALS.fullmatch(one) for one in match[2].split(", ")]
    conditions = [_EQUALS.fullmatch(one) for one in match[3].split(" AND ")]
    if table is None or not all(assignments) or not all(conditions):
        return None
    pairs = [(one[1], one[2]) for one in (*assignments, *conditions) if one is not None]
    sets: list[tuple[int, Any]] = []
    adds: list[tuple[int, int]] = []
    key: dict[int, int] = {}
    place = 0
    for number, (name, text) in enumerate(pairs):
        if name not in table.columns:
            return None
        column, plus, value = table.columns.index(name), _PLUS.fullmatch(text), _value(text, place)
        is_condition = number >= len(assignments)
        if not is_condition and plus is not None and plus[1] == name:
            adds.append((column, int(plus[2])))
        elif value is None or (is_condition and not isinstance(value[0], Given)):
            return None
        elif is_condition:
            key[column] = value[0].place
        else:
            sets.append((column, value[0]))
        place += value is not None and isinstance(value[0], Given)
    changed = [column for column, _ in (*sets, *adds)]
    if set(key) != set(table.key) or len(key) != len(conditions) or set(changed) & set(key) or len(set(changed)) < len(changed):
        return None
    if _has_arrays(table, changed):
        return None
    constants = tuple((column, value) for column, value in sets if not isinstance(value, Given))
    if not _fit([table.types[column] for column, _ in constants], [value for _, value in constants]):
        return None
    places = tuple(key[column] for column in table.key)
    sent = [(column, value.place) for column, value in sets if isinstance(value, Given)]
    given = tuple((column, place) for column, place in sent if table.types[column] != BYTES)
    sealed = tuple((column, place) for column, place in sent if table.types[column] == BYTES)
    return UpdateForm(table, places, values_at(places), given, sealed, constants, tuple(adds))


def _values(texts: Sequence[str]) -> list[Any] | None:
    """Each text as the value that it stands for; None where one is more than a placeholder or a literal."""
    values: list[Any] = []
    place = 0
    for text in texts:
        value = _value(text, place)
        if value is None:
            return None
        values.append(value[0])
        place += isinstance(value[0], Given)
    return values


def _value(text: str, place: int) -> tuple[Any] | None:
    if _PLACEHOLDER.fullmatch(text):
        return (Given(place),)
    if _NUMBER.fullmatch(text):
        return (int(text),)
    if quoted := _QUOTED.fullmatch(text):
        return (quoted[1],)
    return (None,) if text == "NULL" else None


def _fit(types: Sequence[str], values: Sequence[Any]) -> bool:
    """Whether values that stand in a statement are of their columns' types as they are, without a cast by the server."""
    try:
        copied(types, [values])
    except Unfit:
        return False
    return True


def _has_arrays(table: TableForm, columns: Sequence[int] | range) -> bool:
    """Arrays can't stand in the arrays that such rows are sent in."""
    return any(table.types[column].endswith("[]") for column in columns)
