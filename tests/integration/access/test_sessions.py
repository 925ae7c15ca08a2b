"""Sessions: how long they are good, who sees and ends them."""

from __future__ import annotations

import hashlib

import pytest

from services.identity import session as sessions
from services.identity.access_commands import EndSession, EndSessions, ListSessions
from services.identity.commands import RemoveUser
from services.identity.handlers import Caller, remove_user
from services.identity.session_handlers import end_all_sessions, end_session, list_sessions
from shared import account_states
from shared.errors import AccountSuspended, InvalidArgument, PermissionRefused, Unauthenticated
from shared.ids import new_id
from tests.support.access import ELSEWHERE, HOME, Access, MovableClock
from tests.support.databases import superuser


def test_a_session_is_its_users(access: Access) -> None:
    """The actor token names the user, their role now and the scope manage, and is good for a minute."""
    owner = access.owner()
    answer = access.bearer(access.session(owner))
    actor = access.actor(answer)
    assert (owner.user_id, access.account, "owner", "manage") == (actor.id, actor.account_id, actor.role, actor.scope)
    assert ("session", 60) == (answer.by, (actor.expires_at - actor.issued_at).total_seconds())


def test_a_session_ends_after_half_an_hour_without_use(access: Access, time: MovableClock) -> None:
    """Use keeps it, also through another replica."""
    token, other = access.session(access.owner()), access.replica()
    for replica in (access, other, access):
        time.advance(minutes=29)
        replica.bearer(token)
    time.advance(minutes=30)
    for replica in (access, other):
        with pytest.raises(Unauthenticated):
            replica.bearer(token)


def test_a_session_ends_after_twelve_hours(access: Access, time: MovableClock) -> None:
    """However much it is used."""
    token = access.session(access.owner())
    for _ in range(35):
        time.advance(minutes=20)
        access.bearer(token)
    time.advance(minutes=20)
    with pytest.raises(Unauthenticated):
        access.bearer(token)


def test_only_the_hash_of_a_session_is_kept(access: Access) -> None:
    """SHA-256; the source is sealed."""
    token = access.session(access.owner())
    connection = superuser(access.settings, "identity")
    cursor = connection.cursor()
    cursor.execute("SELECT digest, source FROM lethe.session WHERE account_id = %s", (access.account,))
    ((digest, source),) = cursor.fetchall()
    connection.close()
    assert hashlib.sha256(token.encode()).digest() == bytes(digest)
    assert HOME.encode() not in bytes(source)


def test_sessions_are_listed_with_where_they_came_from(access: Access) -> None:
    """Newest first; those that are over are not."""
    owner = access.owner()
    first = access.log_in(owner)
    second = access.log_in(owner, source=f"::ffff:{ELSEWHERE}")
    listed = list_sessions(access.store, access.account, owner.user_id, ListSessions()).sessions
    assert [(second.session_id, ELSEWHERE), (first.session_id, HOME)] == [(one.session_id, one.source) for one in listed]


def test_a_session_is_ended_at_once_in_every_replica(access: Access) -> None:
    """One that has just served it refuses it as well. Ending it again is done."""
    owner, other = access.owner(), access.replica()
    answer = access.log_in(owner)
    assert answer.session_token and answer.session_id
    other.bearer(answer.session_token)
    for _ in range(2):
        end_session(access.store, access.account, owner.user_id, EndSession(session_id=answer.session_id))
    for replica in (access, other):
        with pytest.raises(Unauthenticated):
            replica.bearer(answer.session_token)
    assert 1 == access.events(owner).count("SessionsEnded")


def test_all_other_sessions_are_ended(access: Access) -> None:
    """The one to keep stays."""
    owner = access.owner()
    tokens = [access.session(owner) for _ in range(3)]
    kept = access.log_in(owner)
    assert kept.session_token
    ended = end_all_sessions(access.store, access.account, owner.user_id, EndSessions(keep=kept.session_id))
    assert 3 == ended.ended
    for token in tokens:
        with pytest.raises(Unauthenticated):
            access.bearer(token)
    assert owner.user_id == access.bearer(kept.session_token).user_id


def test_managers_see_and_end_sessions_of_those_below(access: Access) -> None:
    """An admin those of an agent, not of an owner; an agent their own only."""
    owner = access.owner()
    admin, agent = access.user(owner, "admin"), access.user(owner, "agent")
    of_agent, of_owner = access.log_in(agent), access.log_in(owner)
    assert of_agent.session_id and of_owner.session_id

    def listed(actor: str, user: str) -> list[str]:
        found = list_sessions(access.store, access.account, actor, ListSessions(user=user)).sessions
        return [one.session_id for one in found]

    assert [of_agent.session_id] == listed(admin.user_id, agent.user_id) == listed(owner.user_id, agent.user_id)
    for actor, user, session in (
        (admin, owner, of_owner.session_id), (agent, owner, of_owner.session_id), (agent, admin, None),
    ):  # fmt: skip
        with pytest.raises(PermissionRefused):
            listed(actor.user_id, user.user_id)
        with pytest.raises(PermissionRefused):
            end_all_sessions(access.store, access.account, actor.user_id, EndSessions(user=user.user_id))
        if session:
            with pytest.raises(PermissionRefused):
                end_session(access.store, access.account, actor.user_id, EndSession(session_id=session))
    end_session(access.store, access.account, admin.user_id, EndSession(session_id=of_agent.session_id))
    with pytest.raises(Unauthenticated):
        access.bearer(str(of_agent.session_token))
    assert owner.user_id == access.bearer(str(of_owner.session_token)).user_id


def test_a_removed_user_has_no_session_any_more(access: Access) -> None:
    """Nor any other credential: all rows are gone."""
    owner = access.owner()
    agent = access.user(owner, "agent")
    session, token = access.session(agent), access.api_token(agent).token
    access.bearer(session), access.bearer(token)
    remove_user(access.store, access.account, Caller(owner.user_id), RemoveUser(user=agent.user_id))
    for credential in (session, token):
        with pytest.raises(Unauthenticated):
            access.bearer(credential)
    with access.store.work(access.account) as work:
        for table in ("password", "session", "api_token"):
            assert not work.fetch(f"SELECT 1 FROM {table} WHERE user_id = %s", (agent.user_id,)), table


def test_suspending_refuses_a_session_that_was_just_served(access: Access) -> None:
    """In every replica; when the account is open again, so is the session."""
    owner, other = access.owner(), access.replica()
    token = access.session(owner)
    other.bearer(token)
    account_states.set_state(access.store, access.account, "suspended", 2)
    for replica in (access, other):
        with pytest.raises(AccountSuspended):
            replica.bearer(token)
    account_states.set_state(access.store, access.account, "active", 3)
    assert owner.user_id == other.bearer(token).user_id


def test_a_user_has_fifty_sessions_at_most(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was idle for longest makes room. (Three here, for the hashes' sake.)"""
    monkeypatch.setattr(sessions, "SESSIONS_AT_MOST", 3)
    owner = access.owner()
    tokens = [access.session(owner) for _ in range(4)]
    with pytest.raises(Unauthenticated):
        access.bearer(tokens[0])
    assert [owner.user_id] * 3 == [access.bearer(token).user_id for token in tokens[1:]]


def test_sessions_that_are_over_leave_no_row(access: Access, time: MovableClock) -> None:
    """They go with the next login of anybody in the account; their routes as well."""
    owner = access.owner()
    token = access.session(owner)
    time.advance(hours=13)
    access.session(access.user(owner, "agent"))
    digest = hashlib.sha256(token.encode()).digest()
    connection = superuser(access.settings, "identity")
    cursor = connection.cursor()
    for table in ("session", "credential_route"):
        cursor.execute(f"SELECT count(*) FROM lethe.{table} WHERE digest = %s", (digest,))
        assert (0,) == cursor.fetchone(), table
    connection.close()


def test_a_session_of_another_account_is_refused(access: Access) -> None:
    """Naming another account than the session's does not open that one."""
    token = access.session(access.owner())
    assert access.account == access.bearer(token, account_id=access.account).account_id
    with pytest.raises(Unauthenticated):
        access.bearer(token, account_id=new_id())


@pytest.mark.parametrize("token", ["lethe_session_" + "a" * 32, "lethe_login_" + "a" * 32, "lethe_", "a", "é" * 200])
def test_a_token_that_nobody_gave_is_refused(access: Access, token: str) -> None:
    """In the same words as any other."""
    with pytest.raises(Unauthenticated):
        access.bearer(token)


def test_a_request_has_one_credential(access: Access) -> None:
    """Bearer or Basic, not both, not half of one, not none."""
    from services.identity.access_commands import Authenticate

    for given in ({}, {"login": "a@b.example"}, {"secret": "x"}, {"token": "x", "login": "a@b.example", "secret": "x"}):
        with pytest.raises(InvalidArgument):
            access.authenticator.authenticate(Authenticate(source=HOME, **given))
