"""Compares rebuilt tables with the live ones, row by row over their keys, and shows how the first that differ do: column by
column, in ids, times, counts and digests.

Rebuilt tables have SHA-256 where live ones have sealed bytes (`row_batch.py`), so it is the digests that are compared, and
nothing sealed is read or shown. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa

from shared.personal import NotPersonal

MOST_DIFFERENCES = 50
MOST_CHARACTERS = 200

Value = Annotated[str | None, NotPersonal("an id, a time, a number, a name from a list, or a digest")]


class ColumnDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A column of one row on both sides, None for NULL or where the row is not there. Sealed bytes as `sha256:…`."""

    column: Annotated[str, NotPersonal("the name of a column")]
    live: Value
    rebuilt: Value


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One row that is not the same on both sides: its primary key, how it differs, and in which columns."""

    key: dict[str, str]
    what: Literal["only live", "only rebuilt", "not the same", "more than once live"]
    columns: list[ColumnDifference]


class TableResult(msgspec.Struct, frozen=True, kw_only=True):
    """One table of a read model, rebuilt and live. `live` is None where nothing was compared."""

    table: str
    live: int | None
    rebuilt: int
    differing: int = 0
    """How many rows are on one side only or have other contents."""
    differences: list[Difference] = []
    """The first of them, in the order of their keys."""


def count_rows(cursor: Any, scratch: str, tables: Sequence[sa.Table]) -> list[TableResult]:
    """How many rows were rebuilt in the schema `scratch`."""
    return [TableResult(table=str(table.name), live=None, rebuilt=_count(cursor, scratch, table)) for table in tables]


def compare_table(cursor: Any, scratch: str, table: sa.Table) -> TableResult:
    """A table of the schema `scratch` against the live one of its name."""
    sides = _Sides(scratch, table)
    rebuilt = _count(cursor, scratch, table)
    cursor.execute(
        f"SELECT count(l.{sides.key[0]}), count(r.{sides.key[0]}), count(*) FILTER (WHERE {sides.differ}) FROM {sides.both}"
    )
    live, paired, differing = cursor.fetchone()
    # A key that stands twice in the live table pairs its rebuilt row twice
    differing += paired - rebuilt
    return TableResult(
        table=str(table.name), live=live, rebuilt=rebuilt, differing=differing,
        differences=sides.differences(cursor) if differing else [],
    )  # fmt: skip


class _Sides:
    """The SQL of one comparison: `l` is the live table, `r` the rebuilt one."""

    def __init__(self, scratch: str, table: sa.Table) -> None:
        self.key = [f'"{column.name}"' for column in table.primary_key.columns]
        self._names = [str(column.name) for column in table.primary_key.columns]
        rest = [column for column in table.columns if not column.primary_key]
        self._rest = [str(column.name) for column in rest]
        live = [_live(column) for column in rest]
        rebuilt = [f'r."{column.name}"' for column in rest]
        self._live_table = f'"{table.schema}"."{table.name}"'
        same = " AND ".join(f"l.{name} = r.{name}" for name in self.key)
        self.both = f'{self._live_table} l FULL JOIN "{scratch}"."{table.name}" r ON {same}'
        missing = f"l.{self.key[0]} IS NULL OR r.{self.key[0]} IS NULL"
        unlike = f" OR ROW({', '.join(live)}) IS DISTINCT FROM ROW({', '.join(rebuilt)})" if rest else ""
        self.differ = f"({missing}{unlike})"
        pairs = zip(rest, live, rebuilt, strict=True)
        self._shown = [_shown(column, side) for column, *both in pairs for side in both]

    def differences(self, cursor: Any) -> list[Difference]:
        """The first rows that differ."""
        keys = [f"COALESCE(l.{name}, r.{name})" for name in self.key]
        selected = ", ".join([*(f"{key}::text" for key in keys), *self._shown])
        cursor.execute(
            f"SELECT l.{self.key[0]} IS NULL, r.{self.key[0]} IS NULL, {selected} FROM {self.both} WHERE {self.differ}"
            f" ORDER BY {', '.join(keys)} LIMIT {MOST_DIFFERENCES}"
        )
        found = [self._difference(*row) for row in cursor.fetchall()]
        names = ", ".join(self.key)
        cursor.execute(
            f"SELECT {', '.join(f'{name}::text' for name in self.key)} FROM {self._live_table} GROUP BY {names}"
            f" HAVING count(*) > 1 ORDER BY {names} LIMIT {MOST_DIFFERENCES}"
        )
        repeated = [
            Difference(key=dict(zip(self._names, row, strict=True)), what="more than once live", columns=[])
            for row in cursor.fetchall()
        ]
        return (found + repeated)[:MOST_DIFFERENCES]

    def _difference(self, not_live: bool, not_rebuilt: bool, *values: str | None) -> Difference:
        key = {name: str(value) for name, value in zip(self._names, values, strict=False)}
        sides = values[len(self._names) :]
        columns = [
            ColumnDifference(column=name, live=live, rebuilt=rebuilt)
            for name, live, rebuilt in zip(self._rest, sides[::2], sides[1::2], strict=True)
            if live != rebuilt
        ]
        what: Literal["only live", "only rebuilt", "not the same"] = (
            "only rebuilt" if not_live else "only live" if not_rebuilt else "not the same"
        )
        return Difference(key=key, what=what, columns=columns)


def _live(column: sa.Column[Any]) -> str:
    """A live column as it is rebuilt."""
    return f'sha256(l."{column.name}")' if _is_sealed(column) else f'l."{column.name}"'


def _shown(column: sa.Column[Any], side: str) -> str:
    return f"'sha256:' || encode({side}, 'hex')" if _is_sealed(column) else f"left({side}::text, {MOST_CHARACTERS})"


def _is_sealed(column: sa.Column[Any]) -> bool:
    return isinstance(column.type, sa.LargeBinary)


def _count(cursor: Any, schema: str, table: sa.Table) -> int:
    cursor.execute(f'SELECT count(*) FROM "{schema}"."{table.name}"')
    return int(cursor.fetchone()[0])
