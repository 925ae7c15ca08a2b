"""Copies of all databases of a home, put back later: what a restore from a backup does to a `Cell`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property

import msgspec
import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from audit.findings import Finding, Verdict
from audit.log_agreement import compared, reading_order
from audit.replay import replay
from audit.verify import verify
from deploy.stack import databases
from shared import clock, put_back
from shared.errors import Unavailable
from shared.recovery import Recovered
from shared.recovery_keys import reload_keys
from shared.recovery_log import give_back_places
from shared.recovery_runner import end_holds, repeat
from shared.settings import ACCOUNT_SERVICES, SERVICES, Settings
from tests.support.cell import Cell
from tests.support.databases import superuser
from tests.support.ending import Ending

HOLDING = {
    "basis": "legal-claims", "reference": "file 12", "expires_at": (clock.now() + timedelta(days=30)).isoformat(),
}  # fmt: skip


class PuttingBack:
    """The databases of one home. No `Cell` on it may be open while they are copied or put back."""

    def __init__(self, settings: Settings, admin_url: str) -> None:
        self.settings = settings
        self._admin = psycopg2.connect(admin_url)
        self._admin.autocommit = True
        self._copies: list[dict[str, str]] = []

    def copy(self) -> None:
        """Copies them as they are now."""
        copies = {service: f"copy_{secrets.token_hex(4)}_{service}" for service in SERVICES}
        self._copies.append(copies)
        with self._admin.cursor() as cursor:
            for service, copy in copies.items():
                cursor.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{self._name(service)}"')

    def put_back(self, which: int = -1) -> None:
        """Puts copies in their place: the last ones that were made, or others by number. Each set once: they are moved."""
        with self._admin.cursor() as cursor:
            for service, copy in self._copies[which].items():
                name, owner = self._name(service), self._user(service)
                cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
                cursor.execute(f'ALTER DATABASE "{copy}" RENAME TO "{name}"')
                cursor.execute(f'ALTER DATABASE "{name}" OWNER TO "{owner}"')
                databases.create_database(cursor, name, owner.removesuffix("_owner"))

    def close(self) -> None:
        """Removes what is left."""
        with self._admin.cursor() as cursor:
            for copy in [copy for copies in self._copies for copy in copies.values()]:
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
            give_back_places(self.settings, service)
            keys[service] = reload_keys(self.settings, service)
        found = {}
        for service in sorted(SERVICES, key=lambda one: one != "erasure"):
            done = self._until_published(cell, lambda: repeat(cell.service(service)))  # noqa: B023
            found[service] = msgspec.structs.replace(done, keys_reloaded=keys[service])
        holds = [hold for one in found.values() for hold in one.released]
        self._until_published(cell, lambda: end_holds(cell.service("erasure"), holds))
        return found

    def _until_published(self, cell: Cell, step: Callable[[], Recovered]) -> Recovered:
        for _ in range(30):
            try:
                return step()
            except Unavailable:  # it waits for the relays
                for one in SERVICES:
                    cell.sign(one)
        raise AssertionError("it waits for ever")

    def verified(self, cell: Cell, kept: dict[str, bytes]) -> list[Verdict]:
        """The verdicts on all logs, given checkpoints that were kept."""
        for service in SERVICES:
            cell.sign(service)
        order = reading_order(SERVICES)
        verdicts = compared([verify(self.settings, service, kept.get(service), patience_seconds=1) for service in order])
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


class Desk:
    """An account, and another one, on a cell that is closed and opened again around each copy."""

    def __init__(self, databases: PuttingBack) -> None:
        self.databases = databases
        self.cell = Cell(databases.settings)
        self.one = Ending(self.cell)

    @cached_property
    def other(self) -> Ending:
        """Made when it is first asked for: before the copy, where the copy is to have it."""
        return Ending(self.cell)

    def copy(self) -> None:
        self.one.settle()
        self.cell.close()
        self.databases.copy()
        self.open()

    def put_back(self, which: int = -1) -> None:
        self.one.settle()
        self.lose(which)

    def lose(self, which: int = -1) -> None:
        """As `put_back`, with what is under way left so."""
        self.kept = self.databases.kept()
        self.cell.close()
        self.databases.put_back(which)
        self.open()

    def open(self) -> None:
        self.cell = Cell(self.databases.settings)
        self.one.cell = self.cell
        if "other" in vars(self):
            self.other.cell = self.cell

    def erase(self, who: str) -> str:
        request: str = self.one.call("erasure", "request_erasure", {"who": who, "reason": "asked"}).request_id
        self.one.settle()
        assert "completed" == self.one.call("erasure", "show_erasure", {"request_id": request}).state
        return request

    def keys_of(self, person: str) -> int:
        """Item keys and rows of keys of a person, in all services."""
        statement = "SELECT count(*) FROM keys.item_person WHERE person_id = %s"
        return sum(int(str(self.databases.rows(service, statement, person)[0][0])) for service in ACCOUNT_SERVICES)

    def findings(self) -> list[Finding]:
        """In all logs, against each other and what was kept."""
        return [one for verdict in self.databases.verified(self.cell, self.kept) for one in verdict.findings]

    def check_whole(self) -> int:
        """The logs extend what was kept, nothing is found in them, and they replay to the read models. How many are lost."""
        verdicts = self.databases.verified(self.cell, self.kept)
        assert [] == [(verdict.service, one) for verdict in verdicts for one in verdict.findings]
        for service in ACCOUNT_SERVICES:
            result = replay(self.databases.settings, service, patience_seconds=0.5)
            assert result.equal, (service, [(one.table, one.differences) for one in result.tables if one.differing])
        return sum(verdict.lost for verdict in verdicts)
