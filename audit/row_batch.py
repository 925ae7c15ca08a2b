"""Gathers the rows that projections make and writes many of them at once: what makes a replay fast.

A projection says what happens to a row at each event; until the batch is written, a row that was inserted here is changed
here, and changes of a row that the server holds are added up. The outcome is that of the statements one by one: each
statement that `row_forms.py` does not understand is run by itself, after the rows of the tables that it names.

Sealed values never go to the server: their SHA-256 stands in their place, so that a scratch schema has no copy of anybody's
ciphertext, which an erasure would not find. It commits nothing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from audit.copied_rows import Unfit, copied
from audit.opening import Digest
from audit.row_forms import Form, InsertForm, TableForm, UpdateForm, form_of, table_form, values_at
from shared.work import Statement

MOST_ROWS = 8_192
"""Rows and changes that wait at most; with digests for sealed values, some megabytes."""


_Way = tuple["_Rows", Callable[[Any, tuple[Any, ...]], bool], Form]
"""What takes a statement, and the form of it."""

_NOT_SEALED = (Digest, datetime, str, int, type(None))


class RowBatch:
    """The rows of a replay on their way to the tables of the cursor's search path.

    `before_look_up` is told the tables that a statement is about to look rows up in by something else than their key.
    """

    def __init__(self, cursor: Any, tables: Iterable[sa.Table], before_look_up: Callable[[Sequence[str]], object]) -> None:
        self._cursor = cursor
        self._before_look_up = before_look_up
        tables = list(tables)
        found = {str(table.name): table_form(table) for table in tables}
        self._tables = {name: form for name, form in found.items() if form is not None}
        self._waiting = {name: _Rows(form) for name, form in self._tables.items()}
        self._word = re.compile(rf"\b(?:{'|'.join(found)})\b")
        self._ways: dict[str, _Way | list[str]] = {}
        self._statements: list[bytes] = []
        self._named: set[str] = set()
        """The tables that the waiting statements name: none of them has waiting rows, so that nothing overtakes anything."""
        self._count = 0

    def add(self, statement: Statement) -> None:
        """Takes one statement of a projection. Raises `Unfit`, or what the server refuses of what waited before."""
        sql, values = statement.sql, statement.values
        way = self._ways.get(sql)
        if way is None:
            way = self._make_way(sql)
        if isinstance(way, list):
            self._add_statement(way, sql, values)
            return
        rows, take, form = way
        if self._named and rows.name in self._named:
            self._write_statements()
        if not take(form, values):
            self._write_rows(rows)
            take(form, values)
        self._count += 1
        if self._count >= MOST_ROWS:
            self.write()

    def write(self) -> None:
        """Sends all that waits. Raises `Unfit`, or what the server refuses (`psycopg2.IntegrityError`)."""
        self._write_statements()
        for rows in self._waiting.values():
            self._write_rows(rows)
        self._count = 0

    def _make_way(self, sql: str) -> _Way | list[str]:
        """What to do with a statement, found when it first comes: the rows that take it, or the tables that it names."""
        form = form_of(sql, self._tables)
        if form is None:
            named = self._ways[sql] = self._word.findall(sql)
            return named
        rows = self._waiting[form.table.name]
        way = self._ways[sql] = (rows, rows.insert if isinstance(form, InsertForm) else rows.update, form)
        return way

    def _add_statement(self, named: list[str], sql: str, values: tuple[Any, ...]) -> None:
        for name in named:
            if name in self._waiting:
                self._write_rows(self._waiting[name])
        if not sql.startswith("INSERT"):
            self._before_look_up(named)
        self._named.update(named)
        self._statements.append(self._cursor.mogrify(sql, digested(values) or None))
        self._count += 1

    def _write_statements(self) -> None:
        statements, self._statements, self._named = self._statements, [], set()
        if statements:
            self._cursor.execute(b";".join(statements))

    def _write_rows(self, rows: _Rows) -> None:
        for sql, data in rows.taken():
            if data is None:
                self._cursor.execute(sql)
            else:
                self._cursor.copy_expert(sql, io.BytesIO(data))


class _Rows:
    """What waits for one table: rows to insert, rows to insert unless they are there, and changes of rows that are not here.

    No key is in two of them, so they can be written one after the other."""

    def __init__(self, table: TableForm) -> None:
        self.name = table.name
        self._table = table
        self._key_of = values_at(table.key)
        self._inserted: dict[tuple[Any, ...], list[Any]] = {}
        self._if_missing: dict[tuple[Any, ...], list[Any]] = {}
        self._changed: dict[tuple[Any, ...], tuple[dict[int, Any], dict[int, int]]] = {}

    def insert(self, form: InsertForm, values: tuple[Any, ...]) -> bool:
        """Takes the row of an INSERT. False where what waits has to be written first; raises `Unfit` where it waits already."""
        row = list(form.pick(values + form.constants))
        for column in form.sealed:
            row[column] = _digested(row[column])
        key = self._key_of(row)
        if key in self._changed:
            return False
        if form.ignores_conflicts:
            if key not in self._inserted:
                self._if_missing.setdefault(key, row)
            return True
        if key in self._if_missing:
            return False
        if key in self._inserted:
            raise Unfit(f"a row of {self.name} that is there already")
        self._inserted[key] = row
        return True

    def update(self, form: UpdateForm, values: Sequence[Any]) -> bool:
        """Takes the changes of an UPDATE. False where what waits has to be written first."""
        key = form.key_of(values)
        row = self._inserted.get(key)
        if row is not None:
            for column, number in form.adds:
                row[column] = _sum(row[column], number)
            for column, value in form.constants:
                row[column] = value
            for column, place in form.given:
                row[column] = values[place]
            for column, place in form.sealed:
                row[column] = _digested(values[place])
            return True
        if key in self._if_missing:
            return False
        sets, adds = self._changed.setdefault(key, ({}, {}))
        for column, number in form.adds:
            if column in sets:
                sets[column] = _sum(sets[column], number)
            else:
                adds[column] = adds.get(column, 0) + number
        for column, value in form.constants:
            sets[column] = value
            adds.pop(column, None)
        for column, place in form.given:
            sets[column] = values[place]
            adds.pop(column, None)
        for column, place in form.sealed:
            sets[column] = _digested(values[place])
            adds.pop(column, None)
        return True

    def taken(self) -> Iterable[tuple[str, bytes | None]]:
        """The statements that write what waits, those of COPY with their rows; nothing waits any more."""
        table = self._table
        inserted, self._inserted = self._inserted, {}
        if inserted:
            data = copied(table.types, inserted.values())
            yield f"COPY {table.name} ({', '.join(table.columns)}) FROM STDIN (FORMAT binary)", data
        if_missing, self._if_missing = self._if_missing, {}
        if if_missing:
            source = _arrays(table, range(len(table.columns)), list(if_missing.values()))
            yield f"INSERT INTO {table.name} ({', '.join(table.columns)}) SELECT * FROM {source} ON CONFLICT DO NOTHING", None
        changed, self._changed = self._changed, {}
        shapes: dict[tuple[tuple[int, ...], tuple[int, ...]], list[list[Any]]] = {}
        for key, (sets, adds) in changed.items():
            shapes.setdefault((tuple(sets), tuple(adds)), []).append([*key, *sets.values(), *adds.values()])
        for (set_columns, added), rows in shapes.items():
            yield self._update_of(set_columns, added, rows), None

    def _update_of(self, sets: Sequence[int], adds: Sequence[int], rows: list[list[Any]]) -> str:
        name, columns = self._table.name, self._table.columns
        changes = [f"{columns[one]} = new.{columns[one]}" for one in sets]
        changes += [f"{columns[one]} = {name}.{columns[one]} + new.{columns[one]}" for one in adds]
        same = " AND ".join(f"{name}.{columns[one]} = new.{columns[one]}" for one in self._table.key)
        source = _arrays(self._table, (*self._table.key, *sets, *adds), rows)
        return f"UPDATE {name} SET {', '.join(changes)} FROM {source} WHERE {same}"


def digested(values: Sequence[Any]) -> tuple[Any, ...]:
    """The values of a statement with SHA-256 in place of each byte string."""
    return tuple([_digested(value) for value in values])


def _digested(value: Any) -> Any:
    if type(value) in _NOT_SEALED:
        return value
    if isinstance(value, (bytes, memoryview)):
        return sha256(value).digest()
    return [_digested(one) for one in value] if isinstance(value, list) else value


def _sum(value: int | None, number: int) -> int | None:
    return None if value is None else value + number  # as SQL has it


# Values as PostgreSQL reads them


def _hexadecimal(value: bytes) -> str:
    return "\\x" + value.hex()


_TEXT: dict[type, Callable[[Any], str]] = {
    str: str,
    int: str,
    bool: lambda value: "t" if value else "f",
    datetime: datetime.isoformat,
    bytes: _hexadecimal,
    Digest: _hexadecimal,
}


def _arrays(table: TableForm, columns: Sequence[int] | range, rows: Sequence[Sequence[Any]]) -> str:
    """Rows as a relation `new` of these columns: one array literal for each."""
    arrays = []
    for place, column in enumerate(columns):
        literal = "{" + ",".join([_quoted(row[place]) for row in rows]) + "}"
        arrays.append("'" + literal.replace("'", "''") + f"'::{table.types[column]}[]")
    return f"unnest({', '.join(arrays)}) AS new ({', '.join(table.columns[column] for column in columns)})"


def _quoted(value: Any) -> str:
    if value is None:
        return "NULL"
    return '"' + _TEXT[type(value)](value).replace("\\", "\\\\").replace('"', '\\"') + '"'
