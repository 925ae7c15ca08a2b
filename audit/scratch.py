"""The schema that a replay builds read models in: the auditor's own, beside the live one, and kept until the replay has ended.

It is written in batches, each committed with how far the replay is, so whatever ends a replay, the next one goes on from the
last batch. All its tables are UNLOGGED, the one with the progress as well: after a crash of the server all are empty
together, and the replay begins anew. It is dropped at the end; what is left over of a replay that nobody went on with has ids,
times and digests in it, no ciphertext (`row_batch.py`), and goes with the next replay or `--restart`.

Nobody else writes here: a lock of the session lets one replay in, and it is gone with the connection, however that ends.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from shared.errors import Conflict

LOCK_PATIENCE_SECONDS = 1.0
_PROGRESS = "replay_progress"
# Every look-up of a projection is by a key or an index; the planner knows nothing of tables that have just been filled.
_PLAN = (
    "SET timezone = 'UTC'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;"
    " SET synchronous_commit = off; SET jit = off; SET enable_hashjoin = off; SET enable_mergejoin = off;"
    " SET enable_seqscan = off"
)
_PLAN_FOR_ALL_ROWS = (
    "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; SET LOCAL enable_seqscan = on;"
    " SET LOCAL work_mem = '64MB'"
)


class Progress(NamedTuple):
    """How far a replay has come: `played` events, and the root of the tree over them (empty where there are none)."""

    played: int
    root: bytes


class Scratch:
    """The scratch schema `name` of one service. `connection` is the auditor's and is used for nothing else."""

    def __init__(self, connection: Any, name: str, service: str, tables: Sequence[sa.Table]) -> None:
        self.name = name
        self.cursor = connection.cursor()
        self._connection = connection
        self._tables = {str(table.name): table for table in tables}
        self._program = program_digest(service)
        self._indexed: set[str] = set()
        self._lock(service)
        self.cursor.execute(f'{_PLAN}; SET search_path = "{name}"')
        connection.commit()

    def _lock(self, service: str) -> None:
        """Takes the lock. A replay that was killed a moment ago has it until the server sees that its connection is gone."""
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while True:
            self.cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (f"lethe {self.name}",))
            (is_ours,) = self.cursor.fetchone()
            if is_ours:
                return
            if time.monotonic() > deadline:
                raise Conflict("another replay of this log is going on", service=service)
            time.sleep(0.05)

    def progress(self) -> Progress:
        """What an earlier replay by this very program left; nothing where there was none."""
        self.cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{self.name}.{_PROGRESS}",))
        (exists,) = self.cursor.fetchone()
        row = None
        if exists:
            self.cursor.execute(f"SELECT played, root FROM {_PROGRESS} WHERE program = %s", (self._program,))
            row = self.cursor.fetchone()
        self._connection.commit()
        return Progress(0, b"") if row is None else Progress(row[0], bytes(row[1]))

    def create(self) -> None:
        """Makes the schema anew, empty: tables with their primary keys, other indices when they are needed."""
        self.cursor.execute(f'DROP SCHEMA IF EXISTS "{self.name}" CASCADE; CREATE SCHEMA "{self.name}"')
        for name, table in self._tables.items():
            self.cursor.execute(f'CREATE UNLOGGED TABLE {name} (LIKE "{table.schema}".{name} INCLUDING DEFAULTS)')
            columns = ", ".join(str(column.name) for column in table.primary_key.columns)
            self.cursor.execute(f"ALTER TABLE {name} ADD PRIMARY KEY ({columns})")
            for index in table.indexes:
                if index.unique and index.dialect_options["postgresql"]["where"] is None:  # the others are rules for live rows
                    self._create_index(name, index)
        self.cursor.execute(f"CREATE UNLOGGED TABLE {_PROGRESS} (played bigint, root bytea, program text)")
        self.cursor.execute(f"INSERT INTO {_PROGRESS} VALUES (0, '', %s)", (self._program,))
        self._connection.commit()
        self._indexed.clear()

    def index(self, tables: Sequence[str]) -> None:
        """Makes the other indices of these tables, if they are not there yet."""
        for name in set(tables) - self._indexed:
            for index in self._tables[name].indexes:
                self._create_index(name, index)
        self._indexed.update(tables)

    def save(self, played: int, root: bytes) -> None:
        """Commits what was written, with how far the replay is."""
        self.cursor.execute(f"UPDATE {_PROGRESS} SET played = %s, root = %s", (played, root))
        self._connection.commit()

    def plan_for_all_rows(self) -> None:
        """For the rest of the transaction statements read whole tables."""
        self.cursor.execute(_PLAN_FOR_ALL_ROWS)

    def analyze(self) -> None:
        """Lets the planner know what is in the tables."""
        self.cursor.execute(f"ANALYZE {', '.join(self._tables)}")

    def roll_back(self) -> None:
        """Drops what was not committed, and the view of the moment that went with it."""
        self._connection.rollback()

    def drop(self) -> None:
        """Removes the schema."""
        self._connection.rollback()
        self.cursor.execute(f'DROP SCHEMA IF EXISTS "{self.name}" CASCADE')
        self._connection.commit()

    def _create_index(self, table: str, index: sa.Index) -> None:
        columns = ", ".join(str(column.name) for column in index.columns)
        unique = "UNIQUE " if index.unique else ""
        self.cursor.execute(f"CREATE {unique}INDEX IF NOT EXISTS {index.name} ON {table} ({columns})")


def program_digest(service: str) -> str:
    """A digest of the code that makes rows of events: what another version began is not gone on with."""
    digest = sha256()
    for package in ("audit", "shared", f"services.{service}"):
        (folder,) = importlib.import_module(package).__path__
        for path in sorted(Path(folder).glob("*.py*")):  # and what is compiled
            digest.update(path.name.encode() + b"\n" + path.read_bytes())
    return digest.hexdigest()
