"""Databases for tests that need no broker and no process of ours: a PostgreSQL of their own, or the one that LETHE_DATABASE_URL
names, with a fresh database for each service and a home with the root keys beside them.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from deploy.stack import databases, ports, processes
from deploy.stack.postgres import Postgres
from shared import migrations, root_keys
from shared.settings import ROLES, SERVICES, Settings
from shared.tokens import create_token_key


@contextmanager
def server(home: Path) -> Iterator[str]:
    """A PostgreSQL below `home` for the length of the block; gives the superuser's URL."""
    if given := os.environ.get("LETHE_DATABASE_URL"):
        yield given
        return
    for name in ("logs", "run"):
        (home / name).mkdir(parents=True, exist_ok=True)
    postgres = Postgres(home, ports.settle(home, frozenset())["postgres"])
    postgres.prepare()
    process = processes.launch(postgres.program(), home)
    try:
        postgres.await_ready(30)
        yield postgres.admin_url()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


Urls = dict[str, dict[str, str]]
"""Service → role → URL."""


@dataclass(frozen=True)
class Template:
    """Databases of all services as the migrations leave them, to be copied: a fifth of the time that the migrations take."""

    prefix: str
    passwords: dict[str, dict[str, str]]

    def copy(self, admin_url: str, services: Sequence[str]) -> Urls:
        """A copy of each of these services' databases, under names of its own, for the template's roles."""
        with closing(psycopg2.connect(admin_url)) as connection:
            connection.autocommit = True
            for service in services:
                template = f"{self.prefix}_{service}"
                databases.create_database(connection.cursor(), databases.database_name(service), template, template)
        return _urls(admin_url, self.prefix, self.passwords, services)


@contextmanager
def template_of(admin_url: str) -> Iterator[Template]:
    """The template on a server, for the length of the block."""
    with pytest.MonkeyPatch.context() as patch:
        prefix = f"template_{secrets.token_hex(4)}"
        patch.setenv("LETHE_DATABASE_PREFIX", prefix)
        passwords, _ = _migrated(admin_url, SERVICES)
    yield Template(prefix, passwords)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_DATABASE_PREFIX", prefix)
        databases.drop(admin_url, SERVICES)


def _migrated(admin_url: str, services: Sequence[str]) -> tuple[dict[str, dict[str, str]], Urls]:
    """New databases with the newest schema: their roles' passwords, and URLs."""
    passwords = databases.create(admin_url, services, {})
    urls = _urls(admin_url, databases.prefix(), passwords, services)
    for service in services:
        migrations.upgrade(urls[service]["owner"], service)
    return passwords, urls


@contextmanager
def fresh_home(
    home: Path, admin_url: str, services: Sequence[str] = SERVICES, template: Template | None = None
) -> Iterator[Settings]:
    """A home with keys, and databases of these services, for the length of the block. `LETHE_HOME` names it meanwhile."""
    for name in ("run", "blobs", "tiles", "verifiers"):
        (home / name).mkdir(parents=True, exist_ok=True)
    root_keys.create(home, SERVICES)
    for issuer in SERVICES:
        create_token_key(home / "root-keys", home / "verifiers", issuer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_DATABASE_PREFIX", f"test_{secrets.token_hex(4)}")
        patch.setenv("LETHE_HOME", str(home))
        urls = _migrated(admin_url, services)[1] if template is None else template.copy(admin_url, services)
        # no broker: what would connect fails at once
        written = {"cell": "test", "amqp_url": "amqp://nobody@127.0.0.1:1/", "databases": urls, "admin_url": admin_url}
        (home / "stack.json").write_text(json.dumps(written))
        yield Settings.load(home)
        databases.drop(admin_url, services)


def _urls(admin_url: str, roles: str, passwords: dict[str, dict[str, str]], services: Sequence[str]) -> Urls:
    """The URLs of databases for the roles whose names begin with `roles`."""
    return {
        service: {
            role: databases.url_for(
                admin_url, databases.database_name(service), f"{roles}_{service}_{role}", passwords[service][role]
            )
            for role in ROLES
        }
        for service in services
    }


def by_tcp(url: str) -> str:
    """The same with a host and a port in it, as tests take it apart."""
    place = parse_dsn(url)
    if not place.get("host", "").startswith("/"):
        return url
    return f"postgresql://{place['user']}:{place['password']}@127.0.0.1:{place['port']}/{place['dbname']}"


def superuser(settings: Settings, service: str) -> Any:
    """A connection of the server's superuser to a service's database, which commits each statement by itself."""
    admin_url = json.loads(settings.path("stack.json").read_text())["admin_url"]
    name = psycopg2.extensions.parse_dsn(settings.database_url(service, "owner"))["dbname"]
    connection = psycopg2.connect(admin_url, dbname=name)
    connection.autocommit = True
    return connection
