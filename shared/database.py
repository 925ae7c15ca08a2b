"""The transactions of one service: a pool of connections, and what is sent over them in as few round trips as can be.

Place in the way of an event: `work.py` says what to read and to write; here it goes to the server. A transaction is begun, and
bound to its account, by the very message that carries its first statement; writes go in one batch, and where the work may be
done twice, the commit with them. Statements are prepared on
each connection, with plans that fit any account, the largest and the newest: planning under row-level security costs more
than running (`migrations` says what the planner believes of accounts).
It knows no event and no key, and its errors never hold values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from typing import Any, NamedTuple

import msgspec
import psycopg2

from shared.connection_pool import Connection, ConnectionPool
from shared.errors import AccountGone, LetheError, PersonErased, Unavailable, UnderHold, VersionConflict

LOCK_TIMEOUT_MILLISECONDS = 3_000
STATEMENT_TIMEOUT_MILLISECONDS = 60_000
PREPARED_AT_MOST = 500
"""Texts of statements in the whole program that are prepared; those beyond are sent as they are."""
CALLS_IN_A_STATEMENT = 4
"""More would make more texts than are prepared: each sequence of functions is one."""


class Statement(msgspec.Struct, frozen=True, gc=False):
    """One SQL statement with psycopg2 placeholders: what a projection gives back.

    It is prepared, so the server must see the type of each placeholder from where it stands; an array says it: `%s::uuid[]`.
    A struct, since a replay makes some for each event, and a named tuple takes twice the time.
    """

    sql: str
    values: tuple[Any, ...] = ()


class Call(NamedTuple):
    """A function of the server's whose answer is not looked at, as in `keys.mint(%s, %s)`.

    Calls that stand next to each other become one statement: starting one costs the server more than most of them do.
    """

    sql: str
    values: tuple[Any, ...]


class KeyChanged(LetheError):
    """A key that this work sealed under was cut, minted or rotated by another: load and decide again."""


class AlreadyHandled(LetheError):
    """The reaction has handled this event before, or another replica does so at this moment: there is nothing to do."""


class ConnectionLost(Unavailable):
    """The database went away before a commit was sent, or in work that may be done twice: trying again is safe."""


class Database:
    """One service's database, as one role. `check` may refuse a new connection."""

    def __init__(self, url: str, pool_size: int, check: Callable[[Connection], None] | None = None) -> None:
        options = (
            f"-c search_path=lethe -c lock_timeout={LOCK_TIMEOUT_MILLISECONDS}"
            f" -c statement_timeout={STATEMENT_TIMEOUT_MILLISECONDS} -c idle_in_transaction_session_timeout=60000"
            # one plan for all accounts (see above), in prepared statements and in functions
            " -c plan_cache_mode=force_generic_plan"
            # a plan made while a table was small is kept when it has grown: it has to go by an index from the beginning
            " -c enable_seqscan=off"
        )
        self._pool = ConnectionPool(url, pool_size, options, check)

    @contextmanager
    def transaction(self, account_id: str) -> Iterator[Transaction]:
        """A transaction in which row-level security shows this account's rows; rolled back unless the block commits it.

        What the server refuses is raised as one of our errors: `VersionConflict`, `PersonErased`, `KeyChanged`,
        `AlreadyHandled`, or `ConnectionLost` where it went away and trying again is safe, `Unavailable` where it may not be.
        """
        connection = self._pool.take()
        transaction = Transaction(connection, account_id)
        try:
            yield transaction
        except psycopg2.Error as error:
            raise _translated(error, transaction.committing) from error
        finally:
            transaction.end()
            self._pool.give_back(connection)

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        self._pool.close()


class Transaction:
    """Sends what it is given; begins with the first of it. Made by `Database.transaction`."""

    def __init__(self, connection: Connection, account_id: str) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._account_id = account_id
        self._is_open = False
        self.committing = False
        """True once the commit was sent: from then on a lost connection leaves open whether the work was done."""

    def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a statement, now."""
        self._execute([Statement(sql, tuple(values))])
        return list(self._cursor.fetchall())

    def fetch_alone(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Rows of a query that is the whole transaction: one message. Nothing may have been sent before it."""
        self._execute([Statement(sql, tuple(values))], alone=True)
        return list(self._cursor.fetchall())

    def send(self, statements: Sequence[Statement | Call]) -> None:
        """Sends statements as one batch, in order, and waits for it. What they return is not looked at."""
        if statements:
            self._execute(statements)

    def send_and_commit(self, statements: Sequence[Statement | Call]) -> None:
        """Sends statements and the commit in one message: a round trip less, for work that may be done twice.

        If the connection is lost (`ConnectionLost`), nobody knows whether it was committed.
        """
        if self._is_open:
            self._execute([*statements, Statement("COMMIT")])
            self._is_open = False
        elif statements:
            self._execute(statements, alone=True)

    def commit(self) -> None:
        """Commits, if anything was sent."""
        if self._is_open:
            self.committing = True
            self._cursor.execute("COMMIT")
            self._is_open = False

    def end(self) -> None:
        """Rolls back what was not committed. Never raises: a connection that can't is closed."""
        if self._connection.closed:
            return
        try:
            if self._is_open:
                self._is_open = False
                self._cursor.execute("ROLLBACK")
            if self._connection.is_unsure:
                self._cursor.execute("SELECT name FROM pg_prepared_statements")
                self._connection.prepared = {name for (name,) in self._cursor.fetchall()}
                self._connection.is_unsure = False
        except psycopg2.Error:
            self._connection.close()

    def _execute(self, statements: Sequence[Statement | Call], alone: bool = False) -> None:
        """Sends one message: the transaction's beginning, what has to be prepared, and the statements.

        `alone`: the message is the whole transaction. The server makes one of it by itself, and commits at its end."""
        prepared = self._connection.prepared
        known = len(prepared)
        try:
            parts: list[str] = []
            values: list[Any] = []
            if not self._is_open:
                self._is_open = not alone
                parts.append("SET LOCAL lethe.account=%s" if alone else "BEGIN;SET LOCAL lethe.account=%s")
                values.append(self._account_id)
            _render(_grouped(statements), prepared, parts, values)
            self._cursor.execute(";".join(parts), values)
        except BaseException:
            if len(prepared) > known:
                self._connection.is_unsure = True  # a rollback keeps what is prepared, but how far did it come?
            raise


def _grouped(statements: Sequence[Statement | Call]) -> Iterator[Statement]:
    """Statements only, with calls that stand next to each other as one."""
    calls: list[Call] = []
    for one in statements:
        if isinstance(one, Call):
            calls.append(one)
            if len(calls) < CALLS_IN_A_STATEMENT:
                continue
        if calls:
            yield Statement(f"SELECT {', '.join([call.sql for call in calls])}", tuple(chain(*[call.values for call in calls])))
            calls = []
        if isinstance(one, Statement):
            yield one
    if calls:
        yield Statement(f"SELECT {', '.join([call.sql for call in calls])}", tuple(chain(*[call.values for call in calls])))


def _render(statements: Iterable[Statement], prepared: set[str], parts: list[str], values: list[Any]) -> None:
    """Adds the parts of a message with their values. Notes what it prepares."""
    for statement in statements:
        sql, given = statement.sql, statement.values
        form = _form_of(sql) if given else None
        if form is None:
            parts.append(sql if given else sql.replace("%", "%%"))
        else:
            if form.name not in prepared:
                prepared.add(form.name)
                parts.append(form.prepare)
            parts.append(form.execute)
        values += given


class _Form(NamedTuple):
    """A statement as it is prepared on a connection, and as it is executed there."""

    name: str
    prepare: str
    execute: str
    """Both with placeholders of psycopg2: a per cent sign stands doubled."""


_PLACEHOLDER = re.compile(r"%(?:%|s((?:::\w+(?:\[\])?)?))")
_forms: dict[str, _Form] = {}


def _form_of(sql: str) -> _Form | None:
    """How a statement is prepared; None where there are too many already."""
    form = _forms.get(sql)
    if form is None and len(_forms) < PREPARED_AT_MOST:
        form = _forms[sql] = _prepared_form(f"lethe_{len(_forms)}", sql)
    return form


def _prepared_form(name: str, sql: str) -> _Form:
    """`… id = ANY (%s::uuid[])` becomes `PREPARE … id = ANY ($1::uuid[])` and `EXECUTE … (%s::uuid[])`. The cast stands in
    both, since psycopg2 writes an array in a way that does not take its type from where it stands."""
    numbers = count(1)
    casts: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        if found[1] is None:
            return "%%"
        casts.append(found[1])
        return f"${next(numbers)}{found[1]}"

    body = _PLACEHOLDER.sub(numbered, sql)
    return _Form(name, f"PREPARE {name} AS {body}", f"EXECUTE {name}({','.join(f'%s{cast}' for cast in casts)})")


def _is_lost(error: psycopg2.Error) -> bool:
    code = error.pgcode or ""
    return isinstance(error, psycopg2.InterfaceError) or code.startswith(("08", "57P")) or (
        isinstance(error, psycopg2.OperationalError) and not code
    )


def _translated(error: psycopg2.Error, committing: bool) -> LetheError:
    """What the database refused, as one of our errors. Its own text may hold values, so it goes no further."""
    code = error.pgcode or ""
    constraint = getattr(error.diag, "constraint_name", None) or ""
    if code == "LE001" or (code == "23505" and constraint == "event_pkey"):
        return VersionConflict()
    if code == "LE002":
        return PersonErased()
    if code == "LE012":
        return AccountGone()
    if code == "LE011":
        return UnderHold()
    if code == "23505" and constraint == "inbox_pkey":
        return AlreadyHandled()
    if code in ("LE003", "40P01", "40001", "55P03", "23505", "23503"):
        return KeyChanged("another writer was first")
    if _is_lost(error):
        return Unavailable("the database went away") if committing else ConnectionLost("the database went away")
    return LetheError("the database refused a statement", sqlstate=code)
