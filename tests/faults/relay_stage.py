"""A stage for the relay's fault tests: one service's database with the real schema, a home, an exchange,
relay processes.

The relay processes are real ones (`python -m shared.relay`), so they can be killed, stopped and resumed.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import psycopg2
from psycopg2.extensions import make_dsn

from deploy.stack.scram import verifier
from shared import merkle
from shared.checkpoint import Checkpoint, open_checkpoint
from shared.publisher import EXCHANGE
from shared.relay_state import RelayState, read_state
from shared.signed_note import Verifier
from shared.tiles import TileReader, files_in
from shared.wakeup import send_wakeup

CHECKOUT = Path(__file__).resolve().parents[2]
SERVICE = "tickets"
PATIENCE_SECONDS = 30.0
ACCOUNT = str(uuid.UUID(int=1))


def eventually(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Waits for a condition and returns its value; fails saying what did not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds:g} s: {what}")


class RelayStage:
    """`superuser` is a DSN of a superuser of the server; `amqp_url` names a vhost of the test's own."""

    def __init__(self, superuser: str, amqp_url: str, home: Path) -> None:
        self.home = home
        self.amqp_url = amqp_url
        self.database = f"relay_{secrets.token_hex(4)}"
        self._superuser = superuser
        self.admin_dsn = make_dsn(superuser, dbname=self.database)
        self.relays: list[subprocess.Popen[bytes]] = []
        self._create_database()
        self.admin = self.connect()
        (home / "run").mkdir(parents=True)
        self._write_settings()
        self.broker = pika.BlockingConnection(pika.URLParameters(amqp_url))
        self.channel = self.broker.channel()
        self.channel.exchange_delete(EXCHANGE)
        self.channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
        self.queue = f"collected.{self.database}"
        self.channel.queue_declare(self.queue, durable=True)
        self.channel.queue_bind(self.queue, EXCHANGE, "#")

    # --------------------------------------------------------------------------------------------------------
    # ---- set-up

    def connect(self) -> Any:
        connection = psycopg2.connect(self.admin_dsn)
        connection.autocommit = True
        return connection

    def roles(self) -> dict[str, str]:
        return {
            role: f"{self.database}_{role}" for role in ("owner", "service", "relay", "eraser", "auditor")
        }

    def _create_database(self) -> None:
        server = psycopg2.connect(self._superuser)
        server.autocommit = True
        cursor = server.cursor()
        for role in self.roles().values():
            cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD %s", (verifier("relay"),))
        cursor.execute(f"CREATE DATABASE {self.database} OWNER {self.roles()['owner']}")
        server.close()
        self.apply_schema()

    def apply_schema(self) -> None:
        text = (CHECKOUT / "shared/schema.sql").read_text()
        for role, name in self.roles().items():
            text = text.replace(f"{{{role}}}", name)
        with self.connect() as connection:
            connection.cursor().execute(f"SET ROLE {self.roles()['owner']};" + text)

    def use_broker(self, amqp_url: str) -> None:
        """Relays started from now on reach the broker this way."""
        self._write_settings(amqp_url)

    def _write_settings(self, amqp_url: str | None = None) -> None:
        fields = psycopg2.extensions.parse_dsn(self.admin_dsn)
        fields |= {"user": self.roles()["relay"], "password": "relay"}
        databases = {SERVICE: {"relay": make_dsn(**fields)}}
        settings = {"cell": "test", "amqp_url": amqp_url or self.amqp_url, "databases": databases}
        (self.home / "stack.json").write_text(json.dumps(settings))

    def close(self) -> None:
        for relay in self.relays:
            if relay.poll() is None:
                relay.kill()
                relay.wait()
        if self.broker.is_open:
            self.channel.queue_delete(self.queue)
            self.broker.close()
        self.admin.close()
        server = psycopg2.connect(self._superuser)
        server.autocommit = True
        server.cursor().execute(f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)")
        for role in self.roles().values():
            server.cursor().execute(f"DROP ROLE IF EXISTS {role}")
        server.close()

    # --------------------------------------------------------------------------------------------------------
    # ----- events

    def append(self, count: int = 1, stream: str | None = None, first_version: int = 1) -> None:
        """Commits `count` events of one stream, each in a transaction of its own, and wakes the relay."""
        stream = stream or f"ticket-{uuid.uuid4()}"
        for version in range(first_version, first_version + count):
            append_event(self.admin.cursor(), stream, version)
        self.wake()

    def append_together(self, count: int) -> None:
        """Commits `count` events of one stream in one transaction: the relay takes them up in one batch."""
        with self.transaction() as cursor:
            stream = f"ticket-{uuid.uuid4()}"
            for version in range(1, count + 1):
                append_event(cursor, stream, version)
        self.wake()

    def wake(self) -> None:
        send_wakeup(self.home / "run" / f"relay-{SERVICE}.sock")

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A transaction left open in the block and committed after it; gives its cursor."""
        connection = psycopg2.connect(self.admin_dsn)
        with connection, connection.cursor() as cursor:
            yield cursor
        connection.close()

    def execute(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Runs a statement as the superuser."""
        cursor = self.admin.cursor()
        cursor.execute(statement, arguments)
        return cursor.fetchall() if cursor.description else []

    def execute_untriggered(self, statement: str) -> None:
        """Changes what no role of the product can: as somebody who owns the server does."""
        self.execute(f"SET session_replication_role = replica; {statement}; RESET session_replication_role")

    # --------------------------------------------------------------------------------------------------------
    # ----- relays

    def start_relay(self, failpoint: str = "") -> subprocess.Popen[bytes]:
        environment = {**os.environ, "LETHE_HOME": str(self.home), "LETHE_FAILPOINT": failpoint}
        log = (self.home / "relay.log").open("ab")
        relay = subprocess.Popen(
            [sys.executable, "-m", "shared.relay", SERVICE],
            cwd=CHECKOUT,
            env=environment,
            stdout=log,
            stderr=log,
        )
        log.close()
        self.relays.append(relay)
        return relay

    def state(self) -> RelayState | None:
        return read_state(self.home / "run" / f"relay-{SERVICE}.json")

    def await_state(self, state: str, relay: subprocess.Popen[bytes] | None = None) -> RelayState:
        def reached() -> RelayState | None:
            now = self.state()
            return now if now and now.state == state and (relay is None or now.pid == relay.pid) else None

        found: RelayState = eventually(reached, f"a relay that is {state}; its log:\n{self.relay_log()}")
        return found

    def relay_log(self) -> str:
        path = self.home / "relay.log"
        return path.read_text()[-3000:] if path.exists() else ""

    def await_killed(self, relay: subprocess.Popen[bytes]) -> None:
        eventually(lambda: relay.poll() is not None, "the relay reaching its failpoint\n" + self.relay_log())
        assert -signal.SIGKILL == relay.returncode

    def await_stopped_process(self, relay: subprocess.Popen[bytes]) -> None:
        """Waits until the process has SIGSTOPped."""
        status = Path(f"/proc/{relay.pid}/stat")
        eventually(
            lambda: status.read_text().rsplit(")", 1)[1].split()[0] == "T",
            "the relay pausing at its failpoint",
        )

    # -------------------------------------------------------------------------------------------------- what
    # has come of it

    def await_published(self, count: int) -> None:
        """Waits until the log holds `count` events, all signed, published and confirmed."""
        eventually(
            lambda: self.published() == count,
            f"{count} events published, now {self.state()}\n{self.relay_log()}",
        )

    def published(self) -> int:
        return int(self.execute("SELECT published FROM lethe.relay_cursor")[0][0])

    def checkpoint(self) -> Checkpoint:
        verifier = Verifier.parse((self.home / f"verifiers/log-{SERVICE}.vkey").read_text())
        return open_checkpoint((self.home / "tiles" / SERVICE / "checkpoint").read_bytes(), [verifier])

    def signed_size(self) -> int:
        try:
            return self.checkpoint().size
        except FileNotFoundError:
            return 0

    def collected(self) -> list[tuple[int, bytes]]:
        """What the broker delivered so far: (log index, body) in the order of arrival."""
        messages = []
        while True:
            method, properties, body = self.channel.basic_get(self.queue, auto_ack=True)
            if method is None:
                return messages
            messages.append((properties.headers["cloudEvents:logindex"], body))

    def check_whole(self, count: int, duplicates: bool = True) -> None:
        """The log has each event once, densely; tiles, checkpoint and deliveries agree with it; no stream is
        out of order.
        """
        rows = self.execute(
            "SELECT l.index, l.leaf, e.salt, e.envelope, e.stream, e.version"
            " FROM lethe.log l JOIN lethe.event e USING (sequence) ORDER BY l.index"
        )
        assert list(range(count)) == [row[0] for row in rows]
        assert count == self.execute("SELECT count(*) FROM lethe.event")[0][0]
        leaves = [bytes(row[1]) for row in rows]
        assert [hashlib.sha256(bytes(row[2]) + bytes(row[3])).digest() for row in rows] == leaves
        versions: dict[str, int] = {}
        for *_, stream, version in rows:
            assert versions.get(stream, 0) + 1 == version
            versions[stream] = version
        checkpoint = self.checkpoint()
        reader = TileReader(files_in(self.home / "tiles" / SERVICE), count)
        assert leaves == list(reader.entries())
        root = merkle.root_of([merkle.leaf_hash(leaf) for leaf in leaves])
        assert (count, root, root) == (checkpoint.size, checkpoint.root, reader.root())
        envelopes = [bytes(row[3]) for row in rows]
        first_arrivals: dict[int, bytes] = {}
        for index, body in self.collected():
            assert envelopes[index] == body
            assert duplicates or index not in first_arrivals
            first_arrivals.setdefault(index, body)
        assert list(range(count)) == list(first_arrivals), (
            "delivered at least once, first arrivals in the order of the log"
        )


def append_event(cursor: Any, stream: str, version: int, kind: str = "tickets.TicketOpened") -> None:
    """Appends one event in the cursor's transaction, as a service does."""
    event_id = str(uuid.uuid4())
    envelope = json.dumps({"event": event_id, "stream": stream, "version": version}).encode()
    cursor.execute(
        "SELECT lethe.append_event(%s, %s, %s, %s, %s, 1, clock_timestamp(), %s, %s, '{}'::bytea[])",
        (ACCOUNT, stream, version, event_id, kind, envelope, secrets.token_bytes(16)),
    )
