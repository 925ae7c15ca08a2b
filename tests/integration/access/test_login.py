"""Logging in with a password, and what failures do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import perf_counter

import pytest
from argon2 import PasswordHasher

from services.identity import password as passwords
from services.identity.access_commands import ChangePassword, LogIn, LoginAnswer, SetFirstPassword
from services.identity.commands import AddFirstOwner, ConfirmLogin, RemoveUser, UserView
from services.identity.handlers import Caller, add_first_owner, remove_user
from services.identity.login_address_handlers import confirm_login
from services.identity.login_handlers import log_in
from services.identity.password_handlers import (
    Attempt,
    change_password,
    count_failure,
    set_first_password,
    stored_password,
)
from shared import account_states
from shared.errors import (
    AccountSuspended,
    Conflict,
    InvalidArgument,
    LetheError,
    PermissionRefused,
    TooManyTries,
    Unauthenticated,
)
from shared.ids import new_id
from tests.support.access import ELSEWHERE, HOME, PASSWORD, Access, MovableClock
from tests.support.databases import superuser

OTHER_PASSWORD = "a teapot full of newts"


def code_of(call: object) -> str:
    """The code of the error that a call ends with, and its message: what a caller sees."""
    try:
        call()  # type: ignore[operator]
    except LetheError as error:
        return f"{error.code}: {error.message} {error.details}"
    return "no error"


def test_login_and_password_give_a_session(access: Access) -> None:
    """And the session is its user's. What has happened is an event."""
    owner = access.owner()
    answer = access.log_in(owner)
    assert ("in", owner.user_id, "owner", None) == (answer.status, answer.user_id, answer.role, answer.challenge)
    assert answer.session_token is not None
    assert owner.user_id == access.bearer(answer.session_token).user_id
    assert ["UserAdded", "PasswordSet", "UserLoggedIn"] == access.events(owner)


def test_the_login_leads_to_its_account_by_itself(access: Access) -> None:
    """In any spelling of the address, without naming the account."""
    login = f"olga.{new_id()[:8]}@kettles.example"
    owner = access.owner(login)
    command = LogIn(login=f" <{login.upper()}>".strip(), password=PASSWORD, source=HOME)
    assert (access.account, owner.user_id) == (log_in(access.store, command).account_id, log_in(access.store, command).user_id)


def test_a_login_of_two_accounts_is_tried_in_each(access: Access) -> None:
    """Each password leads to its own account. One that both have needs the account, and so does nobody's: it is a failure of
    each, and delays the next try once."""
    login = f"olga.{new_id()[:8]}@kettles.example"
    here, there = access.owner(login), Access(access.settings)
    other = there.owner(login, OTHER_PASSWORD)
    assert (access.account, here.user_id) == where(anywhere(access, login, PASSWORD))
    assert (there.account, other.user_id) == where(anywhere(access, login, OTHER_PASSWORD))
    with pytest.raises(Unauthenticated):
        anywhere(access, login, "a wrong password")
    assert ["LoginFailed"] == access.events(here)[-1:] == there.events(other)[-1:]
    with access.store.work(access.account) as work:
        token = Attempt.of(access.store, login, HOME)
        assert 1 == work.fetch("SELECT failures FROM lethe.login_failures(%s, %s)", token)[0][0]
    with pytest.raises(Unauthenticated):
        there.log_in(other, PASSWORD)
    same = Access(access.settings)
    third = same.owner(login)
    events = [access.events(here), same.events(third)]
    with pytest.raises(Unauthenticated):
        anywhere(access, login, PASSWORD)
    assert events == [access.events(here), same.events(third)]  # it was right: nobody is told of a failure
    assert (here.user_id, third.user_id) == (access.log_in(here).user_id, same.log_in(third).user_id)


def anywhere(access: Access, login: str, password: str) -> LoginAnswer:
    """A login that names no account."""
    return log_in(access.store, LogIn(login=login, password=password, source=HOME))


def where(answer: LoginAnswer) -> tuple[str, str | None]:
    return answer.account_id, answer.user_id


def test_an_address_in_somebody_elses_account_changes_nothing(access: Access) -> None:
    """Who adds somebody's login to an account of theirs, or signs up with it, neither keeps them out nor learns of them: their
    own login is found in their account alone, whether the other one is there or not."""
    login = f"olga.{new_id()[:8]}@kettles.example"
    victim, adding, signing_up, first = access.owner(login), *(Access(access.settings) for _ in range(3))
    adding.user(adding.owner(), "agent", login, password=None)
    attacker = signing_up.signed_up(login, OTHER_PASSWORD)
    assert victim.user_id == anywhere(access, login, PASSWORD).user_id
    unknown = first.signed_up(f"nobody.{new_id()[:8]}@kettles.example", OTHER_PASSWORD)
    told = {code_of(lambda one=one: anywhere(access, str(one.login), OTHER_PASSWORD)) for one in (attacker, unknown)}
    assert 1 == len(told) and told.pop().startswith("unauthenticated: ")
    assert attacker.user_id == signing_up.log_in(attacker, OTHER_PASSWORD).user_id


def test_a_login_leads_to_its_account_once_its_mailbox_is_confirmed(access: Access) -> None:
    """Who signs up names the account until they have followed the link in the mail, which is good once."""
    owner = access.signed_up()
    with pytest.raises(Unauthenticated):
        anywhere(access, str(owner.login), PASSWORD)
    assert "in" == access.log_in(owner).status
    (mailed,) = access.mails()
    assert owner.login == mailed.to
    confirm = ConfirmLogin(link_token=mailed.text.split("/login#")[1].split()[0], source=HOME)
    confirm_login(access.store, confirm, lambda _: lambda __, person: person)
    assert owner.user_id == anywhere(access, str(owner.login), PASSWORD).user_id
    assert "LoginConfirmed" in access.events(owner)
    with pytest.raises(Unauthenticated):
        confirm_login(access.store, confirm, lambda _: lambda __, person: person)


@pytest.mark.timing
def test_a_no_takes_as_long_for_a_login_of_several_accounts(real_hashes: None, access: Access, time: MovableClock) -> None:
    """The medians of a login of one account, of one of three, and of an unknown one are within 15 %, in one of three rounds."""
    one, three = (f"{name}.{new_id()[:8]}@kettles.example" for name in ("one", "three"))
    access.owner(one)
    for account in [Access(access.settings) for _ in range(3)]:
        account.owner(three)
    ratios = []
    for _ in range(3):
        taken: dict[str, list[float]] = {one: [], three: [], "nobody@nowhere.example": []}
        for _ in range(6):
            for login, seconds in taken.items():
                time.advance(hours=2)  # so that no delay is in the way
                begun = perf_counter()
                with pytest.raises(Unauthenticated):
                    anywhere(access, login, "a wrong password")
                seconds.append(perf_counter() - begun)
        medians = [median(seconds) for seconds in taken.values()]
        ratios.append(max(medians) / min(medians))
        if ratios[-1] <= 1.15:
            return
    pytest.fail(f"the ratios of the medians were {ratios}")


def test_everything_that_is_wrong_is_told_in_the_same_words(access: Access) -> None:
    """An unknown login, a wrong password, a user without a password, a removed one, another account, a locked one."""
    owner = access.owner()
    removed, bare = access.user(owner, "agent"), access.user(owner, "agent", password=None)
    locked = access.user(owner, "agent")
    remove_user(access.store, access.account, Caller(owner.user_id), RemoveUser(user=removed.user_id))
    set_failures(access, locked, passwords.FAILURES_AT_MOST)

    def trying(login: object, password: str = PASSWORD, account: str | None = None) -> str:
        command = LogIn(login=str(login), password=password, source=HOME, account_id=account)
        return code_of(lambda: log_in(access.store, command))

    told = {
        trying("nobody@nowhere.example"), trying(owner.login, "a wrong password"), trying(removed.login), trying(bare.login),
        trying(owner.login, account=new_id()), trying(locked.login), trying("no address at all"),
    }  # fmt: skip
    assert 1 == len(told)
    assert told.pop().startswith("unauthenticated: ")


def set_failures(access: Access, user: UserView, failures: int) -> None:
    connection = superuser(access.settings, "identity")
    connection.cursor().execute("UPDATE lethe.password SET failures = %s WHERE user_id = %s", (failures, user.user_id))
    connection.close()


def test_a_hash_is_verified_whether_there_is_such_a_login_or_not(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """One each: for a wrong password, for a user without one, and for nobody."""
    owner, verified = access.owner(), []
    bare = access.user(owner, "agent", password=None)
    verify = passwords._verify
    monkeypatch.setattr(passwords, "_verify", lambda stored, octets: verified.append(stored) or verify(stored, octets))
    for login in (str(owner.login), str(bare.login), "nobody@nowhere.example"):
        with pytest.raises(Unauthenticated):
            log_in(access.store, LogIn(login=login, password="a wrong password", source=HOME))
    assert [False, True, True] == [stored == passwords.NOBODYS_HASH for stored in verified]


@pytest.mark.timing
def test_an_unknown_login_takes_as_long_as_a_wrong_password(real_hashes: None, access: Access, time: MovableClock) -> None:
    """The ratio of the medians is within 10 %. (Three rounds, since the machine may be busy in one of them.)"""
    owner = access.owner()

    def seconds(login: str) -> float:
        time.advance(hours=2)  # so that no delay is in the way
        begun = perf_counter()
        with pytest.raises(Unauthenticated):
            log_in(access.store, LogIn(login=login, password="a wrong password", source=HOME))
        return perf_counter() - begun

    ratios = []
    for _ in range(3):
        taken: dict[bool, list[float]] = {True: [], False: []}
        for place in range(30):  # in turn, so that both meet the same load
            is_known = place % 2 == 0
            taken[is_known].append(seconds(str(owner.login) if is_known else f"nobody.{place}@nowhere.example"))
        ratios.append(median(taken[True]) / median(taken[False]))
        if 0.9 <= ratios[-1] <= 1.1:
            return
    pytest.fail(f"the ratios of the medians were {ratios}")


def test_failures_delay_the_next_try_from_the_same_source(access: Access, time: MovableClock) -> None:
    """Also one with the right password; from another source nothing is delayed; after the wait it is let in."""
    owner = access.owner()
    for _ in range(4):
        with pytest.raises(Unauthenticated):
            access.log_in(owner, "a wrong password")
        time.advance(seconds=1)  # the third delays the fourth by a second
    with pytest.raises(TooManyTries) as told:
        access.log_in(owner)
    assert 1 == told.value.details["retry_after_seconds"]
    assert "in" == access.log_in(owner, source=ELSEWHERE).status
    time.advance(seconds=2)
    assert "in" == access.log_in(owner).status
    with pytest.raises(Unauthenticated):  # all is forgotten: the count begins again
        access.log_in(owner, "a wrong password")
    assert "in" == access.log_in(owner).status


def test_an_unknown_login_is_delayed_as_a_known_one(access: Access) -> None:
    """The delay tells nobody which logins there are."""
    login = f"nobody.{new_id()[:8]}@nowhere.example"
    command = LogIn(login=login, password="a wrong password", source=f"2001:db8::{new_id()[:4]}")
    told = [code_of(lambda: log_in(access.store, command)).split(":")[0] for _ in range(4)]
    assert ["unauthenticated"] * 3 + ["too_many_tries"] == told


def test_a_source_that_tries_many_logins_is_delayed(access: Access) -> None:
    """Thirty failures of one address, over all logins, and everybody behind it waits."""
    owner, source = access.owner(), f"2001:db8::1:{new_id()[:4]}"
    with access.store.work(access.account) as work:
        for place in range(31):
            count_failure(work, Attempt.of(access.store, f"guess.{place}@nowhere.example", source))
    with pytest.raises(TooManyTries):
        access.log_in(owner, source=source)


def test_a_hundred_failures_in_a_row_lock_a_user_out(access: Access, time: MovableClock) -> None:
    """Whatever comes between them but a success. Then the right password does not help, and time does not either."""
    owner = access.owner()
    set_failures(access, owner, passwords.FAILURES_AT_MOST - 1)
    assert "in" == access.log_in(owner).status
    set_failures(access, owner, passwords.FAILURES_AT_MOST - 1)
    with pytest.raises(Unauthenticated):
        access.log_in(owner, "a wrong password")
    time.advance(days=400)
    with pytest.raises(Unauthenticated):
        access.log_in(owner)
    with pytest.raises(Unauthenticated):
        access.basic(str(owner.login), PASSWORD)
    assert ["LoginFailed"] * 3 == access.events(owner)[-3:]


def test_failures_that_arrive_together_are_counted_each(access: Access) -> None:
    """Of parallel wrong passwords none is lost; whoever finds the queue full is told `busy` and counted nowhere."""
    owner = access.owner()

    def trying(place: int) -> str:
        command = LogIn(login=str(owner.login), password="a wrong password", source=f"192.0.2.{place}")
        return code_of(lambda: log_in(access.store, command)).split(":")[0]

    with ThreadPoolExecutor(12) as pool:
        told = list(pool.map(trying, range(12)))
    assert {"unauthenticated", "busy"} >= set(told)
    connection = superuser(access.settings, "identity")
    cursor = connection.cursor()
    cursor.execute("SELECT failures FROM lethe.password WHERE user_id = %s", (owner.user_id,))
    assert (told.count("unauthenticated"),) == cursor.fetchone()
    connection.close()


def test_a_suspended_account_lets_nobody_in(access: Access) -> None:
    """Neither owner nor agent (mission L3). Who does not know the password learns nothing of it."""
    owner = access.owner()
    account_states.set_state(access.store, access.account, "suspended", 2)
    with pytest.raises(AccountSuspended):
        access.log_in(owner)
    with pytest.raises(Unauthenticated):
        access.log_in(owner, "a wrong password")


def test_parameters_that_rise_are_taken_up_at_the_next_login(
    real_hashes: None, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash is made again with today's, under the user's key; the password stays the same and no session ends."""
    owner = access.owner()
    with monkeypatch.context() as earlier:
        earlier.setattr(passwords, "_hasher", PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1))
        weak = access.user(owner, "agent")
        token = access.session(weak)
    assert "in" == access.log_in(weak).status
    with access.store.work(access.account) as work:
        stored = stored_password(work, weak.user_id)
    assert stored is not None
    assert stored.hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert weak.user_id == access.bearer(token).user_id


def test_a_changed_password_ends_all_sessions(access: Access) -> None:
    """The old one is good for nothing, the new one is; the session that changed it has ended too."""
    owner = access.owner()
    token = access.session(owner)
    change = ChangePassword(old_password=PASSWORD, new_password=OTHER_PASSWORD, source=HOME)
    change_password(access.store, access.account, owner.user_id, change)
    with pytest.raises(Unauthenticated):
        access.bearer(token)
    with pytest.raises(Unauthenticated):
        access.log_in(owner, PASSWORD)
    assert "in" == access.log_in(owner, OTHER_PASSWORD).status


def test_a_password_is_changed_with_the_old_one_only(access: Access, time: MovableClock) -> None:
    """A wrong one counts as a failed login. A new one that may not be is refused, and nothing has changed."""
    owner = access.owner()
    token = access.session(owner)

    def change(old: str, new: str) -> None:
        command = ChangePassword(old_password=old, new_password=new, source=HOME)
        change_password(access.store, access.account, owner.user_id, command)

    with pytest.raises(Unauthenticated):
        change("a wrong password", OTHER_PASSWORD)
    with pytest.raises(InvalidArgument) as refused:
        change(PASSWORD, "too short")
    assert "new_password" == refused.value.field
    assert "LoginFailed" == access.events(owner)[-1]
    assert owner.user_id == access.bearer(token).user_id
    assert "in" == access.log_in(owner).status


def test_the_operator_gives_the_first_password_and_no_other(access: Access) -> None:
    """Who has a password has it from nobody else."""
    owner = access.owner()
    with pytest.raises(Conflict):
        command = SetFirstPassword(user=owner.user_id, password=OTHER_PASSWORD)
        set_first_password(access.store, access.account, command)
    assert "in" == access.log_in(owner).status


def test_a_first_owner_comes_with_a_password_once(access: Access) -> None:
    """Under one idempotency key it may be sent again; a second first owner there is not."""
    login = f"olga.{new_id()[:8]}@kettles.example"
    command = AddFirstOwner(name="Olga Owl", login=login, password=PASSWORD)
    added = [add_first_owner(access.store, access.account, "key", command, access.person_of) for _ in range(2)]
    assert 1 == len({one.user_id for one in added})
    assert "in" == access.log_in(added[0]).status
    with pytest.raises(PermissionRefused):
        again = AddFirstOwner(name="Other", login="other@kettles.example", password=PASSWORD)
        add_first_owner(access.store, access.account, "other key", again, access.person_of)
    with pytest.raises(InvalidArgument):
        weak = AddFirstOwner(name="Weak", login="weak@kettles.example", password="passwordpassword")
        add_first_owner(access.store, new_id(), "key", weak, access.person_of)


def test_a_source_has_to_be_an_address(access: Access) -> None:
    """What the gateway hands on is checked like any other argument."""
    owner = access.owner()
    with pytest.raises(InvalidArgument):
        access.log_in(owner, source="the moon")
