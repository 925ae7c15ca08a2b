"""The suppression list after databases were put back (mission E10): it is outside of them as well, so nobody who was erased
since comes in again, and what somebody did to it is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audit.verify import verify
from shared.errors import Tampered
from shared.ids import new_id
from shared.rotation import rotate
from shared.settings import SERVICES
from shared.suppression_files import SuppressionFiles
from tests.support.portal import ALICE, mail
from tests.support.putting_back import Desk

WHY = "this mail belonged to a person who was erased"


def imported(desk: Desk, *mails: bytes) -> list[str]:
    """What becomes of mails: why they are refused, or that they are not."""
    done: Any = desk.one.call("tickets", "import_mails", {"mails": list(mails)})
    desk.one.settle()
    return [one.reason or one.status for one in done.mails]


def list_of(desk: Desk) -> Path:
    return desk.databases.settings.path("tiles", "erasure") / "suppression" / f"{desk.one.account}.jsonl"


def findings(desk: Desk) -> list[str]:
    desk.cell.sign("erasure")
    verdict = verify(desk.databases.settings, "erasure", patience_seconds=0.2)
    assert {"journal"} >= {one.kind for one in verdict.findings}
    return [one.text for one in verdict.findings]


def test_who_came_and_went_since_the_copy_does_not_come_again(desk: Desk) -> None:
    """No database knows that there was anybody; the list was begun, and its key made, after the copy."""
    carol = f"carol@{new_id()}.example"
    theirs = mail(f"Carol <{carol}>", "c1", "A lamp", "It is dark.")
    desk.copy()
    assert ["imported"] == imported(desk, theirs)
    desk.erase(carol)
    assert [WHY] == imported(desk, theirs)
    desk.put_back()
    done = desk.databases.recover(desk.cell)
    assert done["erasure"].suppressed and not any(one.unsuppressed for one in done.values())
    other = mail(f"Carol <{carol}>", "c2", "Another", "That no service had seen.")
    assert [WHY, "the sender was erased, and this is from before"] == imported(desk, theirs, other)
    desk.check_whole()


def test_who_does_not_open_any_more_does_not_come_again(desk: Desk) -> None:
    """The epochs of copy and list have ended: the rotation took the list's key along."""
    desk.copy()
    desk.erase(ALICE)
    for service in SERVICES:
        rotate(desk.databases.settings, service)
    desk.put_back()
    done = desk.databases.recover(desk.cell)
    assert 1 == done["contacts"].persons and 0 == done["contacts"].unsuppressed
    assert [WHY] == imported(desk, mail(f"Alice Adams <{ALICE}>", "a1", "The kettle", "My kettle leaks."))
    before = desk.databases.rows("erasure", "SELECT token, day FROM lethe.suppression ORDER BY 1")
    assert desk.databases.recover(desk.cell)["erasure"].suppressed
    assert before == desk.databases.rows("erasure", "SELECT token, day FROM lethe.suppression ORDER BY 1")
    desk.check_whole()


def test_without_a_list_those_who_do_not_open_any_more_are_counted(desk: Desk) -> None:
    desk.copy()
    desk.erase(ALICE)
    for service in SERVICES:
        rotate(desk.databases.settings, service)
    list_of(desk).unlink()
    desk.put_back()
    assert 1 == desk.databases.recover(desk.cell)["contacts"].unsuppressed


def test_the_list_of_an_account_that_ended_goes_and_stays_away(desk: Desk) -> None:
    """Also where the end is repeated, and a list that somebody put back goes again."""
    settings, other = desk.databases.settings, desk.other
    other.call("erasure", "request_erasure", {"who": ALICE, "reason": "asked"})
    other.settle()
    desk.copy()
    path = list_of(desk).with_name(f"{other.account}.jsonl")
    kept = path.read_bytes()
    other.end()
    other.settle()
    assert other.account not in SuppressionFiles(settings).accounts()
    path.write_bytes(kept)
    desk.put_back()
    desk.databases.recover(desk.cell)
    assert other.account not in SuppressionFiles(settings).accounts() and {} == other.left()
    desk.check_whole()


def test_what_somebody_did_to_a_list_is_found_and_not_obeyed(desk: Desk) -> None:
    """A changed one and a missing one by the auditor, a changed one and a short one by a recovery."""
    desk.erase(ALICE)
    assert [] == findings(desk)
    path = list_of(desk)
    whole = path.read_bytes()
    desk.copy()
    path.unlink()
    (missing,) = findings(desk)
    assert "its suppression list is missing" in missing and desk.one.account in missing
    path.write_bytes(whole.replace(b'"day":"2', b'"day":"1', 1))
    (changed,) = findings(desk)
    assert "not signed as it stands (line 1)" in changed
    desk.erase(desk.one.bob)
    desk.put_back()
    with pytest.raises(Tampered, match="not signed as it stands"):
        desk.databases.recover(desk.cell)
    path.write_bytes(whole.splitlines(keepends=True)[0])
    with pytest.raises(Tampered, match="lacks entries that its database has"):
        desk.databases.recover(desk.cell)
