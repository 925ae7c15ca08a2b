"""Who saw what is on record, also of the last moment before a service is stopped."""

from __future__ import annotations

import json

import pytest

from cli.main import invoke
from deploy.stack import Stack
from shared.errors import PermissionRefused
from tests.support.desk import Callers, Desk, Row, await_it

MAIL = (
    b"From: Ann Archer <ann@archer.example>\r\nTo: desk@kettles.example\r\nSubject: kettle\r\n"
    b"Message-ID: <1@archer.example>\r\nDate: Mon, 4 Mar 2024 08:00:00 +0000\r\n\r\nMy kettle is broken.\r\n"
)


@pytest.fixture(scope="module")
def desk(doors_callers: Callers) -> Desk:
    """An account with one ticket."""
    made = Desk.open(doors_callers)
    made.add_mailbox("desk@kettles.example")
    made.take_in([MAIL])
    return made


def reads_of(desk: Desk, ticket: str) -> list[Row]:
    """What tickets has on record of a ticket."""
    return list(desk.call("tickets", "list_reads", {"subject_id": ticket, "limit": 100})["reads"])


def test_the_last_reads_before_a_graceful_stop_are_recorded(desk_stack: Stack, desk: Desk) -> None:
    """What was read right before SIGTERM is written before the process ends, and in the log when it is back; a few hundred
    reads are a few entries."""
    (ticket,) = [one["ticket_id"] for one in desk.call("tickets", "list_tickets", {})["tickets"]]
    desk.calls("tickets", "show_ticket", [{"ticket_id": ticket}] * 200)
    desk_stack.stop("tickets")
    desk_stack.start("tickets")
    desk_stack.await_ready()
    await_it(lambda: len(reads_of(desk, ticket)) >= 200, 30)
    found = [one for one in reads_of(desk, ticket) if one["method"] == "show_ticket"]
    assert 200 == len(found)
    assert {desk.owner} == {one["actor_id"] for one in found}
    assert len({one["index"] for one in found}) < 100


def test_the_command_line_shows_who_saw_a_person(
    desk_stack: Stack, desk: Desk, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lethe reads` tells, of a person named by an address, the reads of every service in the order of their times."""
    monkeypatch.setenv("LETHE_HOME", str(desk_stack.home))

    def shown() -> list[Row]:
        capfd.readouterr()
        assert 0 == invoke(["reads", "ann@archer.example", "--account", desk.account, "--json"])
        return list(json.loads(capfd.readouterr().out)["reads"])

    desk.call("contacts", "show_person", {"who": "ann@archer.example"})
    desk.call("tickets", "list_tickets", {})
    await_it(lambda: {"contacts", "tickets"} <= {one["service"] for one in shown()}, 30)
    times = [one["read"]["at"] for one in shown()]
    assert times == sorted(times)
    assert 0 == invoke(["reads", "ann@archer.example", "--account", desk.account, "--by", "owner"])
    assert "show_person" in capfd.readouterr().out


def test_a_person_is_told_in_their_export(
    desk_stack: Stack, desk: Desk, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lethe person export` tells Ann of the looks by an agent and by the vendor's staff, in which role and for what; the
    export of Bea, who was not looked at, tells of neither."""
    monkeypatch.setenv("LETHE_HOME", str(desk_stack.home))
    desk.take_in([MAIL.replace(b"Ann Archer", b"Bea Baker").replace(b"ann@", b"bea@").replace(b"<1@", b"<2@")])
    agent = desk.call("identity", "add_user", {"role": "agent", "name": "Abe", "login": "abe@kettles.example"})["user_id"]
    token, operator = desk.callers.user(desk.account, "agent", agent), desk.callers.operator
    desk.call("contacts", "show_person", {"who": "ann@archer.example"}, token=token)
    grant = desk.call("identity", "request_staff_access", {"purpose": "incident"}, token=operator)["grant_id"]
    desk.call("identity", "approve_staff_access", {"grant_id": grant})
    staff = desk.call("identity", "open_staff_session", {"grant_id": grant}, token=operator)["token"]
    desk.call("contacts", "show_person", {"who": "ann@archer.example"}, token=staff)

    def told(address: str) -> set[tuple[str, str, str]]:
        capfd.readouterr()
        assert 0 == invoke(["person", "export", address, "--account", desk.account])
        return {(one["by"], one["method"], one["purpose"]) for one in json.loads(capfd.readouterr().out)["reads"]}

    seen = {("agent", "show_person", "support"), ("vendor staff", "show_person", "incident")}
    await_it(lambda: seen <= told("ann@archer.example"), 30)
    assert seen.isdisjoint(told("bea@archer.example"))


def test_an_agent_may_not_ask_who_saw_what(desk: Desk) -> None:
    """Owners and admins look after the records; an agent is refused by each service that has some."""
    agent = desk.callers.user(desk.account, "agent")
    for service in ("tickets", "contacts", "identity"):
        desk.call(service, "list_reads", {}, token=desk.callers.user(desk.account, "admin"))
        with pytest.raises(PermissionRefused):
            desk.call(service, "list_reads", {}, token=agent)
