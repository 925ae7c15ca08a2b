"""What becomes of a suspended account that nobody asks for (mission L4, L5, L8): dissolved, stored, ended, each once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.lifecycle.handlers import KEPT_LOOK, NEXT_LOOK, Tell, _end_unless_kept, take_due_steps
from services.lifecycle.periods import Periods
from shared import account_end, clock
from shared.account_end import CELL
from shared.account_states import state_of
from shared.errors import AccountSuspended, NotFound, Refused, Unavailable
from shared.ids import new_id
from shared.outgoing_mail import OutgoingMail
from shared.settings import ACCOUNT_SERVICES
from shared.tokens import Actor
from shared.work import SYSTEM_ACTOR
from tests.support.cell import Cell, Delivery
from tests.support.databases import superuser
from tests.support.ending import OPERATOR, Ending, check_logs
from tests.support.portal import ALICE, AnApp
from tests.support.stores import closing
from tests.support.together import at_once

Later = Callable[[timedelta], None]
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
SUSPENDED, DISSOLVED = 60 * DAY, 30 * DAY
CONFIGURATION = ("app", "app_token", "app_code", "api_token", "invitation", "invitation_token")
"""Tables of identity in which nothing is left of what an account had set up."""


class Dissolving(Ending):
    """An account that has set up all that there is to set up, and is suspended."""

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        self.app = AnApp.registered(self)
        self.app.tokens(self.alice)
        identity: tuple[tuple[str, Any], ...] = (
            ("set_ip_ranges", {"ranges": ["192.0.2.0/24"], "source": "192.0.2.7"}),
            ("require_second_factor", {"required": True}), ("create_api_token", {"name": "export"}),
            ("invite_user", {"role": "agent", "login": "ida@kettles.example"}),
        )  # fmt: skip
        for method, argument in identity:
            self.call("identity", method, argument)
        self.call("lifecycle", "suspend_account", {}, OPERATOR)
        self.settle()

    def settle(self) -> None:
        """Brings the end to all services first: it is among lifecycle's own events that go."""
        for one in self.ended():
            self.insist(one)
        super().settle()

    def look(self, cell: Cell | None = None) -> str:
        """Has a replica take the steps that are due; how the account stands then, when all have heard of it."""
        (cell or self.cell).service("lifecycle").take_due_steps()
        self.settle()
        try:
            return str(self.call("lifecycle", "show_account", None, OPERATOR).state)
        except NotFound:
            return "ended"

    def happened(self) -> list[str]:
        """What became of the account, after it was opened."""
        with self.cell.store("lifecycle").work(self.account) as work:
            return [type(one.event).__name__ for one in work.load(f"account/{self.account}")][1:]

    def set_up(self) -> dict[str, Any]:
        """What identity has of its configuration."""
        with self.cell.store("identity").work(self.account) as work:
            ranges = work.fetch("SELECT count FROM ip_ranges WHERE account_id = %s", (self.account,))
            policy = work.fetch("SELECT second_factor_by FROM access_policy WHERE account_id = %s", (self.account,))
        found: dict[str, Any] = {table: self.number("identity", table) for table in CONFIGURATION}
        found |= {"ranges": ranges[0][0], "policy": policy[0][0]}
        return {what: value for what, value in found.items() if value}

    def routes(self) -> int:
        """How many credentials lead to the account."""
        with closing(superuser(self.cell.settings, "identity")) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM lethe.credential_route WHERE account_id = %s", (self.account,))
            return int(cursor.fetchone()[0])

    def next_look(self) -> list[datetime]:
        """When the timer looks at it again."""
        with self.cell.store("lifecycle").work(SYSTEM_ACTOR) as work:
            rows = work.fetch("SELECT look_at FROM open_period WHERE account_id = %s", (self.account,))
        return [look_at for (look_at,) in rows]

    def happening(self, kind: str) -> list[Delivery]:
        """Identity's deliveries of lifecycle's events of a type."""
        deliveries = self.cell.deliveries(self.account, ("identity", "lifecycle"))
        return [one for one in deliveries if one.envelope.type == f"lifecycle.{kind}" and one.service == "identity"]

    def forget(self, one: Delivery) -> None:
        """As if a delivery had never come: its row in the inbox goes."""
        with closing(superuser(self.cell.settings, "identity")) as connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM lethe.inbox WHERE event_id = %s", (one.envelope.event,))

    def told(self, subject: str) -> list[OutgoingMail]:
        """The mails of a subject that nobody has read yet."""
        return [one for one in self.mails() if one.subject.startswith(subject)]

    def number(self, service: str, table: str) -> int:
        """How many rows of the account there are in a table."""
        with self.cell.store(service).work(self.account) as work:
            return int(work.fetch(f"SELECT count(*) FROM {table} WHERE account_id = %s", (self.account,))[0][0])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No relay runs here beside: what is not published when it is looked at is not while it is waited for."""
    monkeypatch.setattr(account_end, "PUBLISHED_SECONDS", 0.02)


@pytest.fixture
def dissolving(cell: Cell, later: Later) -> Dissolving:
    """Its clock is stopped."""
    return Dissolving(cell)


def test_an_account_that_nobody_asks_for_is_dissolved_stored_and_ended(dissolving: Dissolving, later: Later) -> None:
    """After 60 days, and 30 more, not a second before; by whatever replica looks. Then nothing of it is stored anywhere."""
    assert [clock.now() + SUSPENDED] == dissolving.next_look()
    later(SUSPENDED - SECOND)
    assert "suspended" == dissolving.look()
    later(SECOND)
    assert "dissolved" == dissolving.look()
    assert [clock.now() + DISSOLVED] == dissolving.next_look()
    later(DISSOLVED - SECOND)
    assert "dissolved" == dissolving.look(Cell(dissolving.cell.settings))
    assert ["AccountSuspended", "AccountDissolved"] == dissolving.happened()
    later(SECOND)
    assert "ended" == dissolving.look()
    assert {} == dissolving.left()
    asked = {"account_id": dissolving.account}
    assert dissolving.call("lifecycle", "show_account_end", asked, OPERATOR).is_gone
    later(DAY)
    assert "ended" == dissolving.look()
    check_logs(dissolving, gone=len(ACCOUNT_SERVICES))


def test_a_dissolved_account_has_lost_what_it_had_set_up_and_nothing_else(dissolving: Dissolving, later: Later) -> None:
    """Its people, tickets and users are in storage, for nobody to see; the app's customers have nothing left of their grant."""
    assert {*CONFIGURATION, "ranges", "policy"} == set(dissolving.set_up())
    kept = (("identity", "app_user"), ("contacts", "person"), ("tickets", "message"))
    before = [dissolving.number(*one) for one in kept]
    assert 3 == dissolving.routes(), "of the API token, and of both tokens of the app"
    later(SUSPENDED)
    assert "dissolved" == dissolving.look()
    assert {} == dissolving.set_up()
    assert 0 == dissolving.routes()
    assert before == [dissolving.number(*one) for one in kept] and all(before)
    assert {"suspended"} == {state_of(dissolving.cell.store(service), dissolving.account) for service in ACCOUNT_SERVICES}
    check_logs(dissolving, gone=0)


def test_owners_are_told_until_when_they_can_ask_and_what_is_left(dissolving: Dissolving, later: Later) -> None:
    """At each step once, though its event comes twice; nobody is told who is no owner, nor of what is over by then."""
    dissolved, ended = clock.now() + SUSPENDED, clock.now() + SUSPENDED + DISSOLVED
    told = dissolving.told("Your account is suspended")
    assert [dissolving.owner_login] == [one.to for one in told]
    assert f"{dissolved:%Y-%m-%d %H:%M} UTC" in told[0].text
    for one in dissolving.happening("AccountSuspended"):
        dissolving.cell.deliver(one)
    assert [] == dissolving.told("Your account is suspended")
    later(SUSPENDED)
    dissolving.look()
    for one in dissolving.happening("AccountDissolved"):
        dissolving.cell.deliver(one)
    told = dissolving.told("Your account is dissolved")
    assert [dissolving.owner_login] == [one.to for one in told]
    assert f"{ended:%Y-%m-%d %H:%M} UTC" in told[0].text
    assert [] == dissolving.told("Your account is")


def test_owners_are_not_told_of_a_suspension_that_is_over(dissolving: Dissolving) -> None:
    """Its event was late."""
    dissolving.told("Your account is suspended")
    dissolving.call("lifecycle", "upgrade_account", None, OPERATOR)
    for method, argument in (("resume_account", None), ("suspend_account", {}), ("resume_account", None)):
        dissolving.call("lifecycle", method, argument, OPERATOR)
    dissolving.settle()
    assert [] == dissolving.told("Your account is suspended")


def test_owners_are_not_told_to_ask_for_what_is_dissolved(dissolving: Dissolving, later: Later) -> None:
    """The event of the suspension came late, as from the dead letters: its time is over."""
    (suspended,) = dissolving.happening("AccountSuspended")
    dissolving.forget(suspended)
    later(SUSPENDED)
    assert "dissolved" == dissolving.look()
    dissolving.mails()
    dissolving.cell.deliver(suspended)
    assert [] == dissolving.mails()


def test_owners_are_told_though_more_happened_before_the_event_came(dissolving: Dissolving) -> None:
    """Billing failed, and the operator said it again to make sure: the services know no later state by that."""
    for method in ("upgrade_account", "resume_account", "suspend_account"):
        dissolving.call("lifecycle", method, {} if method == "suspend_account" else None, OPERATOR)
    dissolving.call("lifecycle", "note_billing", {"outcome": "failed"}, OPERATOR)
    dissolving.call("lifecycle", "suspend_account", {}, OPERATOR)
    dissolving.mails()
    dissolving.settle()
    assert 1 == len(dissolving.told("Your account is suspended"))


def test_an_erasure_service_that_is_away_holds_up_no_suspension(cell: Cell, later: Later) -> None:
    """Nobody can say what keeps the dissolved accounts from their end: the first is asked for, and no other in that look."""
    dissolved = [Dissolving(cell) for _ in range(2)]
    later(SUSPENDED)
    assert ["dissolved"] * 2 == [one.look() for one in dissolved]
    trial = cell.call(new_id(), "lifecycle", "open_account", {"name": f"Kettles {new_id()}", "plan": "trial"}, OPERATOR)
    later(DISSOLVED)
    asked, told = list[str](), list[str]()

    def keeps(account_id: str) -> tuple[int, int]:
        asked.append(account_id)
        assert told == [trial.account_id], "it was told before"
        raise Unavailable()

    def tell(account_id: str, _: object) -> Tell:
        told.append(account_id)
        return lambda _: ()

    take_due_steps(cell.store("lifecycle"), Periods(), keeps, tell)
    assert 1 == len(asked)
    assert ["dissolved"] * 2 == [str(one.call("lifecycle", "show_account", None, OPERATOR).state) for one in dissolved]
    later(NEXT_LOOK)
    assert ["ended"] * 2 == [one.look() for one in dissolved]


def test_an_end_that_is_found_due_twice_is_one_end(dissolving: Dissolving, later: Later) -> None:
    """Two replicas asked what keeps it; the later one finds it ended, or gone, and tells nobody again."""
    later(SUSPENDED)
    dissolving.look()
    later(DISSOLVED)
    store = dissolving.cell.store("lifecycle")
    for _ in range(2):
        _end_unless_kept(store, dissolving.account, lambda _: (0, 0))
    dissolving.settle()
    with pytest.raises(NotFound):
        _end_unless_kept(store, dissolving.account, lambda _: (0, 0))
    assert [] == [one for one in dissolving.cell.logged(CELL, "lifecycle") if one.stream == f"ended/{dissolving.account}"]
    assert {} == dissolving.left()


def test_what_ended_while_it_was_looked_at_is_looked_at_no_more(dissolving: Dissolving, later: Later) -> None:
    """Something kept it when it was asked for; then an operator ended it by hand, and it was removed."""
    later(SUSPENDED)
    dissolving.look()
    later(DISSOLVED)

    def keeps(_: str) -> tuple[int, int]:
        dissolving.call("lifecycle", "end_account", {"account_id": dissolving.account}, OPERATOR)
        dissolving.settle()
        return 1, 0

    with pytest.raises(NotFound):
        _end_unless_kept(dissolving.cell.store("lifecycle"), dissolving.account, keeps)
    assert {} == dissolving.left()
    with dissolving.cell.store("lifecycle").work(SYSTEM_ACTOR) as work:  # as if a row had been left
        work.later("INSERT INTO open_period (account_id, look_at) VALUES (%s, %s)", (dissolving.account, work.now))
    dissolving.look()
    assert {} == dissolving.left()


def test_paying_for_a_suspended_account_does_not_keep_it(dissolving: Dissolving, later: Later) -> None:
    """Whoever pays has to ask for it as well: upgraded, and billed in vain or not, it is dissolved in its time."""
    for method, argument in (
        ("upgrade_account", None), ("note_billing", {"outcome": "failed"}), ("note_billing", {"outcome": "recovered"})
    ):  # fmt: skip
        dissolving.call("lifecycle", method, argument, OPERATOR)
        assert [clock.now() + SUSPENDED] == dissolving.next_look()
    later(SUSPENDED)
    assert "dissolved" == dissolving.look()


def test_a_dissolved_account_is_not_opened_again(dissolving: Dissolving, later: Later) -> None:
    """Nor upgraded, nor billed; before it was, it could be, to the last second. Its owner sees what is ahead."""
    dissolving.call("lifecycle", "upgrade_account", None, OPERATOR)
    later(SUSPENDED - SECOND)
    assert "active" == dissolving.call("lifecycle", "resume_account", None, OPERATOR).state
    dissolving.call("lifecycle", "suspend_account", {}, OPERATOR)
    later(SUSPENDED)
    assert "dissolved" == dissolving.look()
    for method, argument in (("resume_account", None), ("upgrade_account", None), ("note_billing", {"outcome": "failed"})):
        with pytest.raises(Refused):
            dissolving.call("lifecycle", method, argument, OPERATOR)
    shown = dissolving.call("lifecycle", "show_account")
    assert ("dissolved", ["ended"]) == (shown.state, [step.to for step in shown.ahead])
    admin = Actor(kind="user", id=new_id(), account_id=dissolving.account, role="admin")
    with pytest.raises(AccountSuspended):
        dissolving.call("lifecycle", "show_account", None, admin)


def test_holds_and_erasures_keep_a_dissolved_account_from_its_end(dissolving: Dissolving, cell: Cell, later: Later) -> None:
    """It is looked at again every hour, and ends when they are over: an erasure that a hold kept is completed before."""
    dissolving.call("lifecycle", "resume_account", None, OPERATOR)
    over = clock.now() + SUSPENDED + DISSOLVED + 2 * KEPT_LOOK
    holding = {"who": ALICE, "basis": "legal-claims", "reference": "file 12", "expires_at": over.isoformat()}
    dissolving.call("erasure", "place_hold", holding)
    dissolving.call("erasure", "request_erasure", {"who": ALICE, "reason": "asked"})
    dissolving.call("lifecycle", "suspend_account", {}, OPERATOR)
    later(SUSPENDED)
    assert "dissolved" == dissolving.look()
    later(DISSOLVED)
    for _ in range(2):
        assert "dissolved" == dissolving.look()
        assert [clock.now() + KEPT_LOOK] == dissolving.next_look()
        later(KEPT_LOOK - SECOND)
        assert "dissolved" == dissolving.look()
        later(SECOND)
    cell.service("erasure").end_expired_holds()
    dissolving.settle()
    later(KEPT_LOOK)
    assert "ended" == dissolving.look()
    assert {} == dissolving.left()


def test_each_step_takes_its_time_though_the_clock_jumps(dissolving: Dissolving, later: Later) -> None:
    """Who had no time to ask is not passed over: a look that is a year late dissolves, and the end is 30 days from then."""
    later(365 * DAY)
    assert "dissolved" == dissolving.look() == dissolving.look()
    later(DISSOLVED - SECOND)
    assert "dissolved" == dissolving.look()
    later(-365 * DAY)
    assert "dissolved" == dissolving.look()
    later(365 * DAY + SECOND)
    assert "ended" == dissolving.look()


def test_replicas_that_look_at_once_take_each_step_once(dissolving: Dissolving, later: Later) -> None:
    """Three of them, at the end of both periods."""
    replicas = [Cell(dissolving.cell.settings) for _ in range(3)]
    for after, happened in ((SUSPENDED, ["AccountSuspended", "AccountDissolved"]), (DISSOLVED, None)):
        later(after)
        at_once([replica.service("lifecycle").take_due_steps for replica in replicas])
        if happened is not None:
            assert happened == dissolving.happened()
    dissolving.settle()
    assert {} == dissolving.left()
    check_logs(dissolving, gone=len(ACCOUNT_SERVICES))


def test_configuration_that_is_removed_twice_is_removed_once(dissolving: Dissolving, later: Later) -> None:
    """The event comes again: nothing is appended."""
    later(SUSPENDED)
    dissolving.look()
    (again,) = dissolving.happening("AccountDissolved")
    before = dissolving.number("identity", "lethe.event")
    dissolving.cell.deliver(again)
    assert before == dissolving.number("identity", "lethe.event")
