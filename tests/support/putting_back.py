"""Copies of all databases of a home, put back later: what a restore from a backup does to a `Cell`."""

from __future__ import annotations

import secrets

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from audit.findings import Verdict
from audit.verify import verify
from deploy.stack import databases
from shared import put_back, recovery
from shared.errors import Unavailable
from shared.recovery import Recovered
from shared.recovery_runner import repeat
from shared.settings import SERVICES, Settings
from tests.support.cell import Cell
from tests.support.databases import superuser


class PuttingBack:
    """The databases of one home. No `Cell` on it may be open while they are copied or put back."""

    def __init__(self, settings: Settings, admin_url: str) -> None:
        self.settings = settings
        self._admin = psycopg2.connect(admin_url)
        self._admin.autocommit = True
        self._copies: dict[str, str] = {}

    def copy(self) -> None:
        """Copies them as they are now."""
        with self._admin.cursor() as cursor:
            for service in SERVICES:
                self._copies[service] = f"copy_{secrets.token_hex(4)}_{service}"
                cursor.execute(f'CREATE DATABASE "{self._copies[service]}" TEMPLATE "{self._name(service)}"')

    def put_back(self) -> None:
        """Puts the copies in their place."""
        with self._admin.cursor() as cursor:
            for service in SERVICES:
                name, roles = self._name(service), self._user(service).removesuffix("_owner")
                cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
                databases.create_database(cursor, name, roles, self._copies[service])
                cursor.execute(f'DROP DATABASE "{self._copies[service]}"')

    def close(self) -> None:
        """Removes what is left."""
        with self._admin.cursor() as cursor:
            for copy in self._copies.values():
                cursor.execute(f'DROP DATABASE IF EXISTS "{copy}" WITH (FORCE)')
        self._admin.close()

    def recover(self, cell: Cell) -> dict[str, Recovered]:
        """What `lethe recover` does, with the test in the place of the relays. The logs are not verified yet."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(put_back.RECOVERING, "1")
            return self._recover(cell)

    def _recover(self, cell: Cell) -> dict[str, Recovered]:
        keys = {}
        for service in SERVICES:
            put_back.begin(self.settings, service)
            recovery.give_back_places(self.settings, service)
            keys[service] = recovery.reload_keys(self.settings, service)
        found = {}
        for service in sorted(SERVICES, key=lambda one: one != "erasure"):
            persons, items, accounts = self._repeat(cell, service)
            found[service] = Recovered(
                service=service, keys_reloaded=keys[service], persons=persons, items=items, accounts=accounts
            )
        return found

    def _repeat(self, cell: Cell, service: str) -> tuple[int, int, int]:
        _, cause = recovery.tell_lost(cell.store(service))
        for _ in range(30):
            try:
                return repeat(cell.service(service), cause)
            except Unavailable:  # it waits for the relays
                for one in SERVICES:
                    cell.sign(one)
        raise AssertionError("it waits for ever")

    def verified(self, cell: Cell, kept: dict[str, bytes]) -> list[Verdict]:
        """The verdicts on all logs, given checkpoints that were kept."""
        for service in SERVICES:
            cell.sign(service)
        verdicts = [verify(self.settings, service, kept.get(service), patience_seconds=1) for service in SERVICES]
        if all(verdict.good for verdict in verdicts):
            for service in SERVICES:
                put_back.finish(self.settings, service)
        return verdicts

    def kept(self) -> dict[str, bytes]:
        """The published checkpoints, as an auditor keeps them."""
        paths = {service: self.settings.path("tiles", service, "checkpoint") for service in SERVICES}
        return {service: path.read_bytes() for service, path in paths.items() if path.exists()}

    def rows(self, service: str, statement: str, *values: object) -> list[tuple[object, ...]]:
        """What the server's superuser sees."""
        connection = superuser(self.settings, service)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def _name(self, service: str) -> str:
        return str(parse_dsn(self.settings.database_url(service, "owner"))["dbname"])

    def _user(self, service: str) -> str:
        return str(parse_dsn(self.settings.database_url(service, "owner"))["user"])
