"""Compares rebuilt tables with the live ones, both ways, and names the rows that differ by their keys: ids, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

MOST_DIFFERENCES = 50


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One row that is not the same on both sides: its primary key, and on which side it stands."""

    key: dict[str, str]
    what: Literal["only live", "only rebuilt", "not the same"]


class TableResult(msgspec.Struct, frozen=True, kw_only=True):
    """One table of a read model, rebuilt and live. `live` is None where nothing was compared."""

    table: str
    live: int | None
    rebuilt: int
    differing: int = 0
    """How many rows are on one side only; a row with other contents counts on both."""
    differences: list[Difference] = []
    """The first of them."""


def count_rows(cursor: Any, scratch: str, tables: Sequence[sa.Table]) -> list[TableResult]:
    """How many rows were rebuilt in the schema `scratch`."""
    return [TableResult(table=str(table.name), live=None, rebuilt=_count(cursor, scratch, table)) for table in tables]


def compare_tables(cursor: Any, scratch: str, tables: Sequence[sa.Table]) -> list[TableResult]:
    """Each table of the schema `scratch` against the live one of its name: rows, counted with their repetitions."""
    return [_compare(cursor, scratch, table) for table in tables]


def _compare(cursor: Any, scratch: str, table: sa.Table) -> TableResult:
    live, rebuilt = f'"{table.schema}"."{table.name}"', f'"{scratch}"."{table.name}"'
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    key = [str(column.name) for column in table.primary_key.columns]
    only_live, gone = _rows_only_in(cursor, live, rebuilt, columns, key)
    only_rebuilt, added = _rows_only_in(cursor, rebuilt, live, columns, key)
    differences = [
        Difference(key=dict(zip(key, row, strict=True)), what="not the same" if row in only_rebuilt else "only live")
        for row in only_live
    ] + [Difference(key=dict(zip(key, row, strict=True)), what="only rebuilt") for row in only_rebuilt if row not in only_live]
    return TableResult(
        table=str(table.name), live=_count(cursor, str(table.schema), table), rebuilt=_count(cursor, scratch, table),
        differing=gone + added, differences=differences,
    )  # fmt: skip


def _rows_only_in(cursor: Any, one: str, other: str, columns: str, key: Sequence[str]) -> tuple[list[tuple[str, ...]], int]:
    """The keys of the first rows that are in one table only, and how many there are. Ordered, so that both sides agree."""
    keys = ", ".join(f'"{name}"' for name in key)
    texts = ", ".join(f'"{name}"::text' for name in key)
    cursor.execute(
        f"WITH alone AS MATERIALIZED (SELECT {columns} FROM {one} EXCEPT ALL SELECT {columns} FROM {other})"
        f" SELECT (SELECT count(*) FROM alone), {texts} FROM alone"
        f" ORDER BY {keys} LIMIT {MOST_DIFFERENCES}"
    )
    rows = cursor.fetchall()
    return [tuple(row[1:]) for row in rows], rows[0][0] if rows else 0


def _count(cursor: Any, schema: str, table: sa.Table) -> int:
    cursor.execute(f'SELECT count(*) FROM "{schema}"."{table.name}"')
    return int(cursor.fetchone()[0])
