"""Databases for tests that need no broker and no process of ours: a PostgreSQL of their own, or the one that LETHE_DATABASE_URL
names, with a fresh database for each service and a home with the root keys beside them.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

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


@contextmanager
def fresh_home(home: Path, admin_url: str, services: Sequence[str] = SERVICES) -> Iterator[Settings]:
    """A home with keys, and databases of these services, for the length of the block. `LETHE_HOME` names it meanwhile."""
    for name in ("run", "blobs", "tiles", "verifiers"):
        (home / name).mkdir(parents=True, exist_ok=True)
    root_keys.create(home, SERVICES)
    for issuer in SERVICES:
        create_token_key(home / "root-keys", home / "verifiers", issuer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_DATABASE_PREFIX", f"test_{secrets.token_hex(4)}")
        patch.setenv("LETHE_HOME", str(home))
        passwords = databases.create(admin_url, services, {})
        urls = {
            service: {role: _url(admin_url, service, role, passwords[service][role]) for role in ROLES}
            for service in services
        }
        # no broker: what would connect fails at once
        written = {"cell": "test", "amqp_url": "amqp://nobody@127.0.0.1:1/", "databases": urls, "admin_url": admin_url}
        (home / "stack.json").write_text(json.dumps(written))
        for service in services:
            migrations.upgrade(urls[service]["owner"], service)
        yield Settings.load(home)
        databases.drop(admin_url, services)


def _url(admin_url: str, service: str, role: str, password: str) -> str:
    database = databases.database_name(service)
    return databases.url_for(admin_url, database, f"{database}_{role}", password)


def superuser(settings: Settings, service: str) -> Any:
    """A connection of the server's superuser to a service's database, which commits each statement by itself."""
    admin_url = json.loads(settings.path("stack.json").read_text())["admin_url"]
    name = psycopg2.extensions.parse_dsn(settings.database_url(service, "owner"))["dbname"]
    connection = psycopg2.connect(admin_url, dbname=name)
    connection.autocommit = True
    return connection
