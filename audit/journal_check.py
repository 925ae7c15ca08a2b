"""Compares the cut journal with the log's own cuts: neither may know of a cut that the other does not.

The journal decides what a restored database forgets again (mission E10, A5), so an entry that somebody removed would bring
a person back, and one that somebody added would erase one. So would a suppression list that was changed or taken away: whether
those that are outside of erasure's database are as they were signed is looked at here too.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import timedelta

from audit.cut_notes import CutNotes
from audit.findings import Findings
from audit.public_log import PublicLog
from shared.cut_journal import Cut, public_key, read
from shared.errors import Tampered
from shared.settings import Settings
from shared.suppression_files import SuppressionFiles
from shared.tiles import NO_FILE

_LOOK_AGAIN_SECONDS = 0.1
GRACE = timedelta(seconds=60)
"""How long a committed event may be on its way into the log and a checkpoint."""


def read_journal(log: PublicLog, findings: Findings) -> list[Cut] | None:
    """The journal's entries, verified; None, with a finding, where it does not hold."""
    if not log.journal.exists():
        return []
    try:
        return read(log.journal, public_key(log.journal_key))
    except NO_FILE:
        findings.add("journal", "the cut journal can't be checked: its verifier key is missing")
    except ValueError:
        findings.add("journal", "the cut journal can't be checked: its verifier key can't be read")
    except Tampered as error:
        findings.add("journal", f"{error.message} (line {error.details.get('line')})")
    return None


def check_suppression_lists(
    settings: Settings, log: PublicLog, journal: list[Cut], gone: Collection[str], findings: Findings
) -> None:
    """Adds a finding for each suppression list that is not as it was signed, and for each that is not there although somebody
    was erased in its account: after a recovery their mail could be imported again. `journal` is erasure's own."""
    files = SuppressionFiles(settings)
    listed = files.accounts()
    for account in listed:
        try:
            files.entries(account)
        except Tampered as error:
            line = f" (line {error.details['line']})" if "line" in error.details else ""
            findings.add("journal", f"account {account}: {error.message}{line}")
        if not files.has_key(account):
            findings.add("journal", f"account {account}: the key of its suppression list is missing")
    missing = {cut.account for cut in journal if cut.kind == "person"} - set(listed) - set(gone)
    if missing:  # an account that ends meanwhile is in the journal before its list goes
        missing -= {cut.account for cut in read_journal(log, Findings()) or () if cut.kind == "account"}
    for account in sorted(missing):
        findings.add("journal", f"account {account}: somebody was erased in it, and its suppression list is missing")


def await_cuts(
    log: PublicLog, journal: list[Cut], cuts: CutNotes, gone: Collection[str], patience_seconds: float
) -> list[Cut]:
    """The journal, read again as long as it lacks a cut of the log: one that was made meanwhile is noted in a moment."""
    until = time.monotonic() + patience_seconds
    while unknown_to_journal(journal, cuts, gone) and time.monotonic() < until:
        time.sleep(_LOOK_AGAIN_SECONDS)
        longer = read_journal(log, Findings())
        if longer is None or longer[: len(journal)] != journal:
            break  # what it said before, it said signed: that is what is compared
        journal = longer
    return journal


def compare_cuts(
    journal: list[Cut], cuts: CutNotes, gone: Collection[str], findings: Findings, partial: bool = False
) -> None:
    """Adds a finding for each cut that only one of the two knows. `cuts` were noted after the journal was read; `gone` are the
    accounts of which the log says that they are: what it said of their cuts went with them.

    `partial`: `cuts` and `gone` are those of a part of the log, the journal's are not.
    """
    for text in unknown_to_journal(journal, cuts, gone):
        findings.add("journal", text)
    in_log = cuts.named()
    for cut in journal:
        if cut.account in gone and cut.kind in ("person", "item", "account"):
            continue
        if cut.kind == "account" and not partial:
            findings.add("journal", f"the cut journal says that account {cut.account} is gone, the log does not")
        elif cut.kind == "person" and not partial and (cut.account, cut.subject) not in cuts.persons:
            findings.add("journal", f"the cut journal says that person {cut.subject} was cut, the log does not")
        elif cut.kind == "item" and not partial and (cut.account, cut.subject) not in in_log:
            findings.add("journal", f"the cut journal says that item {cut.subject} was cut, the log does not")
        elif cut.kind not in ("person", "item", "account", "epoch"):
            findings.add("journal", f"the cut journal has an entry of a kind that there is not, of {cut.time.isoformat()}")


def unknown_to_journal(journal: list[Cut], cuts: CutNotes, gone: Collection[str]) -> list[str]:
    """What the log says of cuts and the journal does not, in words."""
    noted = {(cut.kind, cut.account, cut.subject) for cut in journal}
    persons = [
        f"the log says that person {person} was cut, the cut journal does not"
        for account, person in cuts.persons
        if ("person", account, person) not in noted
    ]
    items = [
        f"the log says that an item was cut ({', '.join(item.ids)}), the cut journal does not"
        for item in cuts.items
        if not any(("item", item.account, one) in noted for one in item.ids)
    ]
    accounts = [
        f"the log says that account {account} is gone, the cut journal does not"
        for account in sorted(gone)
        if ("account", account, account) not in noted
    ]
    return persons + items + accounts


def known_to_log(journal: list[Cut], cuts: CutNotes, gone: Collection[str]) -> int:
    """How many of the journal's entries, from the first, come before one that the log does not know: for a copy that is to end
    where the copy of the log does."""
    in_log = cuts.named()
    for count, cut in enumerate(journal):
        if cut.kind != "epoch" and cut.account not in gone and (cut.account, cut.subject) not in in_log:
            return count
    return len(journal)
