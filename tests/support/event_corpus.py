"""The corpus of events: of every type, in every schema version ever released, one event as its service once wrote it.

`tests/contract/event_corpus/<service>.jsonl` holds them in the order in which they were added: the canonical envelope as it
is, and its sealed parts, sealed under a key that everybody may know. What they amount to stands beside it: `events.json`, what
each reads as today, and `rows.jsonl`, the read model after each. `pins.json` has the SHA-256 of each line. A line is never
changed and never goes: logs with such events exist. `python -m tests.support.event_corpus` adds what is new, and nothing else.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import types
import typing
import uuid
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import sqlalchemy as sa

from audit.reading import auditor_connection
from audit.replay import tables_of
from services.erasure.participants import event_types
from shared.events import (
    Envelope,
    Event,
    EventTypes,
    HexDigest,
    Recorded,
    SealedField,
    canonical,
    decode_envelope,
    sealed_digest,
)
from shared.ids import StoredId
from shared.personal import Erased, hints_of
from shared.sealing import SealingKey, open_sealed, place_of
from shared.settings import Settings
from shared.work import Project
from tests.support.databases import fresh_home, server, superuser

FOLDER = Path(__file__).resolve().parents[1] / "contract" / "event_corpus"
PINS = FOLDER / "pins.json"
KEY = SealingKey(sha256(b"the key of the event corpus").digest())
ACCOUNT = str(uuid.uuid5(uuid.NAMESPACE_OID, "account_id"))
_TIME = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
_LAST = ("SubjectCut", "ErasureReceipted")
_SAME_PERSON = ("owner_id", "author_id", "requester_id", "persons")


class Specimen(NamedTuple):
    """One event of the corpus: its canonical envelope, and its sealed parts in their order."""

    line: bytes
    raw: bytes
    sealed: list[bytes]

    @property
    def envelope(self) -> Envelope:
        return decode_envelope(self.raw)

    @property
    def name(self) -> str:
        """Type and schema version, as `pins.json` names it."""
        return f"{self.envelope.type} {self.envelope.schema}"

    def values(self) -> dict[str, bytes]:
        """Its sealed values, opened."""
        envelope = self.envelope
        return {
            field.field: open_sealed(
                KEY.key, part, place_of(envelope.service, envelope.stream, envelope.event, envelope.type, field.field)
            )
            for field, part in zip(envelope.sealed, self.sealed, strict=True)
        }


def specimens(service: str) -> list[Specimen]:
    """The events of one service, in the order in which they were added."""
    path = FOLDER / f"{service}.jsonl"
    return [_specimen(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def pins() -> dict[str, str]:
    """The SHA-256 of each line, by type and version."""
    found: dict[str, str] = json.loads(PINS.read_text()) if PINS.exists() else {}
    return found


def wanted(kinds: EventTypes) -> Iterator[tuple[str, int]]:
    """Every type of a service in every version that there was, the erasure last: it removes rows."""
    names = [name for name in kinds.by_name if name.partition(".")[2] not in _LAST]
    for name in (*names, *(f"{kinds.service}.{name}" for name in _LAST if f"{kinds.service}.{name}" in kinds.by_name)):
        for version in range(1, kinds.by_name[name].schema_version + 1):
            yield name, version


def _specimen(line: bytes) -> Specimen:
    data = json.loads(line)
    return Specimen(line, data["envelope"].encode(), [b64decode(part) for part in data["sealed"]])


# Making what is new


def grow() -> list[str]:
    """Adds an event for each type in its present version that has none; gives their names. An older version can't be made any
    more: it had to be added while it was the present one."""
    added, pinned = [], pins()
    for service, kinds in event_types().items():
        lines = [one.line for one in specimens(service)]
        for name, version in wanted(kinds):
            kind = kinds.by_name[name]
            if f"{name} {version}" not in pinned and version == kind.schema_version:
                lines.append(_made(kinds, name, kind, len(lines) + 1))
                pinned[f"{name} {version}"] = sha256(lines[-1]).hexdigest()
                added.append(f"{name} {version}")
        (FOLDER / f"{service}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    PINS.write_text(json.dumps(pinned, indent=2, sort_keys=True) + "\n")
    return added


def _made(kinds: EventTypes, name: str, kind: type[Event], version: int) -> bytes:
    hints = hints_of(kind)
    # A later version is about another thing, and so is the other beginning of a grant
    ids = " break-glass" if "BreakGlass" in name else "" if kind.schema_version == 1 else f" {kind.schema_version}"
    event = kind(**{field: example(hint, field, ids) for field, hint in hints.items() if field in kind.__struct_fields__})
    stream, event_id = f"corpus/{kinds.service}", str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {kind.schema_version}"))
    parts, fields = [], []
    for field, personal in kinds.personal[kind].items():
        value = kinds.encode_value(event, field)
        assert value is not None
        parts.append(KEY.seal(value, place_of(kinds.service, stream, event_id, name, field)))
        item = getattr(event, personal.item)
        fields.append(SealedField(digest=sealed_digest(parts[-1]), field=field, item=item, key=KEY.id.hex()))
    envelope = Envelope(
        account=ACCOUNT, actor=_id("user_id"), causation=None, data=kinds.public_data(event), event=event_id,
        schema=kind.schema_version, sealed=fields, service=kinds.service, stream=stream,
        time=_TIME + timedelta(seconds=version), type=name, version=version,
    )  # fmt: skip
    line = {"envelope": canonical(envelope).decode(), "sealed": [b64encode(part).decode() for part in parts]}
    return json.dumps(line, ensure_ascii=False).encode()


def _id(field: str, ids: str = "") -> str:
    noun = "person_id" if field in _SAME_PERSON else field.removesuffix("s") if field.endswith("_ids") else field
    return str(uuid.uuid5(uuid.NAMESPACE_OID, noun + ids))


def example(hint: Any, field: str, ids: str) -> Any:
    """A value of a type: always the same, and with something in it. Ids are those of their field's noun."""
    if hint == StoredId:
        return _id(field, ids)
    if hint == HexDigest:
        return sha256(field.encode()).hexdigest()
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return example(arguments[0], field, ids)
    if origin is Literal:
        return arguments[0]
    if origin in (typing.Union, types.UnionType):
        return example(next(one for one in arguments if one not in (Erased, type(None))), field, ids)
    if origin is list:
        return [] if field == "kept" else [example(arguments[0], field, ids)]
    if origin is tuple:
        return tuple(example(one, field, ids) for one in arguments)
    if origin is dict:
        return {example(arguments[0], field, ids): example(arguments[1], field, ids)}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint(**{name: example(one, name, ids) for name, one in hints_of(hint).items() if name in hint.__struct_fields__})
    simple: dict[Any, Any] = {str: f"a {field}", int: 1, bool: True, datetime: _TIME, float: 1.0}
    return simple[hint]


# What they amount to


def outcomes(service: str) -> list[Any]:
    """What each event of a service is on record to amount to."""
    path = _outcomes_file(service)
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def computed_outcomes(settings: Settings, service: str) -> Iterator[Any]:
    """What each event of a service amounts to in this version of the program: how it reads, and all rows after it, as its
    statements one after the other make them in tables like the live ones."""
    kinds = event_types()[service]
    with auditor_connection(settings, service) as connection, connection.cursor() as cursor:
        tables = tables_of(service)
        for table in tables:
            cursor.execute(f'CREATE TEMPORARY TABLE {table.name} (LIKE "{table.schema}".{table.name} INCLUDING ALL)')
        cursor.execute("SET LOCAL search_path = pg_temp")
        for one in specimens(service):
            _project(cursor, one)
            rows = {str(table.name): _rows_of(cursor, table) for table in tables}
            yield {
                "type": one.name,
                "event": msgspec.to_builtins(kinds.decode(one.envelope, one.values())),
                "rows": {name: found for name, found in rows.items() if found},
            }


def write_log(settings: Settings, service: str) -> None:
    """Puts the events of a service into its empty log as they were committed once, and makes their rows one by one."""
    connection = superuser(settings, service)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica; SET search_path = lethe")
        for one in specimens(service):
            envelope = one.envelope
            cursor.execute(
                "INSERT INTO event (account_id, stream, version, event_id, type, schema_version, occurred_at, envelope, salt,"
                " sealed) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::bytea[])",
                (
                    envelope.account, envelope.stream, envelope.version, envelope.event, envelope.type, envelope.schema,
                    envelope.time, one.raw, os.urandom(16), one.sealed,
                ),
            )  # fmt: skip
            _project(cursor, one)
    connection.close()


def _project(cursor: Any, one: Specimen) -> None:
    envelope = one.envelope
    kinds = event_types()[envelope.service]
    project: Project = importlib.import_module(f"services.{envelope.service}.projections").project
    sealed: dict[str, bytes | None] = {field.field: part for field, part in zip(envelope.sealed, one.sealed, strict=True)}
    for statement in project(Recorded(envelope=envelope, event=kinds.decode(envelope), sealed=sealed)):
        cursor.execute(statement.sql, statement.values or None)


def _rows_of(cursor: Any, table: sa.Table) -> list[str]:
    """The rows as text: sealed bytes by their digests."""
    columns = [
        f"encode(sha256({column.name}), 'hex')" if isinstance(column.type, sa.LargeBinary) else f"{column.name}::text"
        for column in table.columns
    ]
    cursor.execute(f"SELECT concat_ws(' | ', {', '.join(f'COALESCE({one}, chr(8709))' for one in columns)}) FROM {table.name}")
    return sorted(row for (row,) in cursor.fetchall())


def _outcomes_file(service: str) -> Path:
    return FOLDER / f"{service}.outcomes.jsonl"


def main() -> None:
    """Adds what is new to the corpus."""
    for one in grow():
        print(f"added {one}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder, server(Path(folder) / "server") as url:
        with fresh_home(Path(folder) / "home", url) as settings:
            for service in event_types():
                known = outcomes(service)
                new = list(computed_outcomes(settings, service))[len(known) :]
                with _outcomes_file(service).open("ab") as file:
                    file.writelines(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in new)


if __name__ == "__main__":
    main()
