"""What is left of credentials: nothing readable while they are good, nothing at all when their user is erased."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest
from psycopg2 import errors, sql

from services.identity import session as sessions
from services.identity.credentials import TABLES, count_of_persons, open_for_row
from services.identity.holdings import HOLDINGS
from services.identity.password_handlers import stored_password
from services.identity.routing import account_of_credential, login_route_token, routes_of_login
from services.identity.second_factor_handlers import begin_second_factor
from services.identity.tables import metadata
from shared.errors import LetheError, Tampered, TooManyTries, Unauthenticated
from shared.ids import new_id
from shared.settings import Settings
from shared.work import SYSTEM_ACTOR
from tests.support.access import HOME, PASSWORD, Access
from tests.support.byte_scan import scan_bytes
from tests.support.copies import byte_columns, flat
from tests.support.databases import superuser


def everything(settings: Settings) -> bytes:
    """All rows of all tables of identity's database, as text and as bytes."""
    connection = superuser(settings, "identity")
    cursor = connection.cursor()
    cursor.execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname IN ('lethe', 'keys')"
    )
    found: list[bytes] = []
    for schema, table in cursor.fetchall():
        cursor.execute(sql.SQL("SELECT one::text FROM {} one").format(sql.Identifier(schema, table)))
        found += [row.encode() for (row,) in cursor.fetchall()]
    for place, column in byte_columns(cursor, of_accounts_only=False):
        cursor.execute(sql.SQL("SELECT {} FROM {}").format(sql.Identifier(column), sql.Identifier(*place.split("."))))
        found += [one for (value,) in cursor.fetchall() for one in flat(value)]
    connection.close()
    return b"\n".join(found)


def test_no_table_holds_a_login_a_source_or_a_credential(access: Access) -> None:
    """Neither in the clear nor in any usual encoding. A control that is planted is found."""
    login = f"olga.{new_id()[:8]}@kettles.example"
    owner = access.owner(login)
    app, codes = access.authenticator_app(owner)
    challenge = access.log_in(owner).challenge
    token = access.api_token(owner, name="Olgas nightly export").token
    with pytest.raises(Unauthenticated):
        access.log_in(owner, "a wrong password 77")
    session = access.log_in(owner, code=codes[0]).session_token
    words = [login, PASSWORD, "a wrong password 77", HOME, str(session), token, str(challenge), app.secret, *codes]
    words += ["Olgas nightly export", "$argon2id$"]
    rows = everything(access.settings)
    assert [] == scan_bytes(rows, words)
    for word in words:
        assert scan_bytes(rows + word.encode() + b"\n", [word]), word


def test_a_hash_is_opened_with_its_users_key_and_in_its_place_only(access: Access) -> None:
    """Not for another user, not as another row, not as another field."""
    owner = access.owner()
    agent = access.user(owner, "agent")
    with access.store.work(access.account) as work:
        row_id, sealed = work.fetch("SELECT row_id, hash FROM password WHERE user_id = %s", (owner.user_id,))[0]
        opened = open_for_row(work, owner.user_id, row_id, "hash", sealed)
        assert opened is not None and opened.startswith(b"$argon2id$")
        for user, row, field in (
            (agent.user_id, row_id, "hash"), (owner.user_id, new_id(), "hash"), (owner.user_id, row_id, "seed"),
        ):  # fmt: skip
            with pytest.raises(Tampered):
                open_for_row(work, user, row, field, sealed)
        assert open_for_row(work, new_id(), row_id, "hash", sealed) is None


def used(access: Access) -> tuple[Any, dict[str, str], list[str]]:
    """An owner's colleague with one of each kind of credential: the user, the tokens by kind, the recovery codes."""
    agent = access.user(access.owner(), "agent")
    session, token = access.session(agent), access.api_token(agent).token
    _, codes = access.authenticator_app(agent)
    session = str(access.log_in(agent, code=codes[0]).session_token)
    challenge = str(access.log_in(agent).challenge)
    return agent, {"session": session, "api_token": token, "challenge": challenge}, codes


def test_after_an_erasure_nothing_of_a_users_credentials_exists(access: Access) -> None:
    """Every kind was there before, was counted, and is gone from its table and from the routes; the probe is clean."""
    agent, tokens, _ = used(access)
    route = login_route_token(access.settings, str(agent.login))
    with access.store.work(access.account) as work:
        before = HOLDINGS.count(work, [agent.person_id])
        assert 1 == len(routes_of_login(work, route))
    assert {
        "user profiles": 1, "logins": 1, "passwords": 1, "sessions": 1, "logins under way": 1, "API tokens": 1,
        "second factors": 1, "recovery codes": 9,
    } == {kind: count for kind, count in before.items() if count}  # fmt: skip
    assert {access.account} == {account_of_credential(access.store, sessions.digest(one)) for one in tokens.values()}
    assert {} == access.erase(agent)
    with access.store.work(access.account) as work:
        assert {0} == set(count_of_persons(work, [agent.person_id]).values())
        assert [] == routes_of_login(work, route)
        for table in TABLES:
            assert [] == work.fetch(f"SELECT 1 FROM {table} WHERE person_id = %s", (agent.person_id,))
    assert {None} == {account_of_credential(access.store, sessions.digest(one)) for one in tokens.values()}


def test_after_an_erasure_no_credential_lets_in(access: Access) -> None:
    """Neither in a replica that has just served it nor in another one."""
    agent, tokens, codes = used(access)
    access.bearer(tokens["session"]), access.bearer(tokens["api_token"])
    access.erase(agent)
    for replica in (access, access.replica()):
        for token in tokens.values():
            with pytest.raises(Unauthenticated):
                replica.bearer(token)
        with pytest.raises((Unauthenticated, TooManyTries)):
            replica.log_in(agent, code=codes[1])
        with pytest.raises((Unauthenticated, TooManyTries)):
            replica.basic(str(agent.login), PASSWORD)


def test_from_the_cut_on_nothing_lets_in(access: Access) -> None:
    """Although the rows are removed a moment later: the person's tombstone is looked at with each request. What was sealed
    does not open any more, whoever kept a copy of the row."""
    agent, tokens, codes = used(access)
    with access.store.work(access.account) as work:
        row_id, sealed = work.fetch("SELECT row_id, hash FROM password WHERE user_id = %s", (agent.user_id,))[0]
        factor_id, seed = work.fetch("SELECT row_id, seed FROM second_factor WHERE user_id = %s", (agent.user_id,))[0]
    with access.store.work(access.account) as work:
        work.change("SELECT keys.cut_person(%s, %s, %s, %s)", (access.account, agent.person_id, new_id(), work.now))
    for token in ("session", "api_token"):
        with pytest.raises(Unauthenticated):
            access.bearer(tokens[token])
    with pytest.raises(Unauthenticated):
        access.log_in(agent, code=codes[1])
    with pytest.raises(LetheError):
        begin_second_factor(access.store, access.account, agent.user_id)
    with access.store.work(access.account) as work:
        assert stored_password(work, agent.user_id) is None
        assert open_for_row(work, agent.user_id, row_id, "hash", sealed) is None
        assert open_for_row(work, agent.user_id, factor_id, "seed", seed) is None


def test_sources_in_events_go_with_the_person(access: Access) -> None:
    """They are sealed in the log under the user's key, and pruned with it."""
    agent, _, _ = used(access)
    with access.store.work(access.account) as work:
        before = [one for one in work.load(f"user/{agent.user_id}") if "source" in one.sealed]
    assert 2 == len(before) and all(one.sealed["source"] is not None for one in before)
    access.erase(agent)
    with access.store.work(access.account) as work:
        after = [one for one in work.load(f"user/{agent.user_id}") if "source" in one.sealed]
    assert len(before) == len(after) and {None} == {one.sealed["source"] for one in after}


def test_a_last_owner_who_is_kept_gets_in_still(access: Access) -> None:
    """Their profile is retained, and so is what they log in with (mission E5)."""
    owner = access.owner()
    session = access.session(owner)
    access.erase(owner)
    assert owner.user_id == access.bearer(session).user_id
    assert "in" == access.log_in(owner).status


def test_a_trace_is_found_by_the_probe(access: Access) -> None:
    """Each kind of row that is put back after the erasure is told: the probe looks for itself."""
    agent = access.user(access.owner(), "agent")
    access.erase(agent)
    connection = superuser(access.settings, "identity")
    cursor = connection.cursor()
    ids = (access.account, agent.user_id, agent.person_id)
    cursor.execute(
        "INSERT INTO lethe.recovery_code (account_id, user_id, person_id, digest) VALUES (%s, %s, %s, 'x')", ids
    )
    cursor.execute(
        "INSERT INTO lethe.login_route (token, account_id, user_id, added_at) VALUES (%s, %s, %s, now())",
        (login_route_token(access.settings, str(agent.login)), access.account, agent.user_id),
    )
    connection.close()
    with access.store.work(access.account) as work:
        traces = HOLDINGS.traces(work, [agent.person_id], [str(agent.login)], [])
    assert {"recovery codes": 1, "routes of logins": 1} == traces


def test_the_service_can_list_no_route(access_settings: Settings) -> None:
    """It reaches the tables over all accounts by their functions only: one digest or token at a time."""
    connection = psycopg2.connect(access_settings.database_url("identity", "service"))
    cursor = connection.cursor()
    tables = [table.name for table in metadata.sorted_tables if table.info.get("by_function")]
    assert ["credential_route", "login_delay", "login_route"] == sorted(tables)
    for table in tables:
        for statement in ("SELECT * FROM lethe.{}", "DELETE FROM lethe.{}"):
            with pytest.raises(errors.InsufficientPrivilege):
                cursor.execute(statement.format(table))
            connection.rollback()
    connection.close()


def test_an_account_removes_its_own_routes_only(access: Access) -> None:
    """The functions that change something do it for the transaction's account; without one, for none."""
    owner = access.owner()
    session = access.session(owner)
    digest, route = sessions.digest(session), login_route_token(access.settings, str(owner.login))
    for account in (new_id(), SYSTEM_ACTOR):
        with access.store.work(account) as work:
            work.change("SELECT lethe.remove_credential_routes(%s::bytea[])", ([digest],))
            work.change("SELECT lethe.remove_login_routes(%s::uuid[])", ([owner.user_id],))
    with access.store.work(access.account) as work:
        assert 1 == len(routes_of_login(work, route))
    assert owner.user_id == access.replica().bearer(session).user_id


@pytest.mark.parametrize("table", [*TABLES, "access_policy"])
def test_an_unset_account_sees_no_row(access: Access, table: str) -> None:
    """Nor does another one (row-level security)."""
    used(access)
    connection = psycopg2.connect(access.settings.database_url("identity", "service"))
    cursor = connection.cursor()
    for account in ("", new_id()):
        cursor.execute("SELECT set_config('lethe.account', %s, true)", (account,))
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("lethe", table)))
        assert (0,) == cursor.fetchone()
    connection.close()
