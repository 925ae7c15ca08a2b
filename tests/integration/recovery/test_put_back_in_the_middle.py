"""Databases lost in the middle of something, put back twice, or with somebody's hand in them: still nothing that was cut comes
back, and nobody's tampering passes for a loss."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.verify import verify
from shared import clock
from shared.errors import NotFound, Tampered
from shared.ids import new_id
from shared.put_back import PutBack, needs_recovery
from shared.recovery_log import give_back_places
from shared.rotation import rotate
from shared.settings import SERVICES
from tests.support.databases import superuser
from tests.support.portal import ALICE, BOB, SOURCE, mail
from tests.support.putting_back import HOLDING, Desk
from tests.support.stores import closing


def invited(desk: Desk) -> str:
    """An invitation that is open."""
    made = desk.one.call("identity", "invite_user", {"role": "agent", "login": f"ida@{new_id()}.example"})
    desk.one.settle()
    return str(made.invitation_id)


def withdraw(desk: Desk, invitation: str) -> None:
    desk.one.call("identity", "withdraw_invitation", {"invitation_id": invitation})
    desk.one.settle()


def person_of(desk: Desk, item: str) -> str:
    statement = "SELECT person_id::text FROM keys.item_person WHERE item_id = %s"
    return str(desk.databases.rows("identity", statement, item)[0][0])


def keys_of_item(desk: Desk, item: str) -> object:
    return desk.databases.rows("identity", "SELECT count(*) FROM keys.item_key WHERE item_id = %s", item)[0][0]


def test_a_request_that_only_some_services_had_carried_out_is_carried_out_by_all(desk: Desk) -> None:
    """The request is lost, and the journals of some have it: the others would not hear of it any more."""
    desk.copy()
    one = desk.one
    one.call("erasure", "request_erasure", {"who": ALICE, "reason": "asked"})
    one.sign()
    for delivery in one.cell.deliveries(one.account, SERVICES):
        if delivery.envelope.type == "erasure.SubjectErased" and delivery.service != "tickets":
            one.cell.deliver(delivery)
    one.sign()
    desk.lose()
    assert 1 == desk.databases.recover(desk.cell)["tickets"].persons
    assert 0 == desk.keys_of(one.alice)
    desk.check_whole()
    with pytest.raises(NotFound):
        one.call("contacts", "show_person", {"who": ALICE})
    assert "My kettle leaks" not in str(one.call("tickets", "show_ticket", {"ticket_id": one.ticket_of_alice}))


def test_an_end_that_only_some_services_had_carried_out_is_carried_out_by_all(desk: Desk) -> None:
    """Lifecycle says again that the account has ended, so that the logs agree."""
    other = desk.other
    desk.copy()
    other.end()
    for delivery in other.ended():
        if delivery.service in ("contacts", "tickets"):
            other.insist(delivery)
    other.sign()
    desk.lose()
    desk.databases.recover(desk.cell)
    assert {} == other.left()
    desk.check_whole()


def test_an_item_and_then_its_person(desk: Desk) -> None:
    """Both are in the journal, and each is told of."""
    invitation = invited(desk)
    person = person_of(desk, invitation)
    desk.copy()
    withdraw(desk, invitation)
    desk.erase(person)
    desk.put_back()
    desk.databases.recover(desk.cell)
    desk.check_whole()


def test_an_item_and_another_person_in_an_epoch_that_has_ended(desk: Desk) -> None:
    """What the dump lacks is told of before anything is pruned."""
    invitation = invited(desk)
    desk.copy()
    withdraw(desk, invitation)
    desk.erase(ALICE)
    for service in SERVICES:
        rotate(desk.databases.settings, service)
    desk.put_back()
    done = desk.databases.recover(desk.cell)
    assert 1 == done["identity"].items
    desk.check_whole()


def test_a_hold_of_the_copy_keeps_no_item_that_was_cut_since(desk: Desk) -> None:
    """The hold had ended before; erasure says so again, and the logs agree."""
    invitation = invited(desk)
    hold = desk.one.call("erasure", "place_hold", {"who": person_of(desk, invitation), **HOLDING}).hold_id
    desk.one.settle()
    desk.copy()
    desk.one.call("erasure", "release_hold", {"hold_id": hold})
    desk.one.settle()
    withdraw(desk, invitation)
    desk.put_back()
    desk.databases.recover(desk.cell)
    assert 0 == keys_of_item(desk, invitation)
    assert desk.one.call("erasure", "show_hold", {"hold_id": hold}).ended_at is not None
    desk.check_whole()


def test_a_user_who_was_deleted_since_is_deleted_again(desk: Desk) -> None:
    """With the look-up of their login: it is free again, and nobody can ask whether it was there."""
    login = f"kim@{new_id()}.example"
    user = desk.one.call("identity", "add_user", {"role": "agent", "name": "Kim", "login": login}).user_id
    desk.copy()
    desk.one.call("identity", "delete_user", {"user": user})
    desk.put_back()
    desk.databases.recover(desk.cell)
    assert 0 == desk.databases.rows("identity", "SELECT count(*) FROM lethe.login_token WHERE user_id = %s", user)[0][0]
    desk.check_whole()
    desk.one.call("identity", "add_user", {"role": "agent", "name": "Kim", "login": login})


def test_links_and_sessions_of_the_copy_let_nobody_in(desk: Desk) -> None:
    """One that was used since would be good once more."""
    _, link = desk.one.sign_in(BOB), desk.one.link(BOB)
    desk.copy()
    desk.one.gateway("sign_in_by_link", link_token=link, source=SOURCE)
    desk.erase(ALICE)
    desk.put_back()
    desk.databases.recover(desk.cell)
    for table in ("session", "challenge", "link", "portal_session", "sign_in_link", "app_code", "app_token"):
        assert 0 == desk.databases.rows("identity", f"SELECT count(*) FROM lethe.{table}")[0][0], table


def test_a_cut_that_was_not_signed_yet_is_missed_as_well(desk: Desk) -> None:
    """Committed and in the journal, and the relay was away: the log is as long as the database's, and the journal is not."""
    one, settings = desk.one, desk.databases.settings
    one.call("erasure", "request_erasure", {"who": ALICE, "reason": "asked"})
    one.sign()
    desk.cell.close()
    desk.databases.copy()
    desk.open()
    for delivery in one.cell.deliveries(one.account, SERVICES):
        if (delivery.envelope.type, delivery.service) == ("erasure.SubjectErased", "tickets"):
            one.cell.deliver(delivery)
    assert not needs_recovery(settings, "tickets")
    desk.lose()
    assert needs_recovery(settings, "tickets")
    desk.databases.recover(desk.cell)
    one.delivered.clear()
    one.settle()
    assert 0 == desk.keys_of(one.alice)
    desk.check_whole()
    assert not needs_recovery(settings, "tickets")


def test_services_that_ran_meanwhile_answer_nothing(desk: Desk) -> None:
    """Nobody stopped them: their connections break, and new ones are refused."""
    desk.copy()
    desk.erase(ALICE)
    desk.one.settle()
    desk.kept = desk.databases.kept()
    desk.databases.put_back()
    refused = 0
    for _ in range(3):
        with pytest.raises(Exception) as told:
            desk.one.call("contacts", "show_person", {"who": ALICE})
        refused += isinstance(told.value, PutBack)
    assert refused >= 2
    desk.cell = type(desk.cell)(desk.databases.settings)


def test_a_second_run_publishes_again_what_it_takes_from_the_queues(desk: Desk) -> None:
    """The cursor goes back at each run, as queues are emptied at each."""
    desk.copy()
    desk.erase(ALICE)
    desk.put_back()
    cursor = "SELECT published FROM lethe.relay_cursor"
    desk.cell.close()
    desk.open()
    give_back_places(desk.databases.settings, "erasure")
    first = desk.databases.rows("erasure", cursor)
    desk.cell.sign("erasure")
    assert first < desk.databases.rows("erasure", cursor)
    give_back_places(desk.databases.settings, "erasure")
    assert first == desk.databases.rows("erasure", cursor)


def test_a_copy_of_a_time_that_was_given_up_is_refused(desk: Desk) -> None:
    """What was cut in it no journal tells: Carol came, was lost, came again under another id and was erased."""
    who = f"carol@{new_id()}.example"
    mails = {"mails": [mail(f"Carol <{who}>", "c1", "Hi", "I am Carol.")]}
    desk.copy()
    desk.one.call("tickets", "import_mails", mails)
    desk.copy()
    desk.one.call("tickets", "import_mails", {"mails": [mail(f"Dan <dan@{new_id()}.example>", "n1", "Hi", "Dan.")]})
    desk.put_back(0)
    desk.databases.recover(desk.cell)
    desk.check_whole()
    desk.one.settle()
    desk.one.call("tickets", "import_mails", mails)
    desk.erase(who)
    desk.put_back(1)
    with pytest.raises(Tampered, match="gave up"):
        desk.databases.recover(desk.cell)
    with pytest.raises(PutBack):
        desk.one.call("contacts", "show_person", {"who": who})


def test_an_event_that_somebody_removed_does_not_pass_for_a_lost_one(desk: Desk) -> None:
    """Neither with its row as it was, nor made to look as the row of a lost one."""
    settings = desk.databases.settings
    desk.one.settle()
    with closing(superuser(settings, "tickets")) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("DELETE FROM lethe.event WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 3)")
    assert ["dropped"] == [one.kind for one in verify(settings, "tickets", patience_seconds=1).findings]
    desk.copy()
    desk.erase(BOB)
    desk.put_back()
    desk.databases.recover(desk.cell)
    assert [("dropped", 3)] == [(one.kind, one.index) for one in desk.findings()]
    with closing(superuser(settings, "tickets")) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE lethe.log SET sequence = -4 WHERE index = 3")
    with pytest.raises(Tampered, match="does not say that it is lost"):
        give_back_places(settings, "tickets")


def test_the_day_of_a_suppression_is_that_of_the_cut(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody writes after they were erased is no old mail, however late the recovery is."""
    desk.copy()
    desk.erase(ALICE)
    desk.put_back()
    day, later = clock.now().date(), clock.now() + timedelta(days=20)
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: later)
        desk.databases.recover(desk.cell)
    assert (day,) in desk.databases.rows("erasure", "SELECT DISTINCT day FROM lethe.suppression ORDER BY 1")
