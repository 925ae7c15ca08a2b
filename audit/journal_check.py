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
from audit.public_log import PublicLog
from shared.cut_journal import Cut, read
from shared.errors import Tampered

GRACE = timedelta(seconds=60)
"""How long a committed event, or a cut, may be on its way into the log, a checkpoint, the journal."""


def read_journal(log: PublicLog, findings: Findings) -> list[Cut] | None:
    """The journal's entries, verified; None, with a finding, where it does not hold."""
    if not log.journal.exists():
        return []
    try:
        octets = base64.b64decode(log.journal_key.read_text("utf-8"), validate=True)
        return read(log.journal, Ed25519PublicKey.from_public_bytes(octets))
    except FileNotFoundError:
        findings.add("journal", "the cut journal can't be checked: its verifier key is missing")
    except ValueError:
        findings.add("journal", "the cut journal can't be checked: its verifier key can't be read")
    except Tampered as error:
        findings.add("journal", f"{error.message} (line {error.details.get('line')})")
    return None


def compare_cuts(
    journal: list[Cut], cuts: Mapping[tuple[str, str], datetime], now: datetime, findings: Findings, partial: bool = False
) -> None:
    """Adds a finding for each person whose cut only one of the two knows. A cut of this moment may be on its way.

    `now` is when log and journal were read; `partial`: `cuts` are those of a part of the log, the journal's are not.
    """
    noted = {(cut.account, cut.subject) for cut in journal if cut.kind == "person"}
    for (account, person), at in cuts.items():
        if (account, person) not in noted and now - at > GRACE:
            findings.add("journal", f"the log says that person {person} was cut, the cut journal does not")
    for cut in () if partial else journal:
        if cut.kind == "person" and (cut.account, cut.subject) not in cuts and now - cut.time > GRACE:
            findings.add("journal", f"the cut journal says that person {cut.subject} was cut, the log does not")
