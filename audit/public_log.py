"""Where one log's public files lie: checkpoint, tiles, cut journal, and the keys that they are signed with.

On a stack they are in its home, in an export in its folder, under the same names. A checkpoint that the log's own key has not
signed is a finding and is not believed. It reads; it never writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from audit.findings import Findings
from shared.checkpoint import Checkpoint, open_checkpoint
from shared.cut_journal import journal_path
from shared.errors import InvalidArgument, Tampered
from shared.merkle import EMPTY_ROOT
from shared.settings import Settings
from shared.signed_note import Verifier
from shared.tiles import NO_FILE


@dataclass(frozen=True)
class PublicLog:
    """The public files of one service's log: `tiles` has its checkpoint and journal too, `verifiers` the public keys."""

    service: str
    origin: str
    tiles: Path
    verifiers: Path

    @classmethod
    def of(cls, settings: Settings, service: str) -> PublicLog:
        """The log of a service of this stack."""
        return cls(service, f"{settings.cell}/{service}", settings.path("tiles", service), settings.path("verifiers"))

    @property
    def journal(self) -> Path:
        """The cut journal."""
        return journal_path(self.tiles)

    @property
    def journal_key(self) -> Path:
        """The public key that the journal's lines are signed with."""
        return self.verifiers / f"journal-{self.service}.key"

    @property
    def key(self) -> Path:
        """The verifier key of the log."""
        return self.verifiers / f"log-{self.service}.vkey"

    def published(self, findings: Findings) -> tuple[Checkpoint, bytes | None]:
        """The published checkpoint and its note; an empty one where none is published or it does not hold."""
        empty = Checkpoint(self.origin, 0, EMPTY_ROOT)
        try:
            note = (self.tiles / "checkpoint").read_bytes()
        except NO_FILE:
            return empty, None
        return self.open_note(note, "the published checkpoint", findings) or empty, note

    def open_note(self, note: bytes, which: str, findings: Findings) -> Checkpoint | None:
        """A checkpoint of this log, signed by its key; None, with a finding, where it does not hold."""
        try:
            checkpoint = open_checkpoint(note, [Verifier.parse(self.key.read_text("utf-8"))])
        except NO_FILE:
            findings.add("forked", f"{which} can't be checked: the verifier key of the log is missing")
        except (Tampered, InvalidArgument, UnicodeDecodeError) as error:
            reason = error.message if isinstance(error, (Tampered, InvalidArgument)) else "the verifier key can't be read"
            findings.add("forked", f"{which} does not hold: {reason}")
        else:
            if checkpoint.origin == self.origin:
                return checkpoint
            findings.add("forked", f"{which} is that of another log: {checkpoint.origin}")
        return None


def read_published(settings: Settings, service: str, findings: Findings) -> tuple[Checkpoint, bytes | None]:
    """The published checkpoint of a service of this stack, and its note; an empty one where there is none that holds."""
    return PublicLog.of(settings, service).published(findings)
