"""Actor tokens: who may mint what, and that nothing else is believed."""

from __future__ import annotations

import base64
import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared import clock
from shared.door import Door, DoorKind
from shared.errors import Unauthenticated
from shared.ids import new_id
from shared.tokens import (
    MAX_TTL,
    SCOPES,
    Actor,
    Scope,
    TokenIssuer,
    TokenSource,
    TokenVerifier,
    create_token_key,
    may_mint,
    service_actor,
)

MINUTE = timedelta(minutes=1)
OWNER = Actor(kind="user", id=new_id(), account_id=new_id(), role="owner")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    for issuer in ("identity", "tickets", "operator"):
        create_token_key(tmp_path / "root-keys", tmp_path / "verifiers", issuer)
    return tmp_path


def issuer(home: Path, name: str = "identity", key_of: str | None = None) -> TokenIssuer:
    return TokenIssuer(name, home / "root-keys" / (key_of or name) / "token.key")


def test_a_token_comes_back_as_its_actor(home: Path) -> None:
    """A verified token gives the actor that it was minted for, with the end of its time."""
    token = issuer(home).mint(OWNER, MINUTE)
    actor = TokenVerifier(home / "verifiers").verify(token, clock.now())
    assert (OWNER.id, OWNER.account_id, "owner") == (actor.id, actor.account_id, actor.role)
    assert actor.expires_at is not None and timedelta(0) < actor.expires_at - clock.now() <= MINUTE


@pytest.mark.parametrize("scope", SCOPES)
def test_a_token_keeps_its_scope(home: Path, scope: Scope) -> None:
    """A user's token may be narrower than their role, and comes back as narrow, with the time when it was minted."""
    begun = clock.now()
    token = issuer(home).mint(msgspec.structs.replace(OWNER, scope=scope), MINUTE)
    actor = TokenVerifier(home / "verifiers").verify(token, clock.now())
    assert scope == actor.scope
    assert actor.issued_at is not None and begun <= actor.issued_at <= clock.now()


def test_a_token_keeps_its_door(home: Path) -> None:
    """What was shown comes back, and a token without a door, as they were before, is good."""
    verifier, door = TokenVerifier(home / "verifiers"), Door(kind="session", id=new_id())
    came = [verifier.verify(issuer(home).mint(one, MINUTE), clock.now()).door for one in (OWNER, replace(OWNER, door=door))]
    assert [None, door] == came


def test_nobody_comes_by_a_door_that_is_not_theirs() -> None:
    """A user by no portal, a customer by no API token, an operator by no session, a service by none."""
    customer = Actor(kind="customer", id=new_id(), account_id=new_id(), role="customer")
    operator = Actor(kind="operator", id=new_id(), role="operator")
    who = {"identity": (OWNER, customer), "operator": (operator,), "tickets": (service_actor("tickets"),)}
    may = {
        (actor.kind, kind)
        for minter, actors in who.items()
        for actor in actors
        for kind in get_args(DoorKind)
        if may_mint(minter, replace(actor, door=Door(kind=kind)))
    }
    assert may == {
        *(("user", kind) for kind in ("session", "password", "api token", "minted token")),
        *(("customer", kind) for kind in ("portal session", "app")), ("operator", "operator"),
    }  # fmt: skip


def test_services_and_operators_are_never_narrowed(home: Path) -> None:
    """Nobody mints a service's or an operator's token with less than the whole scope, since no verifier takes one."""
    narrow = [
        msgspec.structs.replace(service_actor("tickets"), scope="read"),
        Actor(kind="operator", id="operator", role="operator", scope="write"),
    ]
    assert [False, False] == [may_mint("tickets", narrow[0]), may_mint("operator", narrow[1])]


def test_a_token_without_a_scope_is_refused(home: Path) -> None:
    """What does not say how much it allows, as tokens did before there were scopes, allows nothing."""
    signed = issuer(home).mint(OWNER, MINUTE)
    payload = json.loads(base64.urlsafe_b64decode(signed.split(".")[1] + "=="))
    assert "manage" == payload.pop("scope")
    key = Ed25519PrivateKey.from_private_bytes((home / "root-keys" / "identity" / "token.key").read_bytes())

    def resigned() -> str:
        raw = json.dumps(payload).encode()
        signature = key.sign(b"lethe actor token 1\n" + raw)
        return ".".join(["lethe-actor", *(base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in (raw, signature))])

    with pytest.raises(Unauthenticated):
        TokenVerifier(home / "verifiers").verify(resigned(), clock.now())
    payload["scope"] = "manage"
    assert OWNER.id == TokenVerifier(home / "verifiers").verify(resigned(), clock.now()).id


def test_who_may_mint_what() -> None:
    """Identity vouches for users with an account, and for staff who read an account under a grant for its purpose; a
    service for itself, the operator's key for operators: nothing else.
    """
    account = new_id()
    actors = [
        Actor(kind=kind, id=name, account_id=of, role=role, scope=scope, grant_id=grant, purpose=purpose)  # type: ignore[arg-type]
        for kind, name, of, role, scope, grant, purpose in itertools.product(
            ("user", "customer", "service", "operator", "staff"),
            ("tickets", "operator"),
            (account, None),
            ("owner", "admin", "agent", "customer", "service", "operator", "staff"),
            SCOPES,
            (new_id(), None),
            ("legal", None),
        )
    ]
    allowed = {
        (
            issuer_name,
            actor.kind,
            actor.id if actor.kind == "service" else "*",
            actor.account_id is not None,
            actor.role,
            actor.scope if actor.kind not in ("user", "customer") else "*",
            (actor.grant_id is not None, actor.purpose is not None),
        )
        for issuer_name in ("identity", "tickets", "operator")
        for actor in actors
        if may_mint(issuer_name, actor)
    }
    assert {
        ("identity", "user", "*", True, "owner", "*", (False, False)),
        ("identity", "user", "*", True, "admin", "*", (False, False)),
        ("identity", "user", "*", True, "agent", "*", (False, False)),
        ("identity", "customer", "*", True, "customer", "*", (False, False)),
        ("tickets", "service", "tickets", False, "service", "manage", (False, False)),
        ("operator", "operator", "*", False, "operator", "manage", (False, False)),
        ("identity", "staff", "*", True, "staff", "read", (True, True)),
    } == allowed


def test_a_staff_token_keeps_its_grant_and_is_never_good_past_its_end(home: Path) -> None:
    """It comes back with grant and purpose; it is good for a minute at most, and ends with what it must not outlive."""
    staff = Actor(
        kind="staff", id=new_id(), account_id=new_id(), role="staff", scope="read", grant_id=new_id(), purpose="incident"
    )
    soon = clock.now() + timedelta(seconds=7)
    actor = TokenVerifier(home / "verifiers").verify(issuer(home).mint(staff, MINUTE, not_after=soon), clock.now())
    assert (staff.grant_id, "incident", "read", soon) == (actor.grant_id, actor.purpose, actor.scope, actor.expires_at)
    for too_long, not_after in ((MINUTE + timedelta(seconds=1), None), (MINUTE, clock.now())):
        with pytest.raises(ValueError):
            issuer(home).mint(staff, too_long, not_after=not_after)


def test_the_verifier_holds_issuers_to_it(home: Path) -> None:
    """A token that another key than its issuer's signed, or that its issuer may not mint, is refused."""
    verifier = TokenVerifier(home / "verifiers")
    stolen = issuer(home, "identity", key_of="tickets").mint(OWNER, MINUTE)
    with pytest.raises(Unauthenticated):
        verifier.verify(stolen, clock.now())
    with pytest.raises(ValueError, match="may not mint"):
        issuer(home, "tickets").mint(OWNER, MINUTE)
    with pytest.raises(ValueError, match="at most"):
        issuer(home).mint(OWNER, MAX_TTL["user"] + MINUTE)


def test_a_token_has_its_time(home: Path) -> None:
    """A token is refused from the moment it ends, and before it was minted."""
    token = issuer(home).mint(OWNER, MINUTE)
    verifier = TokenVerifier(home / "verifiers")
    for now in (clock.now() + MINUTE, clock.now() - timedelta(hours=1)):
        with pytest.raises(Unauthenticated):
            verifier.verify(token, now)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(place=st.integers(0, 10_000), character=st.characters())
def test_a_changed_token_is_refused(home: Path, place: int, character: str) -> None:
    """A token with any one character changed is refused, without a reason."""
    token = issuer(home).mint(OWNER, MINUTE)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    if changed == token:
        return
    with pytest.raises(Unauthenticated) as refused:
        TokenVerifier(home / "verifiers").verify(changed, clock.now())
    assert {} == refused.value.details


@pytest.mark.parametrize("name", ["../identity", "nobody", "", "Identity"])
def test_an_issuer_is_a_known_name(home: Path, name: str) -> None:
    """A token of an unknown issuer, or of one whose name is a path, is refused."""
    forged = TokenIssuer(name, home / "root-keys" / "identity" / "token.key")
    token = forged.mint(service_actor(name), MINUTE) if name else "lethe-actor.e30.e30"
    with pytest.raises(Unauthenticated):
        TokenVerifier(home / "verifiers").verify(token, datetime.now(UTC))


def test_a_replaced_key_counts_at_once(home: Path) -> None:
    """When an issuer's public key is replaced, tokens of the old key are refused from then on."""
    token = issuer(home).mint(OWNER, MINUTE)
    verifier = TokenVerifier(home / "verifiers")
    verifier.verify(token, clock.now())
    (home / "root-keys" / "identity" / "token.key").unlink()
    create_token_key(home / "root-keys", home / "verifiers", "identity")
    with pytest.raises(Unauthenticated):
        verifier.verify(token, clock.now())


def test_making_a_key_twice_keeps_it(home: Path) -> None:
    """A key that exists stays, is readable by its owner only, and its lost public half is made again."""
    private, public = home / "root-keys" / "identity" / "token.key", home / "verifiers" / "identity.token.pub"
    before, text = private.read_bytes(), public.read_text()
    public.unlink()
    create_token_key(home / "root-keys", home / "verifiers", "identity")
    assert (before, text, 0o600) == (private.read_bytes(), public.read_text(), private.stat().st_mode & 0o777)
    assert 32 == len(base64.b64decode(text))


def test_a_source_mints_anew_at_half_of_the_life(home: Path) -> None:
    """A token source keeps its token for half of its life."""
    source = TokenSource(issuer(home, "tickets"), service_actor("tickets"), timedelta(minutes=10))
    first = source()
    assert first == source()
    clock.advance(timedelta(minutes=6))
    assert first != source()
