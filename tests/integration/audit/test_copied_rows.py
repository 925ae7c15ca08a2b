"""Rows that are copied in binary form are those that the same values make when they are inserted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extras import execute_values

from audit.copied_rows import TYPES, Unfit, copied

ids = st.uuids().map(str)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
times = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)).flatmap(
    lambda time: st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]).map(lambda zone: time.replace(tzinfo=zone))
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "UUID": ids,
    "TEXT": texts,
    "BYTEA": st.binary(max_size=8),
    "INTEGER": st.integers(-(2**31), 2**31 - 1),
    "BIGINT": st.integers(-(2**63), 2**63 - 1),
    "BOOLEAN": st.booleans(),
    "TIMESTAMP WITH TIME ZONE": times,
    "UUID[]": st.lists(ids, max_size=3),
    "JSONB": st.sampled_from(["[]", "{}", '{"a": [1, "ä\\"\\\\"]}', "null", '"\\t"']),
}
rows_of_all = st.lists(st.tuples(*(st.none() | VALUES[type_] for type_ in TYPES)), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def cursor(superuser_url: str) -> Iterator[Any]:
    """A connection on which two tables have a column of each type, and go with it."""
    connection = psycopg2.connect(superuser_url)
    connection.autocommit = True
    with connection.cursor() as made:
        columns = ", ".join(f"c{number} {type_}" for number, type_ in enumerate(TYPES))
        made.execute(f"CREATE TEMP TABLE inserted ({columns}); CREATE TEMP TABLE copied ({columns})")
        yield made
    connection.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_of_all)
def test_copied_rows_are_those_that_are_inserted(cursor: Any, rows: list[tuple[Any, ...]]) -> None:
    """Each type at its limits, and NULL in each column, in rows that share values and in such that don't."""
    cursor.execute("TRUNCATE inserted, copied")
    template = "(" + ", ".join(f"CAST(%s AS {type_})" for type_ in TYPES) + ")"
    execute_values(cursor, "INSERT INTO inserted VALUES %s", rows + rows, template)
    cursor.copy_expert("COPY copied FROM STDIN (FORMAT binary)", BytesIO(copied(list(TYPES), rows + rows)))
    for one, other in (("inserted", "copied"), ("copied", "inserted")):
        cursor.execute(f"SELECT * FROM {one} EXCEPT ALL SELECT * FROM {other}")
        assert cursor.fetchall() == []


ID = "0e729602-9984-48a1-91f3-4b3263c53070"


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("UUID", [ID[:-1]]),
        ("UUID", [ID + "0"]),
        ("UUID", [ID[:-1] + "g"]),
        ("UUID", [ID[:-1] + " "]),
        ("UUID", [ID[:-2] + "é"]),
        ("UUID", [ID[:-2] + "  "]),
        ("UUID", [ID.replace("-", "") + "----"]),
        ("UUID", [ID, ID[1:] + "-"]),
        ("UUID", [ID[:-2], ID.replace("53070", "5307001")]),  # together as long as two
        ("UUID", [ID[:-2], "00" + ID]),
        ("UUID", [bytes(16)]),
        ("UUID[]", [[ID, "x"]]),
        ("UUID[]", [ID]),
        ("TEXT", [5]),
        ("TEXT", [b"a"]),
        ("TEXT", ["\ud800"]),
        ("BYTEA", ["a"]),
        ("BYTEA", [5]),
        ("INTEGER", [2**31]),
        ("INTEGER", ["5"]),
        ("INTEGER", [5.0]),
        ("BIGINT", [2**63]),
        ("BOOLEAN", ["t"]),
        ("TIMESTAMP WITH TIME ZONE", [datetime(2026, 1, 1)]),
        ("TIMESTAMP WITH TIME ZONE", ["2026-01-01"]),
        ("JSONB", [{}]),
    ],
)
def test_value_that_is_not_of_its_columns_type_is_refused(type_: str, values: list[Any]) -> None:
    """Also where another row of the column has a good one, and where both together would have the right length."""
    with pytest.raises(Unfit):
        copied([type_], [[value] for value in values])
