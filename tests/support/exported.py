"""An exported folder, made from the logs of a home: what an auditor takes along, for tests of what reads it."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from audit.reading import SALT_BYTES, LogRow, auditor_connection, read_log
from audit.sources import FORM
from shared import clock
from shared.checkpoint import parse_checkpoint
from shared.settings import SERVICES, Settings


def export(settings: Settings, folder: Path, services: Sequence[str] = SERVICES) -> Path:
    """Writes the logs as far as they are signed. The folder's path."""
    folder.mkdir(parents=True)
    described = {service: _export_log(settings, folder / service, service) for service in services}
    manifest = {"form": FORM, "cell": settings.cell, "taken_at": clock.now().isoformat(), "services": described}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _export_log(settings: Settings, folder: Path, service: str) -> dict[str, object]:
    shutil.copytree(settings.path("tiles", service), folder)
    checkpoint = parse_checkpoint((folder / "checkpoint").read_text().split("\n\n")[0] + "\n")
    lines: list[bytes] = []
    with auditor_connection(settings, service) as connection:
        read_log(connection, lambda rows: lines.extend(map(_line, rows)), end=checkpoint.size)
    events = b"".join(lines)
    (folder / "events.jsonl").write_bytes(events)
    return {
        "origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex(), "events": len(lines),
        "sha256": hashlib.sha256(events).hexdigest(),
    }  # fmt: skip


def _line(row: LogRow) -> bytes:
    parts = ["pruned" if part is None else "sealed" for part in row.sealed]
    head = {"index": row.at, "salt": base64.b64encode(row.salted[:SALT_BYTES]).decode(), "parts": parts}
    return json.dumps(head)[:-1].encode() + b', "envelope": ' + row.envelope + b"}\n"
