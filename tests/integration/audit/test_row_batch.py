"""Rows that are gathered and written together are those that the same statements make one by one."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from audit import row_batch
from audit.copied_rows import Unfit
from audit.row_batch import RowBatch
from shared.work import Statement

IDS = [f"0e729602-9984-48a1-91f3-4b3263c5307{number}" for number in range(4)]
_metadata = sa.MetaData()
thing = sa.Table(
    "thing",
    _metadata,
    sa.Column("thing_id", UUID(as_uuid=False), primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("count", sa.Integer),
    sa.Column("content", BYTEA),
    sa.Column("kind", sa.Text, server_default="plain"),
    sa.Index("thing_by_kind", "kind"),
)
owner = sa.Table("owner", _metadata, sa.Column("thing_id", UUID(as_uuid=False), primary_key=True))

ids = st.sampled_from(IDS)
texts = st.none() | st.text(max_size=4) | st.sampled_from(["\\N", "a\tb\\\n", '{"a":"\\\\"}', "'; %s", "\r"])
statements = st.one_of(
    st.builds(lambda one, text, sealed: ("INSERT", one, (one, text, sealed)), ids, texts, st.none() | st.binary(max_size=4)),
    st.builds(
        lambda one, text: ("INSERT INTO thing (thing_id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING", one, (one, text)),
        ids, texts,
    ),
    st.builds(lambda one: ("INSERT INTO owner (thing_id) VALUES (%s) ON CONFLICT DO NOTHING", one, (one,)), ids),
    st.builds(lambda one: ("UPDATE thing SET count = count + 1 WHERE thing_id = %s", one, (one,)), ids),
    st.builds(lambda one: ("UPDATE thing SET count = NULL WHERE thing_id = %s", one, (one,)), ids),
    st.builds(
        lambda one, text, number: ("UPDATE thing SET name = %s, count = %s WHERE thing_id = %s", one, (text, number, one)),
        ids, texts, st.integers(-5, 5),
    ),
    st.builds(lambda one: ("UPDATE thing SET kind = 'odd', content = NULL WHERE thing_id = %s", one, (one,)), ids),
    st.builds(lambda one: ("UPDATE thing SET count = 7 WHERE kind = 'odd' AND thing_id <> %s", one, (one,)), ids),
    st.builds(lambda one: ("DELETE FROM thing WHERE thing_id = %s", one, (one,)), ids),
    st.builds(
        lambda one: ("DELETE FROM thing WHERE thing_id = %s AND thing_id IN (SELECT thing_id FROM owner)", one, (one,)), ids
    ),
)  # fmt: skip
ADDED: tuple[str, str, Any] = ("INSERT", IDS[0], (IDS[0], "a", b"a"))
REMOVED: tuple[str, str, Any] = ("DELETE FROM thing WHERE thing_id = %s", IDS[0], (IDS[0],))
INSERT = "INSERT INTO thing (thing_id, name, content, count) VALUES (%s, %s, %s, 0)"


@pytest.fixture(scope="module")
def cursor(superuser_url: str) -> Iterator[Any]:
    """A connection on which two schemas have the same tables; nothing is committed."""
    connection = psycopg2.connect(superuser_url)
    with connection.cursor() as made:
        for schema in ("single", "batched"):
            made.execute(f"CREATE SCHEMA {schema}; SET search_path = {schema}")
            made.execute("CREATE TABLE thing (thing_id uuid PRIMARY KEY, name text, count int, content bytea, kind text)")
            made.execute("ALTER TABLE thing ALTER kind SET DEFAULT 'plain'; CREATE TABLE owner (thing_id uuid PRIMARY KEY)")
        yield made
    connection.close()


def rows_in(cursor: Any, schema: str) -> list[tuple[Any, ...]]:
    cursor.execute(f"SELECT thing_id::text, name, count, content, kind FROM {schema}.thing ORDER BY 1")
    found = [(*row[:3], None if row[3] is None else bytes(row[3]), row[4]) for row in cursor.fetchall()]
    cursor.execute(f"SELECT thing_id::text FROM {schema}.owner ORDER BY 1")
    return [*found, *cursor.fetchall()]


@example(story=[ADDED, REMOVED, ADDED, REMOVED], room=1_000)  # what waits must not overtake a statement that waits
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(statements, max_size=25), room=st.sampled_from([1, 3, 1_000]))
def test_gathered_rows_are_those_of_the_statements(cursor: Any, story: list[tuple[str, str, Any]], room: int) -> None:
    """Whatever is inserted, changed, added up and removed in whatever order, however often the batch is written."""
    cursor.execute("TRUNCATE single.thing, single.owner, batched.thing, batched.owner")
    batch = RowBatch(cursor, [thing, owner], lambda _: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_batch, "MOST_ROWS", room)
        for sql, one, values in story:
            cursor.execute("SET search_path = single")
            if sql == "INSERT":
                sql = INSERT
                cursor.execute("SELECT 1 FROM thing WHERE thing_id = %s", (one,))
                if cursor.fetchone():
                    continue
            values = tuple(value.replace("\0", "") if isinstance(value, str) else value for value in values)
            cursor.execute(sql, tuple(sha256(one).digest() if isinstance(one, bytes) else one for one in values))
            cursor.execute("SET search_path = batched")
            batch.add(Statement(sql, values))
        cursor.execute("SET search_path = batched")
        batch.write()
    assert rows_in(cursor, "single") == rows_in(cursor, "batched")


def test_row_that_is_inserted_twice_is_refused(cursor: Any) -> None:
    """In one batch here, in two by the server: the events do not follow from one another."""
    cursor.execute("SET search_path = batched; TRUNCATE thing; SAVEPOINT before")
    batch = RowBatch(cursor, [thing, owner], lambda _: None)
    batch.add(Statement(INSERT, (IDS[0], None, None)))
    with pytest.raises(Unfit):
        batch.add(Statement(INSERT, (IDS[0], None, None)))
    batch.write()
    batch.add(Statement(INSERT, (IDS[0], None, None)))
    with pytest.raises(psycopg2.IntegrityError):
        batch.write()
    cursor.execute("ROLLBACK TO before")
    batch = RowBatch(cursor, [thing, owner], lambda _: None)
    batch.add(Statement("INSERT INTO thing (thing_id) VALUES (%s) ON CONFLICT DO NOTHING", (IDS[0],)))
    batch.add(Statement(INSERT, (IDS[0], None, None)))
    with pytest.raises(psycopg2.IntegrityError):
        batch.write()
    cursor.execute("ROLLBACK TO before")
