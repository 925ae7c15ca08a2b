"""The peer: the `eventsourcing` library on PostgreSQL with its AES cipher. Imported by benchmarks only."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from shared.settings import Settings


class Ticket(Aggregate):
    """A ticket as its documentation would write it."""

    @event("Opened")
    def __init__(self, ticket_id: str) -> None:
        self.ticket_id = ticket_id
        self.messages = 0

    @event("MessageAdded")
    def add_message(self, fields: dict[str, Any]) -> None:
        self.messages += 1


def new_ticket(ticket_id: str) -> Ticket:
    """A new aggregate."""
    return Ticket(ticket_id)


def application(settings: Settings) -> Any:
    """Its application on the tests' PostgreSQL: the same server, the same database, a schema of its own."""
    parts = urlsplit(os.environ["BENCH_ADMIN_URL"])
    query = parse_qs(parts.query)
    os.environ.update(
        PERSISTENCE_MODULE="eventsourcing.postgres",
        POSTGRES_DBNAME=os.environ["BENCH_DATABASE"],
        POSTGRES_HOST=query.get("host", [parts.hostname or "127.0.0.1"])[0],
        POSTGRES_PORT=str(parts.port or query.get("port", ["5432"])[0]),
        POSTGRES_USER=unquote(parts.username or "postgres"),
        POSTGRES_PASSWORD=unquote(parts.password or "") or "none",
        POSTGRES_SCHEMA="public",
        CIPHER_TOPIC="eventsourcing.cipher:AESCipher",
        CIPHER_KEY=os.environ["BENCH_CIPHER_KEY"],
    )

    class Desk(Application[UUID]):
        pass

    return Desk()
