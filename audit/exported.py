"""The form of an audit export: what stands in its folder, and how one event is a line of it.

Place: `export.py` writes it, `verify_offline.py` checks it, `sources.py` reads it for the trail and the report. An export holds
no ciphertext and no key; of a sealed part it says whether it was still there. `manifest.json` is not signed and proves
nothing by itself: what it says is compared with the rest.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from audit.event_checks import ExportedEvent
from audit.log_rows import SALT_BYTES
from shared import cut_journal
from shared.errors import InvalidArgument, Tampered
from shared.events import UNREADABLE
from shared.personal import NotPersonal
from shared.tiles import NO_FILE

FORM = "lethe audit export 1"
MANIFEST = "manifest.json"
VERIFIERS = "verifiers"
EVENTS = "events.jsonl"
JOURNAL = cut_journal.FILE_NAME
CHECKPOINT = "checkpoint"

_MOST_MANIFEST_BYTES = 1_000_000
_Hex = Annotated[str, NotPersonal("a hash, in hexadecimal")]
_ServiceName = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{1,40}$"), NotPersonal("the name of a service")]


class ExportedLog(msgspec.Struct, frozen=True, kw_only=True):
    """One service's log in an export."""

    origin: Annotated[str, NotPersonal("the name of a log")]
    size: int
    """How many events its checkpoint covers; 0 and no checkpoint where none was published."""
    root: _Hex
    events: int
    """Lines in `events.jsonl`: as many as its size, unless indices were missing."""
    sha256: _Hex


class ExportManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an export consists of."""

    form: Annotated[str, NotPersonal("the name of this form")] = FORM
    cell: Annotated[str, NotPersonal("the name of a cell")]
    taken_at: Annotated[datetime, msgspec.Meta(tz=True)]
    services: dict[_ServiceName, ExportedLog]


class ExportedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `events.jsonl`: an event in the order of the log. `envelope` are the canonical bytes themselves. At an index
    without an event the line is `{"index":7,"gone":true}`."""

    index: int
    salt: str
    parts: list[Literal["sealed", "pruned"]]
    envelope: msgspec.Raw


GONE_END = b',"gone":true}\n'
"""How the line of an index ends at which there is no event: it went with its account, or somebody took it."""
_GONE_LINE = re.compile(rb'\{"index":(0|[1-9][0-9]{0,18}),"gone":true\}\n')
_line_decoder = msgspec.json.Decoder(ExportedLine)


def encode_line(index: int, salted: bytes, sealed: Iterable[object]) -> bytes:
    """The line of an event, whose salt and envelope are `salted`; of each sealed part, whether there is anything."""
    parts = b",".join(b'"sealed"' if part else b'"pruned"' for part in sealed)
    salt = base64.b64encode(salted[:SALT_BYTES])
    return b'{"index":%d,"salt":"%b","parts":[%b],"envelope":%b}\n' % (index, salt, parts, salted[SALT_BYTES:])


def encode_gone(index: int) -> bytes:
    """The line of an index at which there is no event."""
    return b'{"index":%d%b' % (index, GONE_END)


def decode_line(raw: bytes) -> ExportedEvent:
    """The event of a line, without anything in it where there is none. Raises `Tampered` where it is no line, to the byte."""
    if gone := _GONE_LINE.fullmatch(raw):
        return ExportedEvent(int(gone[1]), b"", ())
    try:
        line = _line_decoder.decode(raw)
        salt = base64.b64decode(line.salt, validate=True)
    except (*UNREADABLE, binascii.Error, ValueError):
        raise Tampered("the line can't be read") from None
    event = ExportedEvent(line.index, salt + bytes(line.envelope), tuple(part == "sealed" for part in line.parts))
    if len(salt) != SALT_BYTES or encode_line(*event) != raw:
        raise Tampered("the line is not in its one form")
    return event


def read_manifest(folder: Path) -> ExportManifest:
    """The manifest of an export. Raises `InvalidArgument` where the folder is none, `Tampered` where it can't be read."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            octets = file.read(_MOST_MANIFEST_BYTES + 1)
    except NO_FILE:
        rule = f"must be a folder that `lethe audit export` wrote: it has no {MANIFEST}"
        raise InvalidArgument(field="folder", rule=rule) from None
    try:
        manifest = msgspec.json.decode(octets, type=ExportManifest)
    except UNREADABLE:
        raise Tampered("the manifest of the export can't be read") from None
    if manifest.form != FORM:
        raise InvalidArgument(field="folder", rule=f"must have the form {FORM!r}")
    return manifest
