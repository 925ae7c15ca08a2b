"""Compares the cut journal with the log's own cuts: neither may know of a cut that the other does not.

The journal decides what a restored database forgets again (mission E10, A5), so an entry that somebody removed would bring
a person back, and one that somebody added would erase one.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.findings import Findings
from shared import clock
from shared.cut_journal import Cut, journal_key, read
from shared.errors import Tampered
from shared.settings import Settings


def read_journal(settings: Settings, service: str, findings: Findings) -> list[Cut] | None:
    """The journal's entries, verified; None, with a finding, where it does not hold."""
    path = settings.path("tiles", service) / "cut-journal.jsonl"
    if not path.exists():
        return []
    public_key = _verifier(settings, service)
    if public_key is None:
        findings.add("journal", "the cut journal can't be checked: its verifier key is missing")
        return None
    try:
        return read(path, public_key)
    except Tampered as error:
        findings.add("journal", f"{error.message} (line {error.details.get('line')})")
        return None


def compare_cuts(journal: list[Cut], cuts: Mapping[tuple[str, str], datetime], grace: timedelta, findings: Findings) -> None:
    """Adds a finding for each person whose cut only one of the two knows. A cut of this moment may be on its way."""
    noted = {(cut.account, cut.subject) for cut in journal if cut.kind == "person"}
    now = clock.now()
    for (account, person), at in cuts.items():
        if (account, person) not in noted and now - at > grace:
            findings.add("journal", f"the log says that person {person} was cut, the cut journal does not")
    for cut in journal:
        if cut.kind == "person" and (cut.account, cut.subject) not in cuts and now - cut.time > grace:
            findings.add("journal", f"the cut journal says that person {cut.subject} was cut, the log does not")


def _verifier(settings: Settings, service: str) -> Ed25519PublicKey | None:
    """The journal's public key: published beside the other verifier keys, or, on a local stack, from the key itself."""
    try:
        encoded = settings.path("verifiers", f"journal-{service}.key").read_text("utf-8")
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded, validate=True))
    except FileNotFoundError:
        pass
    try:
        if settings.path("root-keys", service, "journal.key").exists():
            return journal_key(settings.path("root-keys"), service).public_key()
    except PermissionError:
        pass
    return None
