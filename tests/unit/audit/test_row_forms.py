"""Which statements of projections are understood as one row, and that no other is taken for one."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from audit.replay import tables_of
from audit.row_forms import Given, InsertForm, UpdateForm, form_of, table_form

TABLES = {form.name: form for table in tables_of("tickets") if (form := table_form(table)) is not None}
USERS = {form.name: form for table in tables_of("identity") if (form := table_form(table)) is not None}


def test_an_insert_gives_all_columns_of_its_row() -> None:
    """What is sent stands at its column, what is written out as it is, what is left out as the table's default."""
    sql = "INSERT INTO app_user (account_id, user_id, person_id, role, state, added_at, event_id)"
    form = form_of(f"{sql} VALUES (%s, %s, %s, %s, 'active', %s, %s)", USERS)
    assert isinstance(form, InsertForm)
    assert not form.ignores_conflicts
    assert form.values == (
        Given(0), Given(1), Given(2), Given(3), "active", Given(4), None, None, Given(5), "identity.UserAdded", None
    )  # fmt: skip


def test_an_update_by_the_whole_key_gives_its_changes() -> None:
    """Values that are set and numbers that are added, and where the key stands among what is sent."""
    sql = "UPDATE ticket SET messages = messages + 1, changed_at = %s WHERE ticket_id = %s AND account_id = %s"
    form = form_of(sql, TABLES)
    columns = TABLES["ticket"].columns
    assert isinstance(form, UpdateForm)
    assert form.given == ((columns.index("changed_at"), 0),)
    assert form.adds == ((columns.index("messages"), 1),)
    assert form.key == (2, 1)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ticket SET messages = messages + 1 WHERE account_id = %s",
        "UPDATE ticket SET messages = messages + 1 WHERE account_id = %s AND ticket_id = ANY (%s::uuid[])",
        "UPDATE ticket SET subject = NULL WHERE account_id = %s AND ticket_id = %s AND messages > 1",
        "UPDATE ticket SET subject = NULL WHERE account_id = %s AND ticket_id = %s AND channel = 'e-mail'",
        "UPDATE ticket SET ticket_id = %s WHERE account_id = %s AND ticket_id = %s",
        "UPDATE ticket SET channel = upper(%s) WHERE account_id = %s AND ticket_id = %s",
        "UPDATE ticket SET changed_at = '2026-01-01 12:00Z' WHERE account_id = %s AND ticket_id = %s",
        "INSERT INTO ticket (account_id, ticket_id, messages) VALUES (%s, %s, '0')",
        "UPDATE ticket SET messages = place + 1 WHERE account_id = %s AND ticket_id = %s",
        "UPDATE search_token SET message_id = %s WHERE account_id = %s AND token = %s",
        "INSERT INTO ticket (account_id, ticket_id) SELECT %s, %s",
        "INSERT INTO ticket (account_id, ticket_id) VALUES (%s, gen_random_uuid())",
        "INSERT INTO ticket (account_id, ticket_id) VALUES (%s, %s) ON CONFLICT (account_id) DO UPDATE SET messages = 0",
        "INSERT INTO ticket (account_id, ticket_id) VALUES (%s, %s) RETURNING 1",
        "DELETE FROM ticket WHERE account_id = %s AND ticket_id = %s",
    ],
)
def test_what_is_more_than_one_row_has_no_form(sql: str) -> None:
    """Such a statement is run as it is."""
    assert form_of(sql, TABLES) is None


def test_rows_that_can_not_be_told_apart_or_have_another_default_have_no_form() -> None:
    """A table without a key, and one whose default is not of its column's type but for a cast of the server's."""
    keyless = sa.Table("keyless", sa.MetaData(), sa.Column("name", sa.Text))
    counted = sa.Column("count", sa.Integer, server_default="0")
    cast = sa.Table("cast_default", sa.MetaData(), sa.Column("name", sa.Text, primary_key=True), counted)
    form = table_form(keyless)
    assert form is not None and form_of("INSERT INTO keyless (name) VALUES (%s)", {"keyless": form}) is None
    assert table_form(cast) is None
