"""The suppression list after databases were put back (mission E10): it is outside of them as well, so nobody who was erased
since comes in again, and what somebody did to it is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audit.verify import verify
from services.erasure.suppression import add_entries, suppress
from shared import clock
from shared.errors import AccountGone, Tampered
from shared.ids import new_id
from shared.resolving import Suppress
from shared.rotation import rotate
from shared.settings import SERVICES
from shared.suppression_files import SuppressionFiles
from shared.work import Work
from tests.support.cell import Cell
from tests.support.databases import superuser
from tests.support.portal import ALICE, mail
from tests.support.putting_back import Desk
from tests.support.stores import closing

WHY = "this mail belonged to a person who was erased"


def imported(desk: Desk, *mails: bytes) -> list[str]:
    """What becomes of mails: why they are refused, or that they are not."""
    done: Any = desk.one.call("tickets", "import_mails", {"mails": list(mails)})
    desk.one.settle()
    return [one.reason or one.status for one in done.mails]


def came_after_a_copy(desk: Desk) -> tuple[str, bytes]:
    """Somebody of whom the copy knows nothing: her address, and the mail that was imported."""
    carol = f"carol@{new_id()}.example"
    theirs = mail(f"Carol <{carol}>", "c1", "A lamp", "It is dark.")
    desk.copy()
    assert ["imported"] == imported(desk, theirs)
    return carol, theirs


def list_of(desk: Desk) -> Path:
    return desk.databases.settings.path("tiles", "erasure") / "suppression" / f"{desk.one.account}.jsonl"


def findings(desk: Desk) -> list[str]:
    desk.cell.sign("erasure")
    verdict = verify(desk.databases.settings, "erasure", patience_seconds=0.2)
    assert {"journal"} >= {one.kind for one in verdict.findings}
    return [one.text for one in verdict.findings]


def test_who_came_and_went_since_the_copy_does_not_come_again(desk: Desk) -> None:
    """No database knows that there was anybody; the list was begun, and its key made, after the copy."""
    carol, theirs = came_after_a_copy(desk)
    desk.erase(carol)
    assert [WHY] == imported(desk, theirs)
    desk.put_back()
    done = desk.databases.recover(desk.cell)
    assert done["erasure"].suppressed and not done["erasure"].incomplete_lists
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
    assert 1 == done["contacts"].persons and 0 == done["erasure"].incomplete_lists
    assert [WHY] == imported(desk, mail(f"Alice Adams <{ALICE}>", "a1", "The kettle", "My kettle leaks."))
    before = desk.databases.rows("erasure", "SELECT token, day FROM lethe.suppression ORDER BY 1")
    assert desk.databases.recover(desk.cell)["erasure"].suppressed
    assert before == desk.databases.rows("erasure", "SELECT token, day FROM lethe.suppression ORDER BY 1")
    desk.check_whole()


def test_a_list_that_is_missing_closes_nothing_and_is_counted(desk: Desk) -> None:
    """However often the recovery runs, and in each that comes after it; of who opens no more, what they sent is taken in again,
    and who is erased then is on the list."""
    desk.copy()
    desk.erase(ALICE)
    for service in SERVICES:
        rotate(desk.databases.settings, service)
    list_of(desk).unlink()
    desk.put_back()
    for _ in range(2):
        assert 1 == desk.databases.recover(desk.cell)["erasure"].incomplete_lists
        desk.check_whole()
    assert ["imported"] == imported(desk, mail(f"Alice Adams <{ALICE}>", "a7", "The kettle", "My kettle leaks."))
    desk.copy()
    desk.erase(desk.one.bob)
    desk.put_back()
    assert 1 == desk.databases.recover(desk.cell)["erasure"].incomplete_lists
    desk.check_whole()


def test_a_list_that_was_taken_away_begins_with_what_the_database_has(desk: Desk) -> None:
    """At the next erasure: who was on it is, and the auditor finds it missing until then."""
    carol, theirs = came_after_a_copy(desk)
    desk.erase(carol)
    list_of(desk).unlink()
    assert 1 == len(findings(desk))
    desk.erase(desk.one.bob)
    assert [] == findings(desk)
    desk.put_back()
    assert 0 == desk.databases.recover(desk.cell)["erasure"].incomplete_lists
    assert [WHY] == imported(desk, theirs)
    desk.check_whole()


def test_what_only_the_copy_has_is_added_to_the_list(desk: Desk) -> None:
    """Somebody brought an older list back: it says from then on that it lacked something."""
    desk.erase(ALICE)
    older = list_of(desk).read_bytes()
    desk.erase(desk.one.bob)
    desk.copy()
    list_of(desk).write_bytes(older)
    desk.one.call("contacts", "add_mailbox", {"address": f"more@{new_id()}.example"})
    desk.put_back()
    for _ in range(2):
        assert 1 == desk.databases.recover(desk.cell)["erasure"].incomplete_lists
    listed = SuppressionFiles(desk.databases.settings).entries(desk.one.account)
    tokens = desk.databases.rows("erasure", "SELECT token FROM lethe.suppression WHERE account_id = %s", desk.one.account)
    assert {token for (token,) in tokens} == {token for one in listed for token in one.tokens}
    desk.check_whole()


def test_the_key_is_that_of_the_replica_that_won(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two replicas suppress something first in an account at once, and the one that comes second is killed before it has
    committed: the list outside is one that opens."""
    carol, theirs = came_after_a_copy(desk)
    replica = Cell(desk.databases.settings)
    mine, newest, once = replica.store("erasure"), Work._newest_account_key, []

    def first_the_other(work: Work) -> Any:
        if work.store is mine and not once:
            once.append(work)
            desk.erase(carol)
        return newest(work)

    class Killed(BaseException):
        pass

    monkeypatch.setattr(Work, "_newest_account_key", first_the_other)
    with pytest.raises(Killed), mine.work(desk.one.account) as work:
        add_entries(work, [("address", "dave@x.example")], clock.now().date())
        raise Killed
    replica.close()
    desk.one.settle()
    desk.put_back()
    desk.databases.recover(desk.cell)
    assert once and [WHY] == imported(desk, theirs)
    desk.check_whole()


def test_a_key_that_can_not_be_read_is_brought_again(desk: Desk) -> None:
    """By the next erasure, since the database has it. It keeps nobody from a rotation, and the auditor finds one missing. Where
    no database has it, a recovery does not guess."""
    settings = desk.databases.settings
    desk.copy()
    desk.erase(ALICE)
    key = list_of(desk).with_suffix(".key")
    key.write_bytes(key.read_bytes()[:-20])
    rotate(settings, "erasure")
    desk.erase(desk.one.bob)
    assert SuppressionFiles(settings).key(desk.one.account) and [] == findings(desk)
    kept = key.read_bytes()
    key.unlink()
    (missing,) = findings(desk)
    assert "the key of its suppression list is missing" in missing
    desk.put_back()
    with pytest.raises(Tampered, match="key of a suppression list is lost"):
        desk.databases.recover(desk.cell)
    key.write_bytes(kept)
    assert 0 == desk.databases.recover(desk.cell)["erasure"].incomplete_lists
    desk.check_whole()


def test_who_writes_after_the_account_is_gone_leaves_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stood still for so long that the server gave its transaction up, and the account's end did not wait for it."""
    settings, other, written = desk.databases.settings, desk.other, []
    request = other.call("erasure", "request_erasure", {"who": ALICE, "reason": "asked"}).request_id
    other.settle()
    add = SuppressionFiles.add

    def add_late(self: SuppressionFiles, *arguments: Any) -> None:
        if not written:
            written.append(arguments)
            with closing(superuser(settings, "erasure")) as connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND state LIKE 'idle in transaction%'"
                )
            other.end()
            other.settle()
        add(self, *arguments)

    monkeypatch.setattr(SuppressionFiles, "add", add_late)
    late = Suppress(request_id=request, mails=[], identifiers=["late@x.example"])
    with pytest.raises(AccountGone):
        suppress(desk.cell.store("erasure"), other.account, late)
    assert written and [] == [path.name for path in list_of(desk).parent.glob(f"*{other.account}*")]


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
    """A changed one and a missing one by the auditor, a changed one by a recovery, until it is out of the way."""
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
    path.unlink()
    assert 1 == desk.databases.recover(desk.cell)["erasure"].incomplete_lists
    desk.check_whole()
