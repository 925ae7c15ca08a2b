"""An actor of one account gets nothing of another's, by whatever method, and is told the same as of what does not exist.
SQL that forgets the account sees no row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import psycopg2
import pytest
from psycopg2 import sql

from shared.errors import LetheError, to_wire
from shared.ids import new_id
from shared.rpc import describe
from shared.service_classes import service_class
from shared.settings import ACCOUNT_SERVICES, SERVICES, Settings
from tests.support.databases import superuser
from tests.support.desk import Callers, Desk
from tests.support.every_call import ADDING, CALLS, How, Side, make_side, nobody
from tests.support.stores import closing, rows_of

METHODS = [(service, method) for service, of_service in CALLS.items() for method in of_service]
NOT_FOUND = {"code": "not_found", "message": "There is no such thing in this account.", "details": {}}
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WORD = re.compile(r"\bw[0-9a-f]{10}\b")
_CREDENTIAL = re.compile(r"lethe_[0-9A-Za-z_-]{30,}|secret=[A-Z2-7]{32}|iVBORw0KGgo[0-9A-Za-z+/=]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z?")

REFUSED_BY_POLICY = "42501"
WITHOUT_ROW_SECURITY = {
    "lethe.log", "lethe.relay_lease", "lethe.relay_cursor",  # the relay's: numbers and hashes of all accounts
    # what timers look after: ids and times only
    "lethe.open_request", "lethe.open_hold", "lethe.open_period", "lethe.open_staff_grant",
    "lethe.account_name", "lethe.ended_account",  # over all accounts by their purpose: ids, times and keyed tokens only
    "lethe.credential_route", "lethe.login_route", "lethe.login_delay",  # and reached by functions, one row at a time
    "lethe.alembic_version", "public.alembic_version",
}  # fmt: skip
"""Tables that belong to no account. Any other must keep its rows to the account."""


@dataclass(frozen=True)
class Two:
    """Two accounts, and what became of every attempt of the one at what the other has."""

    mine: Desk
    theirs: Desk
    side: Side
    outcomes: dict[tuple[str, str], dict[str, Any]]
    rows_before: dict[str, list[str]]
    rows_after: dict[str, list[str]]


@pytest.fixture(scope="module")
def two(callers: Callers) -> Two:
    """All attempts are made here, before the other account is asked for its own by those who may."""
    mine, _ = make_side(callers)
    theirs, side = make_side(callers)
    before = rows_of(theirs.callers.settings, theirs.account)
    in_order = sorted(METHODS, key=lambda one: one[1] in ADDING)
    outcomes = {one: attempts(mine, theirs, side, *one) for one in in_order}
    return Two(mine, theirs, side, outcomes, before, rows_of(theirs.callers.settings, theirs.account))


def attempts(mine: Desk, theirs: Desk, side: Side, service: str, method: str) -> dict[str, Any]:
    """What an actor of one account gets: by naming the other account; by asking the own account for what the other has; and
    each time what is told of what does not exist."""
    how, none = CALLS[service][method], nobody()

    def call(argument: Any, account: str, token: str) -> Any:
        return outcome(lambda: mine.call(service, method, argument, account=account, token=token))

    made = {
        "their account": call(how.argument(side), theirs.account, mine.token),
        "no account": call(how.argument(none), new_id(), mine.token),
        "their thing": call(how.argument(side), mine.account, mine.token),
        "no thing": call(how.argument(none), mine.account, mine.token),
    }
    if how.caller != "user" and how.about == "a thing":
        token = token_for(mine, how, none)
        made["their thing, by a " + how.caller] = call(how.argument(side), mine.account, token)
        made["no thing, by a " + how.caller] = call(how.argument(none), mine.account, token)
    return made


def test_every_method_of_every_service_has_a_row() -> None:
    """A method that nobody has thought about here fails this test."""
    declared = {(service, one.name) for service in SERVICES for one in describe(service_class(service))}
    assert declared == set(METHODS)


@pytest.mark.parametrize(("service", "method"), METHODS)
def test_another_account_is_refused_as_one_that_does_not_exist(two: Two, service: str, method: str) -> None:
    """Whoever names another account is told, to the letter, what is told of an account that was never opened."""
    made = two.outcomes[service, method]
    assert made["their account"] == made["no account"] == NOT_FOUND


@pytest.mark.parametrize(("service", "method"), METHODS)
def test_what_another_account_has_is_what_nobody_has(two: Two, service: str, method: str) -> None:
    """By the other's ids, addresses, words and mails one gets the same as by those that nobody has, and nothing that is the
    other's: whether a user asks or a service, or the operator, for the own account."""
    made = two.outcomes[service, method]
    for way in ("", *(way.removeprefix("their thing") for way in made if way.startswith("their thing, "))):
        theirs, nothing = made[f"their thing{way}"], made[f"no thing{way}"]
        assert plain(theirs) == plain(nothing)
        assert not ids_in(theirs) & ids_of(two.side), "an id of the other account"


def test_the_attempts_changed_nothing_of_the_other_account(two: Two) -> None:
    """Not a row of any service, although many of the methods change something."""
    assert two.rows_before == two.rows_after
    assert sum(map(len, two.rows_before.values())) > 100


@pytest.mark.parametrize(("service", "method"), METHODS)
def test_it_is_answered_to_its_own(two: Two, service: str, method: str) -> None:
    """The same call, by who may make it in that account, succeeds: so it was not refused for another reason."""
    how = CALLS[service][method]
    account = {"the cell": None, "a new account": new_id()}.get(how.about, two.theirs.account)
    token = how.as_whom(two.side) if how.as_whom else token_for(two.theirs, how, two.side)
    answer = two.theirs.call(service, method, how.argument(two.side), account=account, token=token)
    assert how.is_answered(two.side, answer), answer


# ------------------------------------------------------------------------------------------------------------------------ SQL


@pytest.mark.parametrize("service", SERVICES)
def test_every_table_keeps_its_rows_to_the_account(two: Two, service: str) -> None:
    """Row-level security is on, and holds the owner too, in each table but those that belong to no account; and the service's
    and the eraser's policies are the account and nothing else."""
    with closing(superuser(two.mine.callers.settings, service)) as connection:
        cursor = connection.cursor()
        tables = all_tables(cursor)
        secured = {name for name, is_on, is_forced in tables if is_on and is_forced}
        assert {name for name, _, _ in tables} - secured <= WITHOUT_ROW_SECURITY
        cursor.execute(
            "SELECT DISTINCT qual, with_check FROM pg_policies WHERE EXISTS"
            " (SELECT 1 FROM unnest(roles) AS role WHERE role LIKE '%%\\_service' OR role LIKE '%%\\_eraser')"
        )
        own = "(account_id = lethe.current_account())"
        of_gone = f"({own} AND lethe.is_gone(account_id))"  # the eraser's, at an account's end
        assert set(cursor.fetchall()) == {(own, None), (of_gone, None)}


@pytest.mark.parametrize("service", ACCOUNT_SERVICES)
@pytest.mark.parametrize("role", ["service", "eraser"])
def test_sql_that_forgets_the_account_sees_no_row(two: Two, service: str, role: str) -> None:
    """On a fresh connection, and on one that was pooled: after a transaction in which the account was set it reads '' and not
    NULL. While it is set there are rows, and all are of that account."""
    with role_cursor(two.mine.callers.settings, service, role) as cursor:
        tables = [name for name, is_on, _ in all_tables(cursor) if is_on and may_read(cursor, name)]
        assert tables
        assert not any(counts(cursor, tables))
        cursor.connection.commit()
        for account in (two.mine.account, two.theirs.account):
            cursor.execute("SELECT set_config('lethe.account', %s, true)", (account,))
            assert any(counts(cursor, tables))
            for name in tables:
                cursor.execute(sql.SQL("SELECT DISTINCT account_id::text FROM {}").format(sql.Identifier(*name.split("."))))
                assert {one for (one,) in cursor.fetchall()} <= {account}, name
            cursor.connection.commit()
            cursor.execute("SELECT current_setting('lethe.account', true)")
            assert cursor.fetchone() == ("",)
            assert not any(counts(cursor, tables))
            cursor.connection.rollback()


@pytest.mark.parametrize("service", SERVICES)
def test_no_row_is_written_for_another_account(two: Two, service: str) -> None:
    """A service whose transaction is one account's can't insert a row of another, in any table that it may insert into."""
    with role_cursor(two.mine.callers.settings, service, "service") as cursor:
        tables = [name for name, is_on, _ in all_tables(cursor) if is_on and may_insert(cursor, name)]
        assert tables
        for name in tables:
            assert code_of_insert(cursor, name, two.mine.account, two.theirs.account) == REFUSED_BY_POLICY, name
            assert code_of_insert(cursor, name, two.mine.account, two.mine.account) != REFUSED_BY_POLICY, name


def code_of_insert(cursor: Any, name: str, account: str, of_row: str) -> str | None:
    """What PostgreSQL says of a row of nothing but an account, in a transaction of an account. The policy is asked before the
    columns that are missing are missed."""
    table = sql.Identifier(*name.split("."))
    cursor.execute("SELECT set_config('lethe.account', %s, true)", (account,))
    try:
        cursor.execute(sql.SQL("INSERT INTO {} (account_id) VALUES (%s)").format(table), (of_row,))
    except psycopg2.Error as refused:
        return cast(str, refused.pgcode)
    finally:
        cursor.connection.rollback()
    return None


@contextmanager
def role_cursor(settings: Settings, service: str, role: str) -> Iterator[Any]:
    """A cursor as one of a database's roles."""
    with closing(psycopg2.connect(settings.database_url(service, role))) as connection:
        yield connection.cursor()


def all_tables(cursor: Any) -> list[tuple[str, bool, bool]]:
    """(schema.table, row-level security, also for the owner) of every table that is not PostgreSQL's own."""
    cursor.execute(
        "SELECT n.nspname || '.' || c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f', 'm')"
        " AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1"
    )
    return cast(list[tuple[str, bool, bool]], cursor.fetchall())


def may_read(cursor: Any, name: str) -> bool:
    """Whether the role may read at least one column."""
    cursor.execute("SELECT has_schema_privilege(split_part(%s, '.', 1), 'USAGE')", (name,))
    if not cursor.fetchone()[0]:
        return False
    cursor.execute("SELECT has_any_column_privilege(%s, 'SELECT')", (name,))
    return bool(cursor.fetchone()[0])


def may_insert(cursor: Any, name: str) -> bool:
    """Whether the role may insert rows."""
    cursor.execute("SELECT has_table_privilege(%s, 'INSERT')", (name,))
    return bool(cursor.fetchone()[0])


def counts(cursor: Any, tables: list[str]) -> list[int]:
    """How many rows of each table are seen."""
    found = []
    for name in tables:
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*name.split("."))))
        found.append(int(cursor.fetchone()[0]))
    return found


# ------------------------------------------------------------------------------------------------------------------- outcomes


def token_for(desk: Desk, how: How, side: Side) -> str:
    """The token of who may call a method, in an account; a customer is the person of a side."""
    if how.caller == "customer":
        return desk.callers.customer(desk.account, how.person(side))
    if how.caller in ("user", "operator"):
        return desk.token if how.caller == "user" else desk.callers.operator
    return desk.callers.service("tickets" if how.caller == "service" else how.caller)


def outcome(call: Callable[[], Any]) -> Any:
    """An answer, or an error as it travels."""
    try:
        return call()
    except LetheError as error:
        return to_wire(error)


def plain(value: Any) -> str:
    """Something with the same text in place of each id, time, made-up word and random credential: two that differ in these
    alone are alike."""
    text = _CREDENTIAL.sub("<credential>", msgspec.json.encode(value, enc_hook=str).decode())
    return _WORD.sub("<word>", _TIME.sub("<time>", _ID.sub("<id>", text)))


def ids_in(value: Any) -> set[str]:
    """The ids in an answer."""
    return {match[0] for match in _ID.finditer(msgspec.json.encode(value, enc_hook=str).decode())}


def ids_of(side: Side) -> set[str]:
    """The ids of what an account has."""
    return {one for one in vars(side).values() if isinstance(one, str) and _ID.fullmatch(one)}
