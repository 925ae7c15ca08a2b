"""What the server is set to: printed with the figures, since all are measured on it."""

from __future__ import annotations

import psycopg2

from shared.settings import Settings

SHOWN = (
    "server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_level", "shared_buffers", "max_wal_size", "jit",
)  # fmt: skip


def settings_shown(settings: Settings) -> str:
    """The server's settings that matter here, in one line."""
    connection = psycopg2.connect(settings.database_url("tickets", "auditor"))
    with connection, connection.cursor() as cursor:
        shown = []
        for name in SHOWN:
            cursor.execute(f"SHOW {name}")
            shown.append(f"{name} {(cursor.fetchone() or ('?',))[0]}")
    connection.close()
    return "The server, one for all: " + ", ".join(shown)
