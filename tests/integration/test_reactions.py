"""Reactions to events that come in any order and any number of times: the rows they leave are the same (architecture, "Between
services"). The reactions and the databases are the product's; the test takes the broker's part and delivers.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.demo_mail import Manifest, generate
from services.contacts.commands import AddMailbox
from services.identity.commands import AddUser
from services.lifecycle.commands import OpenAccount, SuspendAccount
from services.tickets.commands import ImportMails
from shared import account_states, clock
from shared.account_states import KeepAccountState
from shared.errors import AccountSuspended, LetheError, PermissionRefused, Unauthenticated
from shared.events import Envelope
from shared.ids import new_id
from shared.mail.archive import walk
from shared.rpc import Call
from shared.settings import ACCOUNT_SERVICES, SERVICES, Settings
from shared.tokens import Actor, service_actor
from tests.support.cell import Cell, Delivery
from tests.support.cell_session import canonical
from tests.support.databases import superuser
from tests.support.gate import Running

OPERATOR = Actor(kind="operator", id="operator", role="operator")
AGENT, OWNER = "aaron@harbour-kettles.example", "olga@harbour-kettles.example"
MAILS = 60


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], Manifest]:
    """The mails of a generated archive, in their order."""
    folder = tmp_path_factory.mktemp("archive")
    manifest = generate(folder, mails=MAILS, people=6, seed=11, large_part_bytes=1_000)
    (folder / "broken" / "many-recipients.eml").unlink()  # 2,000 more people would tell nothing more
    return [one.raw for one in walk([Path(folder)])], manifest


class Story:
    """An account in which things happened that everybody has to hear of: users, mails, a suspension that is over, and four
    erasures: of two correspondents, of an agent, and of the last owner, whose profile is kept."""

    def __init__(self, cell: Cell, archive: tuple[list[bytes], Manifest]) -> None:
        self.cell = cell
        mails, manifest = archive
        opened = cell.call(new_id(), "lifecycle", "open_account", OpenAccount(name=f"desk {new_id()}"), OPERATOR)
        self.account: str = opened.account_id
        owner = self.call("identity", "add_user", AddUser(role="owner", name="Olga Owl", login=OWNER), OPERATOR)
        by_owner = Actor(kind="user", id=owner.user_id, account_id=self.account, role="owner")
        self.call("identity", "add_user", AddUser(role="agent", name="Aaron Ant", login=AGENT), by_owner)
        self.call("contacts", "add_mailbox", AddMailbox(address=manifest.desk_address), by_owner)
        for at in range(0, len(mails), 20):
            self.call("tickets", "import_mails", ImportMails(mails=mails[at : at + 20]))
        self.call("lifecycle", "suspend_account", SuspendAccount(), OPERATOR)
        self.call("lifecycle", "resume_account", None, OPERATOR)
        writers = Counter(mail.sender for mail in manifest.mails if mail.sender in {one.address for one in manifest.people})
        for address in (*[writer for writer, _ in writers.most_common(2)], AGENT, OWNER):
            self.call("erasure", "request_erasure", {"who": address, "reason": "asked"})

    def call(self, service: str, method: str, argument: Any, actor: Actor | None = None) -> Any:
        return self.cell.call(self.account, service, method, argument, actor)

    def settle(self, order: random.Random | None = None) -> None:
        """Delivers until nothing new happens: each event once in the order of the logs, or with `order` shuffled, twice, and
        all earlier ones again."""
        delivered: set[tuple[str, str, str]] = set()
        while True:
            due = self._logged()
            new = [one for one in due if (one.service, one.method, one.envelope.event) not in delivered]
            if not new:
                return
            delivered |= {(one.service, one.method, one.envelope.event) for one in new}
            if order is not None:
                new = order.sample(due * 2, len(due) * 2)
            for one in new:
                self.cell.deliver(one)

    def deliver_all_again(self, order: random.Random, times: int) -> None:
        """Delivers everything that ever happened, shuffled."""
        due = self._logged() * times
        for one in order.sample(due, len(due)):
            self.cell.deliver(one)

    def _logged(self) -> list[Delivery]:
        for service in SERVICES:
            self.cell.sign(service)
        return self.cell.deliveries(self.account, SERVICES)

    def rows(self) -> dict[str, list[str]]:
        """Every row of the account in every service, by service and table."""
        return {
            f"{service}.{table}": rows
            for service in SERVICES
            for table, rows in rows_of(self.cell.settings, service, self.account).items()
        }

    def counts(self) -> dict[str, int]:
        """How many rows there are, by service and table, and how many events of each type."""
        events = Counter(one.type for service in SERVICES for one in self.cell.logged(self.account, service))
        return {name: len(rows) for name, rows in self.rows().items()} | events


def rows_of(settings: Settings, service: str, account: str) -> dict[str, list[str]]:
    """Every row of an account in one service's database, as text, by table."""
    connection = superuser(settings, service)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name FROM information_schema.columns"
            " WHERE table_schema IN ('lethe', 'keys') AND column_name = 'account_id' ORDER BY 1, 2"
        )
        found = {}
        for schema, table in cursor.fetchall():
            cursor.execute(f"SELECT row.*::text FROM {schema}.{table} AS row WHERE account_id = %s ORDER BY 1", (account,))
            found[f"{schema}.{table}"] = [row for (row,) in cursor.fetchall()]
    connection.close()
    return found


def differences(expected: dict[str, int], actual: dict[str, int]) -> dict[str, tuple[int | None, int | None]]:
    """What is not the same in both."""
    names = sorted({*expected, *actual})
    return {name: (expected.get(name), actual.get(name)) for name in names if expected.get(name) != actual.get(name)}


def states(story: Story) -> list[str]:
    """The states of the account's requests for erasure."""
    return [one.state for one in story.call("erasure", "list_erasures", {}).requests]


def test_every_event_delivered_again_and_again_changes_no_row(
    cell: Cell, archive: tuple[list[bytes], Manifest]
) -> None:
    """All events of an account, delivered three times more in a shuffled order, leave every row of every service as it was:
    read models, keys, tombstones, indices, inbox, and the event log, to which nothing is added."""
    story = Story(cell, archive)
    story.settle()
    assert ["completed"] * 4 == states(story)
    before = story.rows()
    assert len(before["contacts.lethe.event"]) > 0 < len(before["tickets.lethe.message"])
    story.deliver_all_again(random.Random(5), times=3)
    assert before == story.rows()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shuffled_and_repeated_deliveries_leave_what_ordered_ones_leave(
    settings: Settings, archive: tuple[list[bytes], Manifest], seed: int
) -> None:
    """The same story with its events delivered once and in order, and shuffled and repeated: the same canonical export, the
    same number of rows in each table, and every request completed."""
    ordered, shuffled = Story(Cell(settings), archive), Story(Cell(settings), archive)
    ordered.settle()
    shuffled.settle(random.Random(seed))
    assert ["completed"] * 4 == states(shuffled)
    assert canonical(ordered.cell, ordered.account) == canonical(shuffled.cell, shuffled.account)
    assert differences(ordered.counts(), shuffled.counts()) == {}


def test_one_event_delivered_to_two_replicas_at_once_is_handled_once(
    settings: Settings, archive: tuple[list[bytes], Manifest]
) -> None:
    """Two replicas of every service get the same events at the same time: one cut, one receipt and one certificate of each."""
    alone, story = Story(Cell(settings), archive), Story(Cell(settings), archive)
    alone.settle()
    replica = Cell(settings)
    delivered: set[tuple[str, str]] = set()
    while due := [one for one in story._logged() if (one.method, one.envelope.event) not in delivered]:
        delivered |= {(one.method, one.envelope.event) for one in due}
        for one in due:
            both = [Running(partial(on.deliver, one)).start() for on in (story.cell, replica)]
            for each in both:
                each.result()
    assert ["completed"] * 4 == states(story)
    assert differences(alone.counts(), story.counts()) == {}


def test_the_account_state_with_the_highest_version_wins_in_every_order(cell: Cell) -> None:
    """AccountSuspended and AccountResumed in every order, each twice: every service that listens ends at the newest state."""
    opened = cell.call(new_id(), "lifecycle", "open_account", OpenAccount(name=f"desk {new_id()}"), OPERATOR)
    for _ in range(2):
        cell.call(opened.account_id, "lifecycle", "suspend_account", SuspendAccount(), OPERATOR)
        cell.call(opened.account_id, "lifecycle", "resume_account", None, OPERATOR)
    cell.sign("lifecycle")
    told = [one for one in cell.logged(opened.account_id, "lifecycle") if one.type != "lifecycle.AccountOpened"]
    assert ["AccountSuspended", "AccountResumed"] * 2 == [one.type.partition(".")[2] for one in told]
    listeners = cell.reactions(ACCOUNT_SERVICES)
    for service in ACCOUNT_SERVICES:
        methods = {kind: method for kind, found in listeners.items() for name, method in found if name == service}
        for known in range(1, len(told) + 1):
            for order in permutations(told[:known]):
                assert _state_after(cell, service, methods, order) == (
                    "suspended" if told[known - 1].type.endswith("Suspended") else "active"
                ), [one.version for one in order]


def test_an_answered_suspension_has_closed_every_service(cell: Cell) -> None:
    """Before any event is delivered: the next call of a user is refused in each service, and admitted again after resuming."""
    opened = cell.call(new_id(), "lifecycle", "open_account", OpenAccount(name=f"desk {new_id()}"), OPERATOR)
    agent = Actor(kind="user", id=new_id(), account_id=opened.account_id, role="agent")
    for command, closed in (("suspend_account", ACCOUNT_SERVICES), ("resume_account", ())):
        cell.call(opened.account_id, "lifecycle", command, SuspendAccount() if closed else None, OPERATOR)
        refused = {one for one in ACCOUNT_SERVICES if is_refused(cell, one, opened.account_id, agent, AccountSuspended)}
        assert set(closed) == refused


def is_refused(cell: Cell, service: str, account: str, actor: Actor, error: type[LetheError]) -> bool:
    """Whether a service refuses a user's call with this error."""
    call = Call(actor=actor, token="", account_id=account, idempotency_key=None, deadline=clock.now(), argument=None)
    try:
        cell.service(service).admit(call, allow_suspended=False)
    except error:
        return True
    return False


def test_only_lifecycle_says_what_state_an_account_has(cell: Cell) -> None:
    """Another service that is broken into can neither close an account nor open it."""
    for service in ACCOUNT_SERVICES:
        with pytest.raises(PermissionRefused):
            cell.call(
                new_id(), service, "keep_account_state", KeepAccountState(state="active", version=9), service_actor("erasure")
            )


def test_the_latest_cutoff_wins_in_every_order(cell: Cell) -> None:
    """ActorCutOff in every order and twice: every service refuses the user's tokens from before the latest of them, alone of
    this user and alone in this account, and takes those from after it."""
    account, user, other = new_id(), new_id(), new_id()
    begun = clock.now()
    moments = [begun + timedelta(seconds=place) for place in range(3)]
    methods = dict(cell.reactions(ACCOUNT_SERVICES)["identity.ActorCutOff"])
    assert set(ACCOUNT_SERVICES) == set(methods)

    def cut_off(account: str, moment: datetime) -> Envelope:
        data = {"user_id": user, "not_before": msgspec.to_builtins(moment)}
        return Envelope(
            account=account, actor=user, causation=None, data=data, event=new_id(), schema=1, sealed=[], service="identity",
            stream=f"user/{user}", time=moment, type="identity.ActorCutOff", version=2,
        )  # fmt: skip

    def minted(moment: datetime, account: str, who: str = user) -> Actor:
        return Actor(kind="user", id=who, account_id=account, role="owner", issued_at=moment)

    for order in permutations(moments):
        account = new_id()
        for service in ACCOUNT_SERVICES:
            for moment in (*order, order[0]):
                cell.deliver(Delivery(service, methods[service], cut_off(account, moment)))
            tokens = [minted(moment, account) for moment in moments]
            tokens += [minted(begun, account, other), minted(begun, elsewhere := new_id())]
            accounts = [account] * 4 + [elsewhere]
            refused = [is_refused(cell, service, *one, Unauthenticated) for one in zip(accounts, tokens, strict=True)]
            assert [True, True, False, False, False] == refused, (service, order)


def _state_after(cell: Cell, service: str, methods: dict[str, str], order: tuple[Envelope, ...]) -> str:
    account = new_id()
    for envelope in (*order, *order[:1]):
        cell.deliver(Delivery(service, methods[envelope.type], msgspec.structs.replace(envelope, account=account)))
    return account_states.state_of(cell.store(service), account)


