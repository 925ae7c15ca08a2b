"""A stage for the auditor's tests: databases of contacts and tickets, a home, real events, and logs made by the relay's code.

Here one may do what no role of the product can: `as_attacker` changes rows with the triggers switched off, as somebody who
owns the server does, and `sign_anew` signs whatever the attacker likes with the log's own key. `restore` undoes it all.
"""

from __future__ import annotations

import importlib
import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

from deploy.stack.scram import verifier
from services.contacts import events as contacts
from services.tickets import events as tickets
from shared import clock, migrations, root_keys
from shared.checkpoint import Checkpoint
from shared.ids import new_id
from shared.log_signer import LogSigner
from shared.relay import publish_verifier
from shared.relay_database import RelayDatabase
from shared.sequencer import Sequencer
from shared.settings import ROLES, Settings
from shared.signed_note import SigningKey, read_signing_key, sign_note
from shared.tile_writer import TileWriter
from shared.work import Store, Work

SERVICES = ("contacts", "tickets")
_PASSWORD = "audit"
_LEAVES_AT_ONCE = 65_536
_KEPT = ("lethe.event", "lethe.log")
_KEPT_FOLDERS = ("tiles", "verifiers")


def message_of(ticket: str, person: str, item: str) -> tickets.MessageAdded:
    """A message of a person, under the ticket's key or under its own."""
    text = tickets.Text(["words"], [])
    content = tickets.MessageContent(
        headers=tickets.Headers(senders=[], reply_to=[], to=[], cc=[]), subject=text, text=text, attachments=[], mail_key="",
        digest="",
    )  # fmt: skip
    return tickets.MessageAdded(
        ticket_id=ticket, message_id=new_id() if item == ticket else item, author_id=person, item_id=item, owner_id=person,
        direction="incoming", sent_at=clock.now(), attachments=[], content=content,
    )  # fmt: skip


class AuditStage:
    """`superuser` is a DSN of a superuser of the server."""

    def __init__(self, superuser: str, home: Path) -> None:
        self.home = home
        self._superuser = parse_dsn(superuser)
        self._prefix = f"audit_{secrets.token_hex(4)}_"
        for folder in ("run", "tiles", "verifiers"):
            (home / folder).mkdir(parents=True)
        databases = {service: self._create_database(service) for service in SERVICES}
        (home / "stack.json").write_text(json.dumps({"cell": "test", "amqp_url": "", "databases": databases}))
        self.settings = Settings.load(home)
        root_keys.create(home, SERVICES)
        for service in SERVICES:
            migrations.upgrade(databases[service]["owner"], service)
        self.stores = {service: self._store(service) for service in SERVICES}
        self.account = new_id()

    # -- set-up

    def _connect(self, database: str | None = None) -> Any:
        connection = psycopg2.connect(**{**self._superuser, **({"dbname": database} if database else {})})
        connection.autocommit = True
        return connection

    def _create_database(self, service: str) -> dict[str, str]:
        name = self._prefix + service
        server = self._connect()
        with server.cursor() as cursor:
            for role in ROLES:
                cursor.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD %s").format(sql.Identifier(f"{name}_{role}")), (verifier(_PASSWORD),)
                )
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(f"{name}_owner")))
            cursor.execute(
                sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(name), sql.Identifier(f"{name}_auditor"))
            )
        server.close()
        host, port = self._superuser.get("host", "127.0.0.1"), self._superuser.get("port", "5432")
        place = f"/{name}?host={host}&port={port}" if host.startswith("/") else f"{host}:{port}/{name}"
        return {role: f"postgresql://{name}_{role}:{_PASSWORD}@{place}" for role in ROLES}

    def _store(self, service: str) -> Store:
        types = importlib.import_module(f"services.{service}.events").TYPES
        project = importlib.import_module(f"services.{service}.projections").project
        return Store(types, project, self.settings, pool_size=2)

    def close(self) -> None:
        for store in self.stores.values():
            store.database.close()
        server = self._connect()
        with server.cursor() as cursor:
            for service in SERVICES:
                name = self._prefix + service
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
                for role in ROLES:
                    cursor.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"{name}_{role}")))
        server.close()

    # -- events

    def add_persons(self, count: int) -> list[str]:
        """Persons with a name and an address: three events each, in two streams."""
        persons = [new_id() for _ in range(count)]

        def add(work: Work) -> None:
            for number, person in enumerate(persons):
                named = contacts.PersonNamed(person_id=person, name=f"Person {number}")
                work.append(f"person/{person}", 0, [contacts.PersonAdded(person_id=person, origin="correspondent"), named])
                identifier = new_id()
                added = contacts.IdentifierAdded(
                    identifier_id=identifier, person_ids=[person], kind="address", owner="person",
                    address=f"p{number}@example.org",
                )  # fmt: skip
                work.append(f"identifier/{identifier}", 0, [added])

        self.stores["contacts"].run(self.account, add)
        return persons

    def open_tickets(self, count: int) -> list[str]:
        """Tickets with a subject and one message: two events each."""
        opened = [new_id() for _ in range(count)]

        def add(work: Work) -> None:
            for ticket in opened:
                person, text = new_id(), tickets.Text(["words"], [])
                first = tickets.TicketOpened(ticket_id=ticket, requester_id=person, channel="e-mail", subject=text)
                work.append(f"ticket/{ticket}", 0, [first, message_of(ticket, person, item=ticket)])

        self.stores["tickets"].run(self.account, add)
        return opened

    def answer(self, ticket: str) -> str:
        """A message of somebody else in a ticket; the person who wrote it."""
        person, stream, message = new_id(), f"ticket/{ticket}", new_id()

        def add(work: Work) -> None:
            work.append(stream, work.versions_of([stream])[stream], [message_of(ticket, person, item=message)])

        self.stores["tickets"].run(self.account, add)
        return person

    def index(self, service: str = "contacts") -> bytes:
        """Brings what is committed into the log, the tiles and a signed checkpoint, as the relay does; the new note."""
        settings, tiles = self.settings, self.tiles(service)
        tiles.mkdir(exist_ok=True)
        database = RelayDatabase(settings.database_url(service, "relay"), "test")
        signer = LogSigner(settings.path("root-keys", service), tiles, f"{settings.cell}/{service}")
        publish_verifier(settings, service, signer)
        term = database.take_lease(signer.term())
        assert term is not None
        sequencer = Sequencer(database, tiles, signer, term)
        while sequencer.step():
            pass
        database.release_lease(term)
        database.close()
        return self.note(service)

    def tiles(self, service: str = "contacts") -> Path:
        return self.settings.path("tiles", service)

    def note(self, service: str = "contacts") -> bytes:
        return (self.tiles(service) / "checkpoint").read_bytes()

    # -- the attacker

    def as_attacker(self, statement: str, *values: Any, service: str = "contacts") -> list[tuple[Any, ...]]:
        """Runs statements as a superuser for whom no trigger and no foreign key holds. `values`: in order, or one mapping."""
        connection = self._connect(self._prefix + service)
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(statement, values[0] if values and isinstance(values[0], dict) else values or None)
            rows = cursor.fetchall() if cursor.description else []
        connection.close()
        return rows

    def sign_anew(self, service: str = "contacts", key: SigningKey | None = None) -> bytes:
        """Writes new tiles over the log's leaves as they stand now and signs them, with the log's own key if no other."""
        leaves = [bytes(leaf) for (leaf,) in self.as_attacker("SELECT leaf FROM lethe.log ORDER BY index", service=service)]
        shutil.rmtree(self.tiles(service))
        self.tiles(service).mkdir()
        writer = TileWriter(self.tiles(service))
        for at in range(0, len(leaves), _LEAVES_AT_ONCE):
            writer.append(leaves[at : at + _LEAVES_AT_ONCE])
        key = key or read_signing_key(self.settings.path("root-keys", service, "log-signer.key"))
        note = sign_note(Checkpoint(f"test/{service}", writer.size, writer.root()).text(), key)
        (self.tiles(service) / "checkpoint").write_bytes(note)
        return note

    def keep(self, service: str = "contacts") -> None:
        """Notes how things stand, for `restore`."""
        for table in _KEPT:
            self.as_attacker(f"CREATE TABLE public.kept_{table[6:]} AS TABLE {table}", service=service)
        for folder in _KEPT_FOLDERS:
            shutil.copytree(self.home / folder, self.home / f"kept-{folder}")

    def restore(self, service: str = "contacts") -> None:
        """Puts log, events, tiles and public keys back."""
        self.as_attacker(f"TRUNCATE {', '.join(_KEPT)}", service=service)
        for table in _KEPT:
            overriding = "OVERRIDING SYSTEM VALUE " if table == "lethe.event" else ""
            self.as_attacker(f"INSERT INTO {table} {overriding}TABLE public.kept_{table[6:]}", service=service)
        for folder in _KEPT_FOLDERS:
            shutil.rmtree(self.home / folder)
            shutil.copytree(self.home / f"kept-{folder}", self.home / folder)
