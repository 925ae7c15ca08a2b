"""Accounts on a real database: names that are unique in the cell, states that take effect at once, and nothing of a person."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from services.lifecycle.commands import AccountView, FindAccount, ListAccounts, OpenAccount, SuspendAccount
from services.lifecycle.events import TYPES
from services.lifecycle.handlers import Tell, open_account, resume_account, suspend_account
from services.lifecycle.holdings import HOLDINGS
from services.lifecycle.periods import Periods
from services.lifecycle.projections import project
from services.lifecycle.queries import find_account, list_accounts, show_account
from services.lifecycle.routing import Routing
from services.lifecycle.service import LifecycleService
from shared import account_states, clock
from shared.account_states import KeepAccountState
from shared.erasing import erase_subject, probe
from shared.errors import AccountSuspended, Conflict, Incomplete, InvalidArgument, NotFound
from shared.events import Envelope
from shared.ids import new_id
from shared.rpc import Call
from shared.settings import Settings
from shared.tokens import Actor
from shared.work import SYSTEM_ACTOR, Store
from tests.support.databases import fresh_home, server
from tests.support.together import at_once


class Cell:
    """The lifecycle service of a cell, and names that no other test takes."""

    def __init__(self, settings: Settings) -> None:
        self.store = Store(TYPES, project, settings)
        self.routing = Routing.of(settings)
        self.periods = Periods()

    def open(self, name: str, key: str | None = None, *, is_trial: bool = False) -> AccountView:
        command = OpenAccount(name=name, plan="trial" if is_trial else "paid")
        return open_account(self.store, self.routing, self.periods, SYSTEM_ACTOR, command, key)

    def new(self) -> AccountView:
        return self.open(f"Kettles {new_id()[:8]}")

    def find(self, name: str) -> AccountView:
        return find_account(self.store, self.periods, self.routing, FindAccount(name=name))

    def suspend(self, account_id: str, tell: Tell = lambda state: ()) -> AccountView:
        return suspend_account(
            self.store, self.periods, account_id, SYSTEM_ACTOR, SuspendAccount(reason="billing-failed"), tell
        )

    def resume(self, account_id: str, tell: Tell = lambda state: ()) -> AccountView:
        return resume_account(self.store, self.periods, account_id, SYSTEM_ACTOR, tell)

    def events(self, account_id: str) -> list[str]:
        with self.store.work(account_id) as work:
            return [one.envelope.type for one in work.load(f"account/{account_id}")]


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    """A cell for these tests: each opens accounts of its own."""
    folder: Path = tmp_path_factory.mktemp("lifecycle")
    with server(folder / "server") as admin_url, fresh_home(folder / "home", admin_url, ("lifecycle",)) as settings:
        made = Cell(settings)
        yield made
        made.store.database.close()


def test_an_account_is_found_by_its_name(cell: Cell) -> None:
    """Whatever the case, the width of its letters and the spaces; it is shown as it was given."""
    opened = cell.open("  Harbour   Kettles Ltd ", is_trial=True)
    assert (opened.name, opened.plan, opened.state) == ("Harbour Kettles Ltd", "trial", "active")
    for name in ("Harbour Kettles Ltd", "HARBOUR KETTLES LTD", "harbour\tkettles ltd", "Ｈarbour Kettles Ltd"):
        assert cell.find(name) == opened
    for name in ("Harbour Kettle Ltd", "Harbour"):
        with pytest.raises(NotFound):
            cell.find(name)


def test_a_name_is_one_accounts(cell: Cell) -> None:
    """A second account of a name is a conflict, also when ten are opened at once."""
    cell.open("Bright Lamps")
    with pytest.raises(Conflict):
        cell.open("bright lamps")
    results = at_once([partial(cell.open, "Dark Lamps")] * 10)
    assert sum(isinstance(one, AccountView) for one in results) == 1
    assert {getattr(one, "code", "ok") for one in results} == {"ok", "conflict"}


def test_a_name_is_readable_and_no_id(cell: Cell) -> None:
    """What could pass for another account, or can't be seen, is refused with the field's name."""
    for name in (" ", "--", new_id(), "Kettles\x00", "Kett\u202eles", "Kett\u200bles"):
        with pytest.raises(InvalidArgument) as invalid:
            cell.open(name)
        assert invalid.value.field == "name"


def test_a_command_sent_again_opens_one_account(cell: Cell) -> None:
    """With an idempotency key, five at once and one later give the same account; another request is a conflict."""
    key = new_id()
    results = at_once([partial(cell.open, "Slow Answers", key)] * 5)
    assert all(isinstance(one, AccountView) for one in results), results
    (opened,) = {one.account_id for one in results if isinstance(one, AccountView)}
    assert cell.open("Slow Answers", key).account_id == opened
    for name, is_trial in (("Slower Answers", False), ("Slow Answers", True)):
        with pytest.raises(Conflict):
            cell.open(name, key, is_trial=is_trial)
    with pytest.raises(Conflict):
        cell.open("Slow Answers", new_id())
    with pytest.raises(NotFound):
        cell.find("Slower Answers")


def test_the_routing_table_tells_no_name(cell: Cell) -> None:
    """It holds a keyed token, an id and a time. SQL that forgets the account sees no account's row, and no event."""
    opened = cell.new()
    with cell.store.work(SYSTEM_ACTOR) as work:
        (row,) = work.fetch("SELECT * FROM account_name WHERE account_id = %s", (opened.account_id,))
        assert len(row) == 3 and isinstance(row[0], int) and row[1:] == (opened.account_id, opened.opened_at)
        assert work.fetch("SELECT 1 FROM account") == work.fetch("SELECT 1 FROM lethe.event") == []


def test_accounts_are_listed_page_by_page(cell: Cell) -> None:
    """Each account once, oldest first."""
    mine = [cell.new().account_id for _ in range(5)]
    seen: list[str] = []
    after: str | None = None
    while True:
        page = list_accounts(cell.store, cell.periods, ListAccounts(after=after, limit=2))
        seen += [one.account_id for one in page.accounts]
        after = page.next_after
        if after is None:
            break
    assert len(seen) == len(set(seen)) and seen[-5:] == mine
    with pytest.raises(NotFound):  # as an account that has ended since the page before: no page looks like the last one
        list_accounts(cell.store, cell.periods, ListAccounts(after=new_id()))


def test_suspending_takes_effect_here_at_once(cell: Cell) -> None:
    """The state that refuses users changes in the same transaction. Twice is once, and a resumed account is open again."""
    account_id = cell.new().account_id
    assert account_states.state_of(cell.store, account_id) == "active"
    suspended = cell.suspend(account_id)
    assert suspended.state == "suspended" == account_states.state_of(cell.store, account_id)
    assert cell.suspend(account_id) == suspended
    assert cell.resume(account_id).state == "active" == account_states.state_of(cell.store, account_id)
    assert cell.resume(account_id).state == "active"
    assert cell.events(account_id) == [
        "lifecycle.AccountOpened", "lifecycle.AccountSuspended", "lifecycle.AccountResumed"
    ]  # fmt: skip


def test_a_service_that_is_not_told_is_named(cell: Cell) -> None:
    """Suspending is incomplete while a service has not said that it knows: the error names it, the account is suspended, and
    the same again, once that service is back, is complete, tells the same state and adds no event."""
    account_id = cell.new().account_id
    told: list[KeepAccountState] = []

    def tell(state: KeepAccountState) -> list[str]:
        told.append(state)
        return ["tickets"] if len(told) == 1 else []

    with pytest.raises(Incomplete) as incomplete:
        cell.suspend(account_id, tell)
    assert {"state": "suspended", "services": ["tickets"]} == incomplete.value.details
    assert "tickets" in str(incomplete.value)
    assert "suspended" == account_states.state_of(cell.store, account_id)
    assert "suspended" == cell.suspend(account_id, tell).state
    assert "active" == cell.resume(account_id, tell).state == cell.resume(account_id, tell).state
    expected = [("suspended", 2), ("suspended", 2), ("active", 3), ("active", 3)]
    assert expected == [(one.state, one.version) for one in told]
    assert 3 == len(cell.events(account_id))


def test_a_late_delivery_of_its_own_event_changes_nothing(cell: Cell) -> None:
    """Of two states the one with the higher version wins, here as in every service."""
    account_id = cell.new().account_id
    cell.suspend(account_id)
    cell.resume(account_id)
    account_states.set_state(cell.store, account_id, "suspended", 2)
    assert account_states.state_of(cell.store, account_id) == "active"


def test_many_at_once_suspend_once(cell: Cell) -> None:
    """Ten operators at once: one event."""
    account_id = cell.new().account_id
    results = at_once([partial(cell.suspend, account_id)] * 10)
    assert all(isinstance(one, AccountView) for one in results)
    assert cell.events(account_id) == ["lifecycle.AccountOpened", "lifecycle.AccountSuspended"]


def test_an_unknown_account_is_not_found(cell: Cell) -> None:
    """By id, for every command."""
    for call in (cell.suspend, cell.resume, partial(show_account, cell.store, cell.periods)):
        with pytest.raises(NotFound):
            call(new_id())


def test_of_a_suspended_account_its_owner_alone_sees_the_state(cell: Cell) -> None:
    """The owner has to know in order to ask for it back (mission L3, L4); admins and agents are refused."""
    account_id = cell.new().account_id
    service = LifecycleService()
    service.runtime = cell  # type: ignore[assignment]  # what a worker is given
    declared = LifecycleService.show_account.__rpc__  # type: ignore[attr-defined]

    def show(role: str) -> AccountView:
        actor = Actor(kind="user", id=new_id(), account_id=account_id, role=role)  # type: ignore[arg-type]
        call = Call(actor=actor, token="", account_id=account_id, idempotency_key=None, deadline=clock.now(), argument=None)
        service.admit(call, declared.allow_suspended)
        return service.show_account(call)

    assert {show(role).state for role in ("owner", "admin", "agent")} == {"active"}
    cell.suspend(account_id)
    assert show("owner").state == "suspended"
    for role in ("admin", "agent"):
        with pytest.raises(AccountSuspended):
            show(role)


def test_an_erasure_finds_nothing_held_here(cell: Cell) -> None:
    """An account's name is no person's: the receipt says "nothing held", never "erased" (mission E8); the name still opens."""
    opened = cell.new()
    request, person = new_id(), new_id()
    envelope = Envelope(
        account=opened.account_id, actor=SYSTEM_ACTOR, causation=None,
        data={"request_id": request, "person_ids": [person]}, event=new_id(), schema=1, sealed=[], service="erasure",
        stream=f"erasure/{request}", time=clock.now(), type="erasure.SubjectErased", version=1,
    )  # fmt: skip
    for _ in range(2):
        erase_subject(cell.store, HOLDINGS, envelope)
    with cell.store.work(opened.account_id) as work:
        assert work.load(f"erasure/{request}")[-1].envelope.data["outcome"] == "nothing held"
        assert probe(HOLDINGS, work, request, [person], ["olga@kettles.example"]) == {}
    assert show_account(cell.store, cell.periods, opened.account_id) == opened
