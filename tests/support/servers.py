"""The servers that tests share: their addresses."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg2.extensions import parse_dsn


@dataclass(frozen=True)
class Servers:
    """A PostgreSQL and a RabbitMQ for tests. `superuser` is a libpq URL, `amqp_url` names a vhost of the tests' own."""

    superuser: str
    amqp_url: str


def by_tcp(url: str) -> str:
    """The same with a host and a port in it, as tests take it apart."""
    place = parse_dsn(url)
    if not place.get("host", "").startswith("/"):
        return url
    return f"postgresql://{place['user']}:{place['password']}@127.0.0.1:{place['port']}/{place['dbname']}"
