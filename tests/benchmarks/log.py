"""How long a service's log is, and whether its relay has caught up."""

from __future__ import annotations

import time
from typing import Any

import psycopg2

from shared.settings import Settings

CATCH_UP_SECONDS = 600.0


def log_length(settings: Settings, service: str) -> int:
    """Events in the log of a service."""
    (length,) = _row(settings, service, "SELECT coalesce(max(index) + 1, 0) FROM lethe.log")
    return int(length)


def await_relay(settings: Settings, service: str) -> None:
    """Returns when every event of a service is in its log and published. Raises `TimeoutError` where that takes too long."""
    until = time.monotonic() + CATCH_UP_SECONDS
    behind = (
        "SELECT (SELECT count(*) FROM lethe.event) - (SELECT count(*) FROM lethe.log),"
        " (SELECT count(*) FROM lethe.log) - (SELECT published FROM lethe.relay_cursor)"
    )
    while _row(settings, service, behind) != (0, 0):
        if time.monotonic() > until:
            raise TimeoutError(f"the relay of {service} has not caught up")
        time.sleep(0.2)


def _row(settings: Settings, service: str, sql: str) -> tuple[Any, ...]:
    connection = psycopg2.connect(settings.database_url(service, "auditor"))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return tuple(cursor.fetchone() or ())
    finally:
        connection.close()
