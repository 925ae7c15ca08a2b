"""A few connections to one database, lent one at a time. Knows nothing of transactions: what is given back must have none open.

SQLAlchemy's pool does the same at ten times the cost of a commit's own work on the client (it follows each connection with
weak references and events), and append is measured against a bare INSERT.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import psycopg2
import psycopg2.extensions

from shared.errors import Unavailable

WAIT_SECONDS = 10.0


class Connection(psycopg2.extensions.connection):
    """A connection in autocommit, which remembers the names of the statements that were prepared on it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.prepared: set[str] = set()
        self.is_unsure = False
        """True after a message failed that was to prepare some: then the server has to be asked."""


class ConnectionPool:
    """Up to `size` connections, made when needed; `check` may refuse a new one. Safe in threads, also in eventlet's."""

    def __init__(self, url: str, size: int, options: str, check: Callable[[Connection], None] | None = None) -> None:
        self._url = url
        self._check = check
        self._options = options
        self._idle: deque[Connection] = deque()
        self._free = threading.Semaphore(size)

    def take(self) -> Connection:
        """A connection for one user. Raises `Unavailable` where the server takes none, or where none gets free in 10 s."""
        if not self._free.acquire(timeout=WAIT_SECONDS):
            raise Unavailable("every connection to the database is in use")
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            return self._connect()
        except BaseException as error:
            self._free.release()
            if isinstance(error, psycopg2.OperationalError):
                raise Unavailable("the database can't be reached") from error
            raise

    def give_back(self, connection: Connection) -> None:
        """Takes a connection back. A closed one means that the server went away: then the others are as dead, and go too."""
        if connection.closed:
            self.close()
        else:
            self._idle.append(connection)
        self._free.release()

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _connect(self) -> Connection:
        connection: Connection = psycopg2.connect(
            self._url, connection_factory=Connection, connect_timeout=5, options=self._options
        )
        connection.autocommit = True
        psycopg2.extensions.register_type(_UUID_AS_TEXT, connection)
        psycopg2.extensions.register_type(_UUIDS_AS_TEXT, connection)
        if self._check is not None:
            try:
                self._check(connection)
            except BaseException:
                connection.close()
                raise
        return connection


# Ids are strings everywhere in Lethe
_UUID_AS_TEXT = psycopg2.extensions.new_type((2950,), "UUID", lambda value, _: value)
_UUIDS_AS_TEXT = psycopg2.extensions.new_array_type((2951,), "UUID[]", _UUID_AS_TEXT)
