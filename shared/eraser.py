"""The eraser's connection: the only role that may set a sealed part to NULL, and it may do nothing else.

It is opened for one piece of work and closed again; a service's ordinary connections can't prune.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from shared.errors import Unavailable
from shared.settings import Settings


@contextmanager
def eraser_cursor(settings: Settings, service: str, account_id: str) -> Iterator[Any]:
    """A cursor as the eraser, bound to one account for the session. Commits at the end of the block."""
    try:
        connection = psycopg2.connect(
            settings.database_url(service, "eraser"), connect_timeout=5, options="-c statement_timeout=60000"
        )
    except psycopg2.OperationalError as error:
        raise Unavailable("the database can't be reached") from error
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lethe.account', %s, false)", (account_id,))
            yield cursor
    finally:
        connection.close()
