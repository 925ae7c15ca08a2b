"""A home with real databases for tests of single services: made on a PostgreSQL server, dropped again afterwards.

No broker and no processes: what these tests ask of a service they ask of its handlers and queries. The server is the one of
`LETHE_TEST_SUPERUSER` (the DSN of a superuser), as for the relay's fault tests.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.stack import databases
from shared import migrations, root_keys
from shared.settings import ROLES, Settings
from shared.tokens import create_token_key


@contextmanager
def service_home(admin_url: str, folder: Path, services: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings of a new home in `folder`, whose databases have a prefix of their own."""
    monkeypatch.setenv("LETHE_HOME", str(folder))
    monkeypatch.setenv("LETHE_DATABASE_PREFIX", f"test_{secrets.token_hex(4)}")
    try:
        passwords = databases.create(admin_url, services, {})
        urls = {
            service: {
                role: databases.url_for(
                    admin_url,
                    databases.database_name(service),
                    f"{databases.database_name(service)}_{role}",
                    passwords[service][role],
                )
                for role in ROLES
            }
            for service in services
        }
        for name in ("run", "blobs", "tiles"):
            (folder / name).mkdir(parents=True)
        root_keys.create(folder, tuple(services))
        for issuer in ("identity", "operator"):
            create_token_key(folder / "root-keys", folder / "verifiers", issuer)
        for service in services:
            migrations.upgrade(urls[service]["owner"], service)
        (folder / "stack.json").write_text(json.dumps({"amqp_url": "", "databases": urls}))
        yield Settings.load(folder)
    finally:
        databases.drop(admin_url, services)
