"""The servers that tests share: their addresses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Servers:
    """A PostgreSQL and a RabbitMQ for tests. `superuser` is a libpq URL, `amqp_url` names a vhost of the tests' own."""

    superuser: str
    amqp_url: str
