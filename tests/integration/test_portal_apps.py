"""Apps that act for customers: OAuth 2 with PKCE, as an app meets it; and how what it was granted ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from services.identity.app import ACCESS_LIFE, CODE_LIFE
from shared import account_states, clock
from shared.clock import now as real_now
from shared.errors import AccountSuspended, AlreadyDone, InvalidArgument, NotFound, Refused, Unauthenticated
from shared.ids import new_id
from tests.support.cell import Cell
from tests.support.portal import AnApp, Portal, challenge_of
from tests.support.together import at_once

GRANT_REFUSED = (400, {"error": "invalid_grant"})


@pytest.fixture
def portal(cell: Cell) -> Portal:
    made = Portal(cell)
    made.sign_in()
    return made


@pytest.fixture
def app(portal: Portal) -> AnApp:
    return AnApp.registered(portal)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Moves the clock of all services on."""
    moved = timedelta()

    def move(by: timedelta) -> None:
        nonlocal moved
        moved += by
        monkeypatch.setattr(clock, "now", lambda: real_now() + moved)

    return move


def test_an_app_acts_for_a_customer_within_its_scope(portal: Portal, app: AnApp) -> None:
    """It is shown by its name and scope, gets a code for an hour's token, and identity vouches for the customer with that scope
    and no more."""
    verifier = "v" * 43
    asked = app.request(challenge_of(verifier), "write")
    consent = portal.call("identity", "show_app_request", asked, portal.customer(portal.alice))
    assert (app.app_id, "The Kettle App", "write") == (consent.app_id, consent.name, consent.scope)
    for scope, granted in ((None, "read"), ("read", "read"), ("write", "write"), ("read write", "write")):
        tokens = app.tokens(portal.alice, scope)
        assert ("Bearer", 3600) == (tokens["token_type"], tokens["expires_in"])
        assert tokens["access_token"].startswith("lethe_oauth_")
        found = portal.authenticate(tokens["access_token"])
        assert (portal.alice, "customer", granted, "app") == (found.user_id, found.role, found.scope, found.by)
    listed = portal.call("identity", "list_own_app_grants", None, portal.customer(portal.alice)).grants
    assert ["write", "write", "read", "read"] == [one.scope for one in listed]
    assert {("The Kettle App", app.app_id)} == {(one.app_name, one.app_id) for one in listed}


def test_our_challenge_is_the_standards() -> None:
    """The challenge that these tests make is RFC 7636's (appendix B) and the library's."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" == challenge_of(verifier) == create_s256_code_challenge(verifier)


def test_a_customer_who_refuses_sends_the_app_an_error(portal: Portal, app: AnApp) -> None:
    """The app gets `access_denied` with its state, and no code."""
    argument = {"request": app.request("c" * 43), "approve": False}
    answered = portal.call("identity", "answer_app", argument, portal.customer(portal.alice))
    assert answered.redirect_to.startswith(app.redirect_uri)
    back = parse_qs(urlsplit(answered.redirect_to).query)
    assert (["access_denied"], ['a state "of" its own']) == (back["error"], back["state"]) and "code" not in back


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"client_id": new_id()}, "invalid_client"),
        ({"client_id": "no id"}, "invalid_client"),
        ({"client_id": ""}, "invalid_client"),
        ({"redirect_uri": "https://app.example/back/"}, "invalid_request"),
        ({"redirect_uri": "https://app.example/BACK"}, "invalid_request"),
        ({"redirect_uri": "https://app.example/back?x"}, "invalid_request"),
        ({"redirect_uri": "http://127.0.0.1:8124/back"}, "invalid_request"),
        ({"redirect_uri": ""}, "invalid_request"),
        ({"redirect_uri": 'https://app.example/"'}, "invalid_request"),
        ({"state": "\r\nSet-Cookie: x"}, "invalid_request"),
    ],
)
def test_where_it_is_not_certain_whose_address_it_is_nobody_is_sent(
    portal: Portal, app: AnApp, wrong: dict[str, str], error: str
) -> None:
    """An unknown app, or an address that is not to the letter one of the app's: refused to the customer, with the protocol's
    name of the error; nothing that was sent is repeated."""
    asked = app.request("c" * 43) | wrong
    for method, argument in (("answer_app", {"request": asked, "approve": True}), ("show_app_request", asked)):
        with pytest.raises(Refused) as refused:
            portal.call("identity", method, argument, portal.customer(portal.alice))
        assert error == refused.value.details["reason"]
        assert "app.example" not in refused.value.message


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "manage"}, "invalid_scope"),
        ({"scope": "read everything"}, "invalid_scope"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
    ],
)
def test_what_an_app_may_not_ask_is_told_to_the_app(portal: Portal, app: AnApp, wrong: dict[str, str], error: str) -> None:
    """No code without PKCE by S256, for a scope that there is not, or for another flow: the app gets the error and state."""
    asked = app.request("c" * 43) | wrong
    answered = portal.call("identity", "answer_app", {"request": asked, "approve": True}, portal.customer(portal.alice))
    back = parse_qs(urlsplit(answered.redirect_to).query)
    assert answered.redirect_to.startswith(app.redirect_uri)
    assert ([error], ['a state "of" its own']) == (back["error"], back["state"]) and "code" not in back
    assert 0 == portal.count("app_code")


def test_a_code_is_bound_to_app_address_and_verifier(portal: Portal, app: AnApp) -> None:
    """Another app, another of the app's own addresses, another verifier, none: refused. The code is good still for who has it
    all."""
    other = AnApp.registered(portal)
    code, verifier = app.code(portal.alice)
    assert GRANT_REFUSED == other.exchange(code, verifier)
    assert GRANT_REFUSED == app.exchange(code, verifier, redirect_uri="http://127.0.0.1:8123/back")
    assert GRANT_REFUSED == app.exchange(code, "w" * 43)
    assert (400, {"error": "invalid_request"}) == app.exchange(code, "")
    assert (400, {"error": "invalid_request"}) == app.exchange(code, verifier[:42])
    assert GRANT_REFUSED == app.exchange("made-up", verifier)
    assert (400, {"error": "invalid_client"}) == app.exchange(code, verifier, client_id=new_id())
    assert (400, {"error": "unsupported_grant_type"}) == app.exchange(code, verifier, grant_type="password")
    status, _ = app.exchange(code, verifier)
    assert 200 == status


def test_a_code_that_is_used_twice_ends_what_came_of_it(portal: Portal, app: AnApp) -> None:
    """The second use is refused, and the tokens of the first are good no more: one of the two was a thief."""
    code, verifier = app.code(portal.alice)
    _, tokens = app.exchange(code, verifier)
    portal.authenticate(tokens["access_token"])
    assert GRANT_REFUSED == app.exchange(code, verifier)
    with pytest.raises(Unauthenticated):
        portal.authenticate(tokens["access_token"])
    assert GRANT_REFUSED == app.refresh(tokens["refresh_token"])
    assert ["code used twice"] == [one["reason"] for one in portal.events("AppGrantEnded")]


def test_of_many_parallel_uses_of_a_code_one_is_served(portal: Portal, app: AnApp) -> None:
    """Fifty at once: one gets tokens, the grant is one, and it has ended by the second use."""
    code, verifier = app.code(portal.alice)
    answers = at_once([partial(app.exchange, code, verifier)] * 50)
    assert [200] == [status for status, _ in answers if status != 400]
    assert 1 == len(portal.events("AppGranted")) == len(portal.events("AppGrantEnded"))
    assert 0 == portal.count("app_token")


def test_a_code_is_good_for_a_minute(portal: Portal, app: AnApp, later: Callable[[timedelta], None]) -> None:
    """A moment before its end it is served, a moment after it is not."""
    early, late = app.code(portal.alice), app.code(portal.alice)
    later(CODE_LIFE - timedelta(seconds=20))
    assert 200 == app.exchange(*early)[0]
    later(timedelta(seconds=21))
    assert GRANT_REFUSED == app.exchange(*late)


def test_refresh_tokens_follow_one_another(portal: Portal, app: AnApp, later: Callable[[timedelta], None]) -> None:
    """Each is exchanged once for the next two, with the grant's scope; access tokens before are over, and each is over after
    its hour."""
    tokens = app.tokens(portal.alice, "write")
    for _ in range(3):
        status, after = app.refresh(tokens["refresh_token"])
        assert 200 == status and "read write" == after["scope"]
        with pytest.raises(Unauthenticated):
            portal.authenticate(tokens["access_token"])
        assert "write" == portal.authenticate(after["access_token"]).scope
        tokens = after
    later(ACCESS_LIFE + timedelta(seconds=1))
    with pytest.raises(Unauthenticated):
        portal.authenticate(tokens["access_token"])
    assert 200 == app.refresh(tokens["refresh_token"])[0]


def test_a_refresh_token_that_is_used_twice_ends_the_grant(portal: Portal, app: AnApp) -> None:
    """Whoever brings an old one, both lose: the grant's newest tokens are good no more. Another grant of the same app stays."""
    other = app.tokens(portal.alice)
    tokens = app.tokens(portal.alice)
    _, after = app.refresh(tokens["refresh_token"])
    assert GRANT_REFUSED == app.refresh(tokens["refresh_token"])
    assert GRANT_REFUSED == app.refresh(after["refresh_token"])
    with pytest.raises(Unauthenticated):
        portal.authenticate(after["access_token"])
    portal.authenticate(other["access_token"])
    assert ["token used twice"] == [one["reason"] for one in portal.events("AppGrantEnded")]


def test_of_many_parallel_exchanges_of_a_refresh_token_one_is_served(portal: Portal, app: AnApp) -> None:
    """Thirty at once: one gets the next tokens, and the grant ends by the second use."""
    tokens = app.tokens(portal.alice)
    answers = at_once([partial(app.refresh, tokens["refresh_token"])] * 30)
    assert [200] == [status for status, _ in answers if status != 400]
    assert 0 == portal.count("app_token")


def test_a_refresh_token_is_its_apps(portal: Portal, app: AnApp) -> None:
    """Another app can't exchange it, nor an access token be exchanged; neither ends the grant."""
    other, tokens = AnApp.registered(portal), app.tokens(portal.alice)
    assert GRANT_REFUSED == other.refresh(tokens["refresh_token"])
    assert GRANT_REFUSED == app.refresh(tokens["access_token"])
    assert (400, {"error": "invalid_scope"}) == app.refresh(tokens["refresh_token"], scope="write")
    portal.authenticate(tokens["access_token"])
    assert 200 == app.refresh(tokens["refresh_token"])[0]


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_an_app_gives_back_what_it_was_granted(portal: Portal, app: AnApp, which: str) -> None:
    """By either of its tokens the grant ends; an unknown token is given back already; another app's is not another's to give
    back."""
    other, tokens = AnApp.registered(portal), app.tokens(portal.alice)
    assert GRANT_REFUSED == other.revoke(tokens[which])
    assert (200, {}) == app.revoke("made-up")
    portal.authenticate(tokens["access_token"])
    assert (200, {}) == app.revoke(tokens[which], token_type_hint=which)
    with pytest.raises(Unauthenticated):
        portal.authenticate(tokens["access_token"])
    assert GRANT_REFUSED == app.refresh(tokens["refresh_token"])
    assert (200, {}) == app.revoke(tokens[which])


def test_a_customer_ends_a_grant(portal: Portal, app: AnApp) -> None:
    """By whose it is: at once. By somebody else: there is no such grant."""
    tokens = app.tokens(portal.alice)
    (grant,) = portal.call("identity", "list_own_app_grants", None, portal.customer(portal.alice)).grants
    for person in (portal.bob, new_id()):
        with pytest.raises(NotFound):
            portal.call("identity", "end_own_app_grant", {"grant_id": grant.grant_id}, portal.customer(person))
    portal.authenticate(tokens["access_token"])
    portal.call("identity", "end_own_app_grant", {"grant_id": grant.grant_id}, portal.customer(portal.alice))
    with pytest.raises(Unauthenticated):
        portal.authenticate(tokens["access_token"])
    assert [] == portal.call("identity", "list_own_app_grants", None, portal.customer(portal.alice)).grants


def test_an_app_is_the_accounts(portal: Portal, app: AnApp, cell: Cell) -> None:
    """Registered once under one key, listed, and gone with all grants and codes when it is removed; another account has no such
    app, and an address that no code may be sent to registers none."""
    argument = {"name": "Another", "redirect_uris": ["https://other.example/"]}
    first = portal.call("identity", "register_app", argument, None, "once")
    assert first == portal.call("identity", "register_app", argument, None, "once")
    assert {app.app_id, first.app_id} == {one.app_id for one in portal.call("identity", "list_apps").apps}
    with pytest.raises(InvalidArgument):
        portal.call("identity", "register_app", {"name": "Plain", "redirect_uris": ["http://other.example/"]})
    tokens, code = app.tokens(portal.alice), app.code(portal.alice)
    elsewhere = Portal(cell)
    with pytest.raises(NotFound):
        elsewhere.call("identity", "remove_app", {"app_id": app.app_id})
    foreign = AnApp(elsewhere, app.app_id, app.redirect_uri)
    assert (400, {"error": "invalid_client"}) == foreign.refresh(tokens["refresh_token"])
    portal.authenticate(tokens["access_token"])
    portal.call("identity", "remove_app", {"app_id": app.app_id})
    with pytest.raises(Unauthenticated):
        portal.authenticate(tokens["access_token"])
    for status, document in (app.refresh(tokens["refresh_token"]), app.exchange(*code)):
        assert (400, {"error": "invalid_client"}) == (status, document)
    assert 0 == portal.count("app_grant") == portal.count("app_token") == portal.count("app_code")
    assert [first.app_id] == [one.app_id for one in portal.call("identity", "list_apps").apps]


def test_no_token_of_an_app_stands_in_a_table(portal: Portal, app: AnApp) -> None:
    """Of codes, tokens and verifiers nothing is kept that could be used; the app's name and addresses are sealed."""
    code, verifier = app.code(portal.alice)
    _, tokens = app.exchange(code, verifier)
    secrets = [code, verifier, tokens["access_token"], tokens["refresh_token"], "Kettle App", "app.example"]
    for table in ("app", "app_code", "app_grant", "app_token", "lethe.event"):
        with portal.cell.store("identity").work(portal.account) as work:
            rows = str(work.fetch(f"SELECT t.*, t::text FROM {table} AS t WHERE t.account_id = %s", (portal.account,)))
        for secret in secrets:
            assert secret not in rows and secret.encode().hex() not in rows, table


def test_an_answer_to_an_app_is_given_once_under_its_key(portal: Portal, app: AnApp) -> None:
    """Sent again it gives no second code, and says that it was done; under another key it is another answer."""
    argument = {"request": app.request(challenge_of("v" * 43)), "approve": True}
    alice = portal.customer(portal.alice)
    assert "code=" in portal.call("identity", "answer_app", argument, alice, "k").redirect_to
    with pytest.raises(AlreadyDone):
        portal.call("identity", "answer_app", argument, alice, "k")
    assert 1 == portal.count("app_code")
    assert "code=" in portal.call("identity", "answer_app", argument, alice, "another").redirect_to


def test_a_suspended_account_serves_no_app(portal: Portal, app: AnApp) -> None:
    """Suspended: neither the access token is good, nor a code or a refresh token exchanged (mission L3)."""
    tokens, code = app.tokens(portal.alice), app.code(portal.alice)
    account_states.set_state(portal.cell.store("identity"), portal.account, "suspended", 2)
    calls: list[Callable[[], Any]] = [
        lambda: portal.authenticate(tokens["access_token"]), lambda: app.refresh(tokens["refresh_token"]),
        lambda: app.exchange(*code),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(AccountSuspended):
            call()


def test_an_answer_is_a_document_of_the_protocol(portal: Portal, app: AnApp) -> None:
    """JSON with the members of RFC 6749 §5.1 and no others; an error has its name and nothing that was sent."""
    assert {"access_token", "token_type", "expires_in", "refresh_token", "scope"} == set(app.tokens(portal.alice))
    answer = portal.gateway("issue_app_tokens", grant_type='pass"word', client_id=app.app_id)
    assert {"error": "invalid_request"} == json.loads(answer.document)
    answer = portal.gateway("issue_app_tokens", client_id=app.app_id)
    assert (400, {"error": "unsupported_grant_type"}) == (answer.status, json.loads(answer.document))
