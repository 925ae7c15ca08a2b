"""Checks a log's tiles against its signed checkpoint, and against one that the auditor kept.

The published checkpoint must be signed by the log's key, its root must be the one of the entries in the tiles, and the tree
of the kept checkpoint's size must have the kept root. It reads files only, bundle by bundle.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from audit.findings import Findings
from shared.checkpoint import Checkpoint, open_checkpoint
from shared.errors import InvalidArgument, LetheError, NotFound, Tampered
from shared.merkle import EMPTY_ROOT, Frontier
from shared.settings import Settings
from shared.signed_note import Verifier
from shared.tiles import TILE_WIDTH, TileReader, files_in

Progress = Callable[[int, int], object]
"""Is told how much of how much is done."""


def read_published(settings: Settings, service: str, findings: Findings) -> tuple[Checkpoint, bytes | None]:
    """The published checkpoint and its note; an empty one where none is published or it does not hold."""
    empty = Checkpoint(f"{settings.cell}/{service}", 0, EMPTY_ROOT)
    try:
        note = (settings.path("tiles", service) / "checkpoint").read_bytes()
    except FileNotFoundError:
        return empty, None
    opened = open_note_of(settings, service, note, "the published checkpoint", findings)
    return opened or empty, note


def open_note_of(settings: Settings, service: str, note: bytes, which: str, findings: Findings) -> Checkpoint | None:
    """A checkpoint of this service's log, signed by its key; None, with a finding, where it does not hold."""
    try:
        verifier = Verifier.parse(settings.path("verifiers", f"log-{service}.vkey").read_text("utf-8"))
        checkpoint = open_checkpoint(note, [verifier])
    except FileNotFoundError:
        findings.add("forked", f"{which} can't be checked: the verifier key of the log is missing")
    except (Tampered, InvalidArgument) as error:
        findings.add("forked", f"{which} does not hold: {error.message}")
    else:
        if checkpoint.origin == f"{settings.cell}/{service}":
            return checkpoint
        findings.add("forked", f"{which} is that of another log: {checkpoint.origin}")
    return None


def check_tiles(tiles: Path, published: Checkpoint, kept: Checkpoint | None, findings: Findings, progress: Progress) -> bool:
    """True if the entries in the tiles are those that the published checkpoint signs."""
    if kept is not None and kept.size > published.size:
        findings.add(
            "truncated",
            f"the checkpoint that was kept covers {kept.size} events, the published one {published.size}: "
            "the log was cut short or put back",
            index=published.size,
        )
    frontier = Frontier()
    reader = TileReader(files_in(tiles), published.size)
    kept_root = EMPTY_ROOT if kept is not None and kept.size == 0 else None
    other: list[int] = []  # entries that are not what the hash tiles say
    try:
        for number in range(-(-published.size // TILE_WIDTH)):
            hashes = [sha256(b"\x00" + entry).digest() for entry in reader.bundle(number)]
            signed = reader.tile(0, number)
            if hashes != signed:
                other += [frontier.size + at for at, leaf in enumerate(hashes) if leaf != signed[at]]
            for leaf in hashes:
                frontier.append(leaf)
                if kept is not None and frontier.size == kept.size:
                    kept_root = frontier.root()
            progress(frontier.size, published.size)
        tree_root = reader.root()
    except NotFound as error:
        findings.add("truncated", f"the tiles do not reach as far as the checkpoint: {error.details.get('path')} is missing")
        return False
    except LetheError as error:
        findings.add("changed", f"the tiles can't be read: {error.message}, {error.details.get('path')}")
        return False
    good = _judge_root(frontier.root(), tree_root, published, other, findings)
    if kept is not None and kept_root is not None and kept_root != kept.root:
        findings.add(
            "forked", f"the first {kept.size} events have not the root of the checkpoint that was kept: history was rewritten"
        )
    return good


def _judge_root(root: bytes, tree_root: bytes, published: Checkpoint, other: list[int], findings: Findings) -> bool:
    if root == published.root:
        for index in other:
            findings.add("changed", "the hash in the tiles is not the one of the entry", index=index)
        if not other and tree_root != root:
            findings.add("changed", "the upper tiles are not those of the signed tree")
        return True
    if tree_root == published.root and other:
        for index in other:
            findings.add("changed", "the entry in the tiles is not the one that was signed", index=index)
    else:
        findings.add("forked", "the tiles have not the root that the published checkpoint signs")
    return False
