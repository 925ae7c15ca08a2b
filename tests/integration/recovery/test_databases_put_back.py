"""Databases put back from copies (mission E10, A5): what was cut since is cut again before anything answers, and the logs never
fork."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from audit.export import export
from audit.report import render
from audit.report_figures import figures_of
from cli.audit_verdict import show_verdicts
from shared import put_back, recovery, recovery_log
from shared.errors import Conflict, NotFound, Tampered
from shared.ids import new_id
from shared.put_back import PutBack, needs_recovery
from shared.recovery_log import give_back_places
from shared.relay_database import RelayDatabase
from shared.rotation import DUMPS, rotate
from shared.settings import ACCOUNT_SERVICES, SERVICES
from tests.support.databases import superuser
from tests.support.ending import OPERATOR
from tests.support.portal import ALICE, BOB, mail
from tests.support.putting_back import HOLDING, Desk
from tests.support.stores import closing


def test_what_was_erased_since_the_copy_is_erased_again(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person, and a whole account. Nothing of them opens, nothing comes in again, and all others are as they were. The
    auditor's report and table say what is lost."""
    assert desk.one.sign_in(BOB)
    alice, other = desk.one.alice, desk.other.account
    desk.copy()
    desk.erase(ALICE)
    desk.other.end()
    desk.other.settle()
    gone = sum(verdict.gone for verdict in desk.databases.verified(desk.cell, {}))
    desk.put_back()
    sessions = "SELECT count(*) FROM lethe.portal_session"
    assert desk.databases.rows("identity", sessions)[0][0]
    assert desk.keys_of(alice) and desk.other.left(), "the copy has both"
    assert set(ACCOUNT_SERVICES) == {one for one in SERVICES if needs_recovery(desk.databases.settings, one)}
    done = desk.databases.recover(desk.cell)
    assert {1} == {one.accounts for one in done.values() if one.service != "audit"}
    assert 1 == done["contacts"].persons == done["tickets"].persons == done["identity"].persons
    assert {} == desk.other.left() and 0 == desk.keys_of(alice)
    assert 0 == desk.databases.rows("identity", sessions)[0][0], "which of them had ended nobody knows"
    with pytest.raises(NotFound):
        desk.one.call("contacts", "show_person", {"who": ALICE})
    assert desk.check_whole() > 10
    theirs = {"mails": [mail(f"Alice Adams <{ALICE}>", one, "The kettle", "It leaks.") for one in ("a1", "unknown")]}
    again = desk.one.call("tickets", "import_mails", theirs).mails
    assert ["refused"] * 2 == [one.status for one in again]
    assert ["this mail belonged to a person who was erased", "the sender was erased, and this is from before"] == [
        one.reason for one in again
    ]
    assert BOB == desk.one.call("contacts", "show_person", {"who": BOB}).addresses[0]
    shown = desk.one.call("tickets", "show_ticket", {"ticket_id": desk.one.ticket_of_bob})
    assert "It burns." in str(shown)
    desk.one.settle()
    desk.check_whole()
    view = desk.one.call("lifecycle", "show_account_end", {"account_id": other}, OPERATOR)
    assert view.is_gone and gone
    export(desk.databases.settings, tmp_path / "export")
    figures = figures_of(tmp_path / "export")
    verdicts = {one.service: one for one in desk.databases.verified(desk.cell, {})}
    assert {one.service: one.lost for one in figures.logs} == {name: one.lost for name, one in verdicts.items()}
    assert {one.service: one.lines - one.events - one.lost for one in figures.logs} == {
        name: one.gone for name, one in verdicts.items()
    }
    assert render(figures).count("since the database was put back from a copy") == sum(one.lost > 0 for one in figures.logs)
    show_verdicts(list(verdicts.values()))
    assert "lost" in capsys.readouterr().out


def test_the_system_goes_on_after_a_recovery(desk: Desk) -> None:
    """New mails, tickets and erasures; a second copy is put back as well, one from before the first recovery too."""
    desk.copy()
    desk.erase(BOB)
    desk.put_back()
    desk.databases.recover(desk.cell)
    first = desk.check_whole()
    desk.copy()
    desk.one.call("tickets", "import_mails", {"mails": [mail(f"Carol <carol@{new_id()}.example>", "c1", "New", "A new one.")]})
    desk.erase(ALICE)
    desk.put_back()
    desk.databases.recover(desk.cell)
    assert desk.check_whole() > first
    assert 0 == desk.keys_of(desk.one.alice) + desk.keys_of(desk.one.bob)


def test_after_a_crash_anywhere_the_recovery_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies at each failpoint once, in each service, and is begun again; what was done counts once."""
    assert desk.other.left()
    desk.copy()
    desk.erase(ALICE)
    desk.other.end()
    desk.other.settle()
    desk.put_back()
    died: set[str] = set()

    class Died(BaseException):
        pass

    def die(name: str) -> None:
        if name not in died:
            died.add(name)
            raise Died

    for module in (recovery, recovery_log):
        monkeypatch.setattr(module, "failpoint", die)
    for _ in range(40):
        try:
            desk.databases.recover(desk.cell)
            break
        except Died:
            assert any(needs_recovery(desk.databases.settings, service) for service in SERVICES)
            desk.cell.close()
            desk.open()
    else:
        raise AssertionError("it never ends")
    assert {"recovery.indexing", "contacts.recovering-end", "tickets.recovering-person"} <= died
    assert desk.check_whole() > 10
    assert {} == desk.other.left() and 0 == desk.keys_of(desk.one.alice)


def test_events_that_the_copy_has_and_that_were_indexed_later_are_not_lost(desk: Desk) -> None:
    """They were committed, and not in the log yet, when the copy was made: they take the places that they had."""
    desk.one.settle()
    imported = desk.one.call("tickets", "import_mails", {"mails": [mail(f"Bob <{BOB}>", "b7", "More", "Late but there.")]})
    desk.cell.close()
    desk.databases.copy()
    desk.open()
    desk.erase(ALICE)
    desk.put_back()
    desk.databases.recover(desk.cell)
    desk.check_whole()
    shown = desk.one.call("tickets", "show_ticket", {"ticket_id": imported.mails[0].ticket_id})
    assert "Late but there." in str(shown)
    twice = desk.databases.rows(
        "tickets", "SELECT count(*) FROM lethe.event e JOIN lethe.log l USING (sequence) GROUP BY sequence HAVING count(*) > 1"
    )
    assert [] == twice


def test_where_the_epoch_has_ended_keys_come_from_the_newest_dump(desk: Desk) -> None:
    """The copy's own keys are wrapped under a root that is destroyed: what lives opens again, what was cut before the dump does
    not, and neither does what was cut after it."""
    assert desk.other.left()
    desk.copy()
    desk.erase(ALICE)
    desk.one.settle()
    for service in SERVICES:
        rotate(desk.databases.settings, service)
    desk.erase(BOB)
    desk.put_back()
    done = desk.databases.recover(desk.cell)
    assert done["tickets"].keys_reloaded and done["contacts"].keys_reloaded
    desk.check_whole()
    assert 0 == desk.keys_of(desk.one.alice) + desk.keys_of(desk.one.bob)
    shown = desk.other.call("tickets", "show_ticket", {"ticket_id": desk.other.ticket_of_bob})
    assert "It burns." in str(shown)
    desk.other.call("tickets", "import_mails", {"mails": [mail(f"Bob <{BOB}>", "b9", "Again", "One more.")]})
    with pytest.raises(NotFound):
        desk.one.call("contacts", "show_person", {"who": ALICE})


def test_a_copy_younger_than_every_dump_is_refused_and_nothing_is_pruned(desk: Desk) -> None:
    """Its items' keys are in no dump, and the journal does not say that they were cut: they are lost, not erased."""
    desk.cell.close()
    for service in SERVICES:
        rotate(desk.databases.settings, service)
    kept = {path: path.read_bytes() for path in desk.databases.settings.path("key-dumps").rglob("*.dump")}
    desk.open()
    desk.one.call("tickets", "import_mails", {"mails": [mail(f"Dora <dora@{new_id()}.example>", "d9", "New", "Yes.")]})
    desk.copy()
    for service in SERVICES:
        rotate(desk.databases.settings, service)
    for path in desk.databases.settings.path("key-dumps").rglob("*.dump"):  # an older dump in the place of the newest
        older = next(raw for name, raw in kept.items() if name.parent == path.parent)
        path.write_bytes(older)
    desk.erase(ALICE)
    desk.put_back()
    with pytest.raises(Tampered, match="in no dump"):
        desk.databases.recover(desk.cell)
    assert desk.databases.rows("tickets", "SELECT 1 FROM keys.account_key WHERE epoch = 2")
    for place in DUMPS:
        shutil.rmtree(desk.databases.settings.path("key-dumps", place))
    with pytest.raises(Tampered, match="no key dump"):
        desk.databases.recover(desk.cell)


def test_a_hold_that_the_copy_still_knows_does_not_keep_who_was_cut_since(desk: Desk) -> None:
    """It had ended by then, and the log says so again before the cut."""
    hold = desk.one.call("erasure", "place_hold", {"who": ALICE, **HOLDING}).hold_id
    desk.one.settle()
    desk.copy()
    desk.one.call("erasure", "release_hold", {"hold_id": hold})
    desk.one.settle()
    desk.erase(ALICE)
    desk.put_back()
    desk.databases.recover(desk.cell)
    assert 0 == desk.keys_of(desk.one.alice)
    findings = [one for verdict in desk.databases.verified(desk.cell, desk.kept) for one in verdict.findings]
    assert [] == [one for one in findings if one.kind == "cut under hold"]


def test_a_service_does_not_start_on_a_database_that_is_behind(desk: Desk) -> None:
    """Nor while a recovery has begun and not ended; it says what to do. A database that is as new as its log starts nothing."""
    desk.copy()
    settings = desk.databases.settings
    assert [] == [service for service in SERVICES if needs_recovery(settings, service)]
    desk.erase(ALICE)
    desk.put_back()
    started = subprocess.run(
        [sys.executable, "-m", "shared.service_runner", "tickets"], env=os.environ | {"LETHE_HOME": str(settings.home)},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert os.EX_CONFIG == started.returncode and PutBack.default in started.stdout + started.stderr
    desk.databases.recover(desk.cell)
    assert needs_recovery(settings, "tickets"), "it has not ended"
    put_back.finish(settings, "tickets")
    assert not needs_recovery(settings, "tickets")


def test_rows_that_somebody_changed_are_no_copy(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is missing in the middle, or has another leaf, is not put right: nothing is signed on top of it."""
    settings = desk.databases.settings
    desk.copy()
    desk.erase(ALICE)
    desk.put_back()
    for change in ("DELETE FROM lethe.log WHERE index = 3", "UPDATE lethe.log SET leaf = sha256('x') WHERE index = 2"):
        with closing(superuser(settings, "tickets")) as connection, connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute("CREATE TABLE before AS SELECT * FROM lethe.log")
            cursor.execute(change)
            with pytest.raises(Tampered):
                give_back_places(settings, "tickets")
            cursor.execute("TRUNCATE lethe.log")
            cursor.execute("INSERT INTO lethe.log SELECT * FROM before")
            cursor.execute("DROP TABLE before")
    monkeypatch.setattr(recovery_log, "LEASE_PATIENCE_SECONDS", 0.1)
    relay = RelayDatabase(settings.database_url("tickets", "relay"), "another")
    assert relay.take_lease(1_000) is not None
    with pytest.raises(Conflict):
        give_back_places(settings, "tickets")
    relay.close()


def test_items_that_were_cut_since_the_copy_are_cut_again(desk: Desk) -> None:
    """An invitation that was withdrawn; one of an item that came after the copy, too."""
    invited = f"ida@{new_id()}.example"
    before = desk.one.call("identity", "invite_user", {"role": "agent", "login": invited}).invitation_id
    desk.one.settle()
    desk.copy()
    later = desk.one.call("identity", "invite_user", {"role": "agent", "login": f"joe@{new_id()}.example"})
    for invitation in (before, later.invitation_id):
        desk.one.call("identity", "withdraw_invitation", {"invitation_id": invitation})
    desk.one.settle()
    desk.put_back()
    left = "SELECT count(*) FROM lethe.invitation WHERE invitation_id = %s AND login IS NOT NULL"
    assert 1 == desk.databases.rows("identity", left, before)[0][0]
    done = desk.databases.recover(desk.cell)
    assert 2 == done["identity"].items
    desk.check_whole()
    assert 0 == desk.databases.rows("identity", left, before)[0][0]
    assert 0 == desk.databases.recover(desk.cell)["identity"].items, "told once"
