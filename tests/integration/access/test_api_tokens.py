"""API tokens, and user name with password: how programs get in."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from services.identity import api_token as api_tokens
from services.identity import password as passwords
from services.identity.access_commands import ChangePassword, CreateApiToken, ListApiTokens, RevokeApiToken, Scope
from services.identity.api_token_handlers import create_api_token, list_api_tokens, revoke_api_token
from services.identity.password_handlers import change_password
from shared import account_states, clock
from shared.errors import AccountSuspended, PermissionRefused, Refused, Unauthenticated
from shared.ids import new_id
from tests.support.access import HOME, PASSWORD, Access, MovableClock
from tests.support.databases import superuser


@pytest.mark.parametrize("scope", ["read", "write", "manage"])
def test_a_token_acts_as_its_user_within_its_scope(access: Access, scope: Scope) -> None:
    """As Bearer, and over HTTP Basic in place of the password."""
    owner = access.owner()
    made = access.api_token(owner, scope)
    for answer in (access.bearer(made.token), access.basic(str(owner.login), made.token)):
        actor = access.actor(answer)
        assert (owner.user_id, "owner", scope) == (actor.id, actor.role, actor.scope)
        assert ("api token", made.api_token.api_token_id, None) == (answer.by, answer.api_token_id, answer.session_id)


def test_a_token_is_refused_with_somebody_elses_login(access: Access) -> None:
    """User name + API token is both, or nothing."""
    owner = access.owner()
    agent = access.user(owner, "agent")
    token = access.api_token(owner).token
    for login in (str(agent.login), "nobody@nowhere.example", ""):
        with pytest.raises(Unauthenticated):
            access.basic(login or "no login", token)


@pytest.mark.parametrize(
    ("wanted", "held"), [("write", "read"), ("manage", "read"), ("manage", "write")]
)
def test_nobody_gives_a_scope_beyond_their_own_credentials(access: Access, wanted: Scope, held: Scope) -> None:
    """A token that may only read makes none that may write."""
    owner = access.owner()
    with pytest.raises(PermissionRefused):
        create_api_token(access.store, access.account, owner.user_id, held, CreateApiToken(name="more", scope=wanted))
    made = create_api_token(access.store, access.account, owner.user_id, held, CreateApiToken(name="same", scope=held))
    assert held == access.bearer(made.token).scope


def test_a_token_ends_on_its_day(access: Access, time: MovableClock) -> None:
    """Not a second later than said; and it is not listed any more."""
    owner = access.owner()
    made = access.api_token(owner, days=7)
    time.advance(days=7, seconds=-5)
    assert owner.user_id == access.bearer(made.token).user_id
    time.advance(seconds=5)
    with pytest.raises(Unauthenticated):
        access.bearer(made.token)
    assert [] == list_api_tokens(access.store, access.account, owner.user_id, ListApiTokens()).api_tokens


def test_a_revoked_token_is_refused_at_once_in_every_replica(access: Access) -> None:
    """One that has just served it refuses it as well. Revoking it again is done."""
    owner, other = access.owner(), access.replica()
    made = access.api_token(owner)
    other.bearer(made.token)
    for _ in range(2):
        command = RevokeApiToken(api_token_id=made.api_token.api_token_id)
        revoke_api_token(access.store, access.account, owner.user_id, command)
    for replica in (access, other):
        with pytest.raises(Unauthenticated):
            replica.bearer(made.token)
    assert 1 == access.events(owner).count("ApiTokenRevoked")


def test_tokens_are_listed_with_their_names_and_last_use(access: Access, time: MovableClock) -> None:
    """The use of a day is one event, however often it is used and by how many replicas; the token itself is shown nowhere."""
    owner, other = access.owner(), access.replica()
    made = access.api_token(owner, "read", name="Olga's night job")

    def listed() -> object:
        (view,) = list_api_tokens(access.store, access.account, owner.user_id, ListApiTokens()).api_tokens
        assert ("Olga's night job", "read", made.api_token.expires_at) == (view.name, view.scope, view.expires_at)
        return view.used_on

    assert listed() is None
    for replica in (access, other, access):
        replica.bearer(made.token)
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    assert today == listed()
    time.advance(days=1)
    access.bearer(made.token)
    assert today + timedelta(days=1) == listed()
    assert 2 == access.events(owner).count("ApiTokenUsedOnDay")


def test_managers_revoke_tokens_of_those_below(access: Access) -> None:
    """An admin those of an agent, not of an owner."""
    owner = access.owner()
    admin, agent = access.user(owner, "admin"), access.user(owner, "agent")
    of_agent, of_owner = access.api_token(agent), access.api_token(owner)
    with pytest.raises(PermissionRefused):
        list_api_tokens(access.store, access.account, admin.user_id, ListApiTokens(user=owner.user_id))
    for actor in (admin, agent):
        with pytest.raises(PermissionRefused):
            command = RevokeApiToken(api_token_id=of_owner.api_token.api_token_id)
            revoke_api_token(access.store, access.account, actor.user_id, command)
    command = RevokeApiToken(api_token_id=of_agent.api_token.api_token_id)
    revoke_api_token(access.store, access.account, admin.user_id, command)
    with pytest.raises(Unauthenticated):
        access.bearer(of_agent.token)
    assert owner.user_id == access.bearer(of_owner.token).user_id


def test_only_the_hash_of_a_token_is_kept_and_its_name_is_sealed(access: Access) -> None:
    """SHA-256 over the whole token."""
    owner = access.owner()
    made = access.api_token(owner, name="Olga's night job")
    connection = superuser(access.settings, "identity")
    cursor = connection.cursor()
    cursor.execute("SELECT digest, name FROM lethe.api_token WHERE account_id = %s", (access.account,))
    ((digest, name),) = cursor.fetchall()
    connection.close()
    assert hashlib.sha256(made.token.encode()).digest() == bytes(digest)
    assert b"Olga" not in bytes(name)


def test_a_user_has_a_hundred_tokens_at_most(access: Access, monkeypatch: pytest.MonkeyPatch, time: MovableClock) -> None:
    """Those that are over do not count. (Two here.)"""
    monkeypatch.setattr(api_tokens, "TOKENS_AT_MOST", 2)
    owner = access.owner()
    for days in (1, 90):
        access.api_token(owner, days=days)
    with pytest.raises(Refused):
        access.api_token(owner)
    time.advance(days=2)
    access.api_token(owner)


def test_a_suspended_account_refuses_tokens_and_passwords(access: Access) -> None:
    """Also what was good a moment ago (mission L3)."""
    owner = access.owner()
    token = access.api_token(owner).token
    access.bearer(token), access.basic(str(owner.login), PASSWORD)
    account_states.set_state(access.store, access.account, "suspended", 2)
    for call in (lambda: access.bearer(token), lambda: access.basic(str(owner.login), PASSWORD)):
        with pytest.raises(AccountSuspended):
            call()


def test_login_and_password_over_basic(access: Access) -> None:
    """User name + password (mission I5), with all that the role may. The use of a day is one event."""
    owner = access.owner()
    for _ in range(2):
        answer = access.basic(str(owner.login), PASSWORD)
        assert (owner.user_id, "manage", "password") == (answer.user_id, answer.scope, answer.by)
    with pytest.raises(Unauthenticated):
        access.basic(str(owner.login), "a wrong password")
    assert ["PasswordUsedOnDay", "LoginFailed"] == access.events(owner)[-2:]


def test_a_password_over_basic_is_hashed_once_a_minute(
    access: Access, monkeypatch: pytest.MonkeyPatch, time: MovableClock
) -> None:
    """Only in the same process, for the same password, and until it changes."""
    owner = access.owner()
    hashed: list[str] = []
    real = passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda stored, text: hashed.append(text) or real(stored, text))
    for _ in range(3):
        access.basic(str(owner.login), PASSWORD)
    assert 1 == len(hashed)
    access.replica().basic(str(owner.login), PASSWORD)
    time.advance(seconds=60)
    access.basic(str(owner.login), PASSWORD)
    assert 3 == len(hashed)
    change = ChangePassword(old_password=PASSWORD, new_password="a teapot full of newts", source=HOME)
    change_password(access.store, access.account, owner.user_id, change)
    with pytest.raises(Unauthenticated):
        access.basic(str(owner.login), PASSWORD)
    remembered = repr(vars(access.authenticator._recent))
    assert PASSWORD not in remembered and str(owner.login) not in remembered


def test_a_token_of_another_account_is_refused(access: Access) -> None:
    """Naming another account than the token's does not open that one."""
    token = access.api_token(access.owner()).token
    with pytest.raises(Unauthenticated):
        access.bearer(token, account_id=new_id())
