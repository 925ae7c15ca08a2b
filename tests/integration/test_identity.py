"""Users on a real database: who is added and removed, whom a token names, and what an erasure leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from services.contacts.commands import AddUserPerson
from services.contacts.events import TYPES as CONTACTS_TYPES
from services.contacts.handlers import add_user_person
from services.contacts.projections import project as contacts_project
from services.identity.commands import AddUser, ListUsers, MintToken, RemoveUser, ShowUser, UserView
from services.identity.events import TYPES, ActorCutOff, Role
from services.identity.handlers import Caller, add_user, mint_token, remove_user
from services.identity.holdings import HOLDINGS
from services.identity.projections import project
from services.identity.queries import list_users, show_user
from shared import account_states, clock
from shared.admission import admit_user
from shared.erasing import erase_subject, probe
from shared.errors import (
    AccountSuspended,
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionRefused,
    PersonErased,
    Refused,
    Unauthenticated,
)
from shared.events import Envelope
from shared.ids import new_id
from shared.personal import ERASED
from shared.settings import LOCAL_CELL, Settings
from shared.tokens import Actor, TokenIssuer, TokenVerifier
from shared.work import SYSTEM_ACTOR, Store
from tests.support.cell import Cell
from tests.support.databases import fresh_home, server, superuser
from tests.support.desk import await_it
from tests.support.gate import Gate, Running
from tests.support.together import at_once

OPERATOR = Caller(SYSTEM_ACTOR, is_operator=True)


class Desk:
    """One account's identity, and contacts beside it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(TYPES, project, settings)
        self.contacts = Store(CONTACTS_TYPES, contacts_project, settings)
        self.issuer = TokenIssuer("identity", settings.path("root-keys", "identity", "token.key"))
        self.account = new_id()

    def person_of(self, login: str, name: str) -> str:
        return add_user_person(self.contacts, self.account, SYSTEM_ACTOR, AddUserPerson(address=login, name=name)).id

    def add(self, caller: Caller, role: Role, login: str, key: str | None = None) -> UserView:
        return add_user(self.store, self.account, caller, key, AddUser(role=role, name="Olga Owl", login=login), self.person_of)

    def owner(self, login: str = "olga@kettles.example") -> UserView:
        return self.add(OPERATOR, "owner", login)

    def remove(self, caller: Caller, user: str) -> UserView:
        return remove_user(self.store, self.account, caller, RemoveUser(user=user))

    def users(self, *, include_removed: bool = False) -> list[UserView]:
        return list_users(self.store, self.account, ListUsers(include_removed=include_removed)).users

    def erase(self, *persons: str) -> str:
        """What the reaction to `SubjectErased` does; gives the outcome that the receipt tells."""
        request = new_id()
        erase_subject(self.store, HOLDINGS, subject_erased(self.account, request, persons))
        with self.store.work(self.account) as work:
            receipt = work.load(f"erasure/{request}")[-1].envelope.data
            left = probe(HOLDINGS, work, request, persons, ["olga@kettles.example"])
        assert left == {}
        return str(receipt["outcome"])


def subject_erased(account: str, request: str, persons: tuple[str, ...]) -> Envelope:
    return Envelope(
        account=account, actor=SYSTEM_ACTOR, causation=None, data={"request_id": request, "person_ids": list(persons)},
        event=new_id(), schema=1, sealed=[], service="erasure", stream=f"erasure/{request}", time=clock.now(),
        type="erasure.SubjectErased", version=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Databases for these tests: each test has an account of its own."""
    folder: Path = tmp_path_factory.mktemp("identity")
    with server(folder / "server") as admin_url:
        with fresh_home(folder / "home", admin_url, ("identity", "contacts")) as settings:
            made = Desk(settings)
            yield made
            made.store.database.close()
            made.contacts.database.close()


@pytest.fixture
def desk(cell: Desk) -> Desk:
    """A new account."""
    cell.account = new_id()
    return cell


def caller(user: UserView) -> Caller:
    return Caller(user.user_id)


def test_the_first_owner_adds_the_others(desk: Desk) -> None:
    """An operator adds the first owner; the owner an admin; the admin an agent, but no owner; the agent nobody."""
    owner = desk.owner()
    with pytest.raises(PermissionRefused):
        desk.add(OPERATOR, "agent", "aaron@kettles.example")
    admin = desk.add(caller(owner), "admin", "adam@kettles.example")
    agent = desk.add(caller(admin), "agent", "aaron@kettles.example")
    with pytest.raises(PermissionRefused):
        desk.add(caller(admin), "owner", "ada@kettles.example")
    with pytest.raises(PermissionRefused):
        desk.add(caller(agent), "agent", "ada@kettles.example")
    assert [(one.role, one.login, one.name) for one in desk.users()] == [
        ("owner", "olga@kettles.example", "Olga Owl"),
        ("admin", "adam@kettles.example", "Olga Owl"),
        ("agent", "aaron@kettles.example", "Olga Owl"),
    ]


def test_a_refused_command_leaves_no_person_behind(desk: Desk) -> None:
    """Contacts is asked only when the user may be added."""
    with pytest.raises(PermissionRefused):
        desk.add(OPERATOR, "agent", "aaron@kettles.example")
    with desk.contacts.work(desk.account) as work:
        assert work.fetch("SELECT 1 FROM person WHERE account_id = %s", (desk.account,)) == []


def test_of_two_operators_at_once_one_adds_the_first_owner(desk: Desk) -> None:
    """Ten operators at once: one owner."""
    results = at_once([partial(desk.owner, f"o{number}@kettles.example") for number in range(10)])
    assert sum(isinstance(one, UserView) for one in results) == 1
    assert {type(one) for one in results} == {UserView, PermissionRefused}
    assert len(desk.users()) == 1


def test_a_user_is_found_by_id_login_and_as_owner(desk: Desk) -> None:
    """A login is found in every spelling of the same address; another account's users are not found."""
    owner = desk.owner("Olga@Kettles.Example")
    for who in (owner.user_id, "olga@kettles.example", "OLGA@KETTLES.EXAMPLE", "owner"):
        assert show_user(desk.store, desk.account, ShowUser(user=who)) == owner
    for who in (new_id(), "adam@kettles.example", "admin"):
        with pytest.raises(NotFound):
            show_user(desk.store, desk.account, ShowUser(user=who))
    with pytest.raises(NotFound):
        show_user(desk.store, new_id(), ShowUser(user=owner.user_id))


def test_a_login_is_one_users(desk: Desk) -> None:
    """A login that is taken is a conflict, whatever its case; one that is no address names the field."""
    owner = desk.owner()
    with pytest.raises(Conflict):
        desk.add(caller(owner), "agent", "OLGA@kettles.example")
    for login in ("olga", "olga @kettles.example", "a@b@c", "@kettles.example"):
        with pytest.raises(InvalidArgument) as invalid:
            desk.add(caller(owner), "agent", login)
        assert invalid.value.field == "login"
    results = at_once([lambda: desk.add(caller(owner), "agent", "aaron@kettles.example")] * 5)
    assert sum(isinstance(one, UserView) for one in results) == 1
    assert {type(one) for one in results} == {UserView, Conflict}


def test_a_command_sent_again_is_done_once(desk: Desk) -> None:
    """With an idempotency key the same command gives the same user, also when it comes five times at once; another command
    under that key is a conflict, and neither key nor request stands in the row."""
    results = at_once([partial(desk.add, OPERATOR, "owner", "olga@kettles.example", "first")] * 5)
    (owner, *others) = results
    assert isinstance(owner, UserView) and others == [owner] * 4
    assert desk.add(OPERATOR, "owner", "olga@kettles.example", "first") == owner
    with pytest.raises(Conflict):
        desk.add(OPERATOR, "owner", "oscar@kettles.example", "first")
    results = at_once([lambda: desk.add(caller(owner), "agent", "aaron@kettles.example", "k")] * 5)
    assert len({one.user_id for one in results if isinstance(one, UserView)}) == 1
    assert all(isinstance(one, UserView) for one in results)
    with desk.store.work(desk.account) as work:
        rows = work.fetch("SELECT command_key, request_hash FROM lethe.idempotency WHERE account_id = %s", (desk.account,))
    assert sorted(len(bytes(part)) for row in rows for part in row) == [32] * 4


def test_a_removed_user_is_shown_by_id_only_and_holds_nothing(desk: Desk) -> None:
    """Removed: out of the list, no token, no rights with the old one; the login is free; twice is once."""
    owner = desk.owner()
    admin = desk.add(caller(owner), "admin", "adam@kettles.example")
    removed = desk.remove(caller(owner), "adam@kettles.example")
    assert (removed.user_id, removed.state) == (admin.user_id, "removed")
    assert desk.remove(caller(owner), admin.user_id) == removed
    assert [one.user_id for one in desk.users()] == [owner.user_id]
    assert len(desk.users(include_removed=True)) == 2
    with pytest.raises(PermissionRefused):
        desk.add(caller(admin), "agent", "aaron@kettles.example")
    with pytest.raises(NotFound):
        mint_token(desk.store, desk.issuer, desk.account, MintToken(user=admin.user_id))
    again = desk.add(caller(owner), "agent", "adam@kettles.example")
    assert again.user_id != admin.user_id and again.person_id == admin.person_id


def test_an_admin_removes_no_owner(desk: Desk) -> None:
    """Nobody removes who ranks above them."""
    owner = desk.owner()
    desk.add(caller(owner), "owner", "oscar@kettles.example")
    admin = desk.add(caller(owner), "admin", "adam@kettles.example")
    with pytest.raises(PermissionRefused):
        desk.remove(caller(admin), "oscar@kettles.example")


def test_a_last_owner_remains_under_parallel_tries(desk: Desk) -> None:
    """Ten owners remove each other, and themselves, a hundred times at once: one remains (mission E5)."""
    first = desk.owner("o0@kettles.example")
    owners = [first, *(desk.add(caller(first), "owner", f"o{number}@kettles.example") for number in range(1, 10))]
    results = at_once([partial(desk.remove, caller(actor), target.user_id) for actor in owners for target in owners])
    assert len([one for one in desk.users() if one.role == "owner"]) == 1
    assert {type(one) for one in results} <= {UserView, PermissionRefused, Refused}


def test_two_owners_who_leave_at_once_leave_one(desk: Desk) -> None:
    """The narrowest case, again and again: each of the last two removes themselves (mission E5)."""
    for number in range(12):
        desk.account = new_id()
        first = desk.owner(f"a{number}@kettles.example")
        second = desk.add(caller(first), "owner", f"b{number}@kettles.example")
        results = at_once([partial(desk.remove, caller(one), one.user_id) for one in (first, second)])
        assert {type(one) for one in results} == {UserView, Refused}
        assert len(desk.users()) == 1


def test_a_token_names_the_user(desk: Desk) -> None:
    """A minted token says account, user and role, and ends when it was said to end."""
    owner = desk.owner()
    agent = desk.add(caller(owner), "agent", "aaron@kettles.example")
    verifier = TokenVerifier(desk.settings.path("verifiers"))
    for who, user in (("owner", owner), ("aaron@kettles.example", agent), (agent.user_id, agent)):
        minted = mint_token(desk.store, desk.issuer, desk.account, MintToken(user=who, minutes=720))
        actor = verifier.verify(minted.token, clock.now())
        assert (actor.kind, actor.id, actor.account_id, actor.role) == ("user", user.user_id, desk.account, user.role)
        assert actor.expires_at is not None
        assert timedelta(0) <= actor.expires_at - minted.expires_at < timedelta(seconds=5)


def is_taken(desk: Desk, token: str) -> bool:
    """Whether identity takes a user's token now."""
    actor = TokenVerifier(desk.settings.path("verifiers")).verify(token, clock.now())
    try:
        admit_user(desk.store, desk.account, actor, allow_suspended=False)
    except Unauthenticated:
        return False
    return True


def test_a_removed_users_tokens_end_with_the_commit(desk: Desk) -> None:
    """Of a user who is removed, and of one whose person is erased, every token from before is refused here at once, and the
    event tells the others from when on; another user's goes on."""
    owner = desk.owner()
    agents = [desk.add(caller(owner), "agent", f"{name}@kettles.example") for name in ("aaron", "abe")]
    tokens = [
        mint_token(desk.store, desk.issuer, desk.account, MintToken(user=one.user_id, minutes=720)).token
        for one in (owner, *agents)
    ]
    assert [True, True, True] == [is_taken(desk, token) for token in tokens]
    desk.remove(caller(owner), agents[0].user_id)
    assert [True, False, True] == [is_taken(desk, token) for token in tokens]
    desk.erase(agents[1].person_id)
    assert [True, False, False] == [is_taken(desk, token) for token in tokens]
    with desk.store.work(desk.account) as work:
        for one in agents:
            told = [each.event for each in work.load(f"user/{one.user_id}") if isinstance(each.event, ActorCutOff)]
            assert [one.user_id] == [each.user_id for each in told]
            assert told[0].not_before <= clock.now()


def test_a_token_minted_while_its_user_is_removed_is_refused(desk: Desk, turnstile: Gate) -> None:
    """Who mints waits for a removal that is about to commit, and then finds no user: no token outlives its user because both
    happened at once."""
    owner = desk.owner()
    agent = desk.add(caller(owner), "agent", "aaron@kettles.example")
    removing = turnstile.hold(partial(desk.remove, caller(owner), agent.user_id))
    minting = Running(partial(mint_token, desk.store, desk.issuer, desk.account, MintToken(user=agent.user_id))).start()
    await_it(lambda: waits_for_a_lock(desk), 20)
    removing.release()
    with pytest.raises(NotFound):
        minting.result()


def waits_for_a_lock(desk: Desk) -> bool:
    """Whether somebody stands before a lock in identity's database."""
    with closing(superuser(desk.settings, "identity")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
        return bool(cursor.fetchone()[0])


def test_no_token_while_the_account_is_suspended(desk: Desk) -> None:
    """Suspended: no login (mission L3). Resumed: again."""
    desk.owner()
    account_states.set_state(desk.store, desk.account, "suspended", 2)
    with pytest.raises(AccountSuspended):
        mint_token(desk.store, desk.issuer, desk.account, MintToken(user="owner"))
    account_states.set_state(desk.store, desk.account, "active", 3)
    assert mint_token(desk.store, desk.issuer, desk.account, MintToken(user="owner")).role == "owner"


def test_a_users_profile_goes_with_its_person(desk: Desk) -> None:
    """After the erasure of an agent's person nothing of them is left, removed users included, but that there was an agent; the
    login is free."""
    owner = desk.owner()
    agent = desk.add(caller(owner), "agent", "aaron@kettles.example")
    assert desk.erase(agent.person_id) == "erased"
    assert desk.erase(new_id()) == "nothing held"
    former = show_user(desk.store, desk.account, ShowUser(user=agent.user_id))
    assert (former.name, former.login, former.state) == ("former agent", ERASED, "removed")
    with pytest.raises(NotFound):
        show_user(desk.store, desk.account, ShowUser(user="aaron@kettles.example"))
    assert [one.user_id for one in desk.users(include_removed=True)] == [owner.user_id]
    with desk.store.work(desk.account) as work:
        parts = work.load(f"user/{agent.user_id}")[0].sealed
        assert parts == {"name": None, "login": None}
    with pytest.raises(PersonErased):
        desk.add(caller(owner), "agent", "aaron@kettles.example")  # contacts, not asked to erase here, still knows them


def test_a_last_owners_profile_is_retained(desk: Desk) -> None:
    """The receipt says so and the profile stays, also when another owner comes; one of two owners is erased (mission E5)."""
    owner = desk.owner()
    assert desk.erase(owner.person_id) == "retained"
    assert show_user(desk.store, desk.account, ShowUser(user="owner")) == owner
    desk.add(caller(owner), "owner", "oscar@kettles.example")
    with desk.store.work(desk.account) as work:
        assert HOLDINGS.remove(work, [owner.person_id]) == 0  # a removal that comes late takes nothing that is not cut
    assert show_user(desk.store, desk.account, ShowUser(user=owner.user_id)) == owner
    assert desk.erase(owner.person_id) == "erased"
    assert [one.login for one in desk.users()] == ["oscar@kettles.example"]


def test_erasure_and_removal_at_once_leave_an_owner(desk: Desk) -> None:
    """One of two owners is erased while the other is removed: an owner remains, whichever comes first (mission E5)."""
    for number in range(12):
        desk.account = new_id()
        first = desk.owner(f"a{number}@kettles.example")
        second = desk.add(caller(first), "owner", f"b{number}@kettles.example")
        request = new_id()
        event = subject_erased(desk.account, request, (first.person_id,))
        at_once(
            [
                partial(erase_subject, desk.store, HOLDINGS, event),
                partial(desk.remove, caller(second), second.user_id),
            ]
        )
        assert len([one for one in desk.users() if one.role == "owner"]) >= 1


def test_outside_of_a_local_stack_no_operator_looks_at_users_or_acts_as_one(settings: Settings) -> None:
    """The vendor's people need a grant there; the account's own are let in as ever."""
    account, operator = new_id(), Actor(kind="operator", id=new_id(), role="operator")
    owner = {"role": "owner", "name": "Olga", "login": "olga@kettles.example"}
    Cell(settings).call(account, "identity", "add_user", owner, operator)
    for home, is_refused in ((replace(settings, cell=LOCAL_CELL), False), (replace(settings, cell="de1"), True)):
        cell = Cell(home)
        cell.service("identity").runtime.store.settings = home
        for method, argument in (("list_users", {}), ("show_user", {"user": "owner"}), ("mint_token", {"user": "owner"})):
            assert is_refused == refuses(lambda: cell.call(account, "identity", method, argument, operator))  # noqa: B023
        assert not refuses(lambda: cell.call(account, "identity", "list_users", {}))  # noqa: B023


def refuses(call: Callable[[], object]) -> bool:
    """Whether a call is refused for who makes it."""
    try:
        call()
    except PermissionRefused:
        return True
    return False
