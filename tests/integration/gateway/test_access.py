"""Users, the second factor, passwords and address ranges, over real TLS."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pyotp
import pytest

from deploy.stack import Stack
from tests.support.gateway import PASSWORD, Api, Plain, api

OTHER_PASSWORD = "another long sentence of mine"


def problem(answer: Any) -> tuple[int, str]:
    """Status and code of a refusal."""
    assert "application/problem+json" == answer.headers["content-type"], answer.text
    return answer.status_code, answer.json()["code"]


def add_user(desk: Api, token: str, role: str = "agent") -> Any:
    """The answer to adding a user of this role."""
    asked = {"role": role, "name": "Aron Agent", "login": f"aron.{secrets.token_hex(5)}@desk.example"}
    return desk.call("POST", "/v1/users", asked, token=token)


def test_users_are_added_and_edited_by_who_has_seen_them(desk: Api) -> None:
    """An edit without the tag that was seen is refused, and so is one with a tag that is over."""
    _, token = desk.open_account()
    made = add_user(desk, token)
    assert 201 == made.status_code, made.text
    place, tag = made.headers["location"], made.headers["etag"]
    assert tag == desk.call("GET", place, token=token).headers["etag"]
    asked = {"name": "Aron Other"}
    assert (428, "precondition_required") == problem(desk.call("PATCH", place, asked, token=token))
    changed = desk.call("PATCH", place, asked, token=token, If_Match=tag)
    assert (200, "Aron Other") == (changed.status_code, changed.json()["name"]), changed.text
    assert (412, "precondition_failed") == problem(desk.call("PATCH", place, asked, token=token, If_Match=tag))
    seen = changed.headers["etag"]
    assert "admin" == desk.call("PUT", f"{place}/role", {"role": "admin"}, token=token, If_Match=seen).json()["role"]
    assert "deactivated" == desk.call("POST", f"{place}/deactivation", token=token).json()["state"]
    assert "active" == desk.call("POST", f"{place}/reactivation", token=token).json()["state"]
    assert 204 == desk.call("DELETE", place, token=token).status_code
    listed = desk.call("GET", "/v1/users", token=token).json()["users"]
    assert ["owner"] == [one["role"] for one in listed]


def test_of_twenty_edits_with_one_tag_one_passes(desk: Api, gateway: Plain) -> None:
    """Twenty at once, at both gateways: one is answered with a new tag, nineteen by 412."""
    _, token = desk.open_account()
    made = add_user(desk, token)
    place, tag = made.headers["location"], made.headers["etag"]
    together = Barrier(20)

    def edit(number: int) -> tuple[int, str]:
        with api(gateway["urls"][number % 2], gateway["certificate"]) as one:
            one.call("GET", place, token=token)
            together.wait()
            answer = one.call("PATCH", place, {"name": f"Aron {number}"}, token=token, If_Match=tag)
        return answer.status_code, answer.json().get("code", answer.headers.get("etag"))

    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(edit, range(20)))
    (passed,) = [one for one in told if one[0] == 200]
    assert [(412, "precondition_failed")] * 19 == [one for one in told if one is not passed]
    assert passed[1] == desk.call("GET", place, token=token).headers["etag"] != tag


def test_a_last_owner_stays(desk: Api) -> None:
    """Neither deleted nor made less."""
    opened, token = desk.open_account()
    place = f"/v1/users/{opened['owner']['user_id']}"
    assert (409, "refused") == problem(desk.call("DELETE", place, token=token))
    assert (409, "refused") == problem(desk.call("PUT", f"{place}/role", {"role": "agent"}, token=token, If_Match="*"))


def test_an_address_range_lets_in_and_keeps_out(desk: Api, desk_stack: Stack) -> None:
    """Nobody locks themselves out; from outside of the range nobody gets in, whatever the request says of itself; behind a
    proxy that is trusted, the client that it saw does."""
    opened, token = desk.open_account(is_confirmed=True)
    outside = desk.call("PUT", "/v1/account/ip-ranges", {"ranges": ["203.0.113.0/24"]}, token=token)
    assert 400 <= outside.status_code < 500, outside.text
    both = {"ranges": ["127.0.0.0/8", "203.0.113.0/24"]}
    assert 200 == desk.call("PUT", "/v1/account/ip-ranges", both, token=token).status_code
    assert both == desk.call("GET", "/v1/account/ip-ranges", token=token).json()

    desk_stack.start("gateway-5", env={"LETHE_GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8", "LETHE_GATEWAY_SIGN_UP": "open"})
    try:
        desk_stack.await_ready()
        found = desk_stack.status()["gateway"]
        with api(found["urls"][-1], found["certificate"]) as behind:

            def status(*forwarded: str) -> int:
                lines = [("X-Forwarded-For", one) for one in forwarded] + [("Authorization", f"Bearer {token}")]
                return behind.client.get("/v1/account", headers=lines).status_code

            assert 200 == status("203.0.113.9")
            assert 200 == status("::ffff:203.0.113.9")
            assert 403 == status("198.51.100.1")
            assert 403 == status("203.0.113.9, 198.51.100.1")
            assert 403 == status("203.0.113.9", "198.51.100.1")
            assert 403 == status("::ffff:203.0.113.9", "::ffff:198.51.100.1")
            only = {"ranges": ["203.0.113.0/24"]}
            lines = {"X-Forwarded-For": "203.0.113.9", "Authorization": f"Bearer {token}"}
            assert 200 == behind.client.put("/v1/account/ip-ranges", json=only, headers=lines).status_code
        forged = desk.call("GET", "/v1/account", token=token, X_Forwarded_For="203.0.113.9")
        assert (403, "permission_refused") == problem(forged)
        login = {"login": opened["owner"]["login"], "password": PASSWORD}
        assert (401, "unauthenticated") == problem(desk.call("POST", "/v1/sessions", login, X_Forwarded_For="203.0.113.9"))
    finally:
        desk_stack.stop("gateway-5")


@pytest.fixture
def enrolled(desk: Api) -> tuple[Plain, pyotp.TOTP]:
    """An owner with the second factor on, and their authenticator."""
    opened, token = desk.open_account(is_confirmed=True)
    begun = desk.call("POST", "/v1/second-factor/enrolment", token=token)
    assert 200 == begun.status_code, begun.text
    app = pyotp.parse_uri(begun.json()["uri"])
    assert isinstance(app, pyotp.TOTP) and begun.json()["qr_png"]
    assert 4 == desk.call("POST", "/v1/second-factor/confirmation", {"code": "000000"}, token=token).status_code // 100
    on = desk.call("POST", "/v1/second-factor/confirmation", {"code": app.now()}, token=token)
    assert 10 == len(on.json()["recovery_codes"]), on.text
    return opened | {"recovery": on.json()["recovery_codes"]}, app


def test_with_the_second_factor_on_every_login_needs_it(desk: Api, enrolled: tuple[Plain, pyotp.TOTP]) -> None:
    """The password alone leads to a challenge and lets nobody in by Basic; the challenge with a code is a session."""
    opened, _ = enrolled
    login = {"login": opened["owner"]["login"], "password": PASSWORD}
    asked = desk.call("POST", "/v1/sessions", login).json()
    assert ("second factor", None) == (asked["status"], asked["session_token"])
    completed = desk.call("POST", "/v1/sessions/completion", {"challenge": asked["challenge"], "code": opened["recovery"][0]})
    assert "in" == completed.json()["status"], completed.text
    assert desk.call("GET", "/v1/second-factor", token=completed.json()["session_token"]).json()["is_on"]
    refused = desk.client.get("/v1/account", auth=(login["login"], PASSWORD))
    assert (403, "second_factor_required") == problem(refused)
    wrong = desk.call("POST", "/v1/sessions/completion", {"challenge": "made up", "code": "123456"})
    assert (401, "unauthenticated") == problem(wrong)


def test_a_password_is_changed_with_the_old_one(desk: Api) -> None:
    """All sessions end; the old password is none any more."""
    opened, token = desk.open_account(is_confirmed=True)
    login = opened["owner"]["login"]
    wrong = desk.call("PUT", "/v1/password", {"old_password": "x", "new_password": OTHER_PASSWORD}, token=token)
    assert 400 <= wrong.status_code < 500
    right = {"old_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert 204 == desk.call("PUT", "/v1/password", right, token=token).status_code
    assert 401 == desk.call("GET", "/v1/account", token=token).status_code
    assert desk.log_in(login, OTHER_PASSWORD)
    assert 401 == desk.call("POST", "/v1/sessions", {"login": login, "password": PASSWORD}).status_code


def test_a_forgotten_password_tells_nobody_who_has_a_login(desk: Api) -> None:
    """The answer is the same for a login that exists and for one that does not; a link that is made up opens nothing."""
    opened, _ = desk.open_account()
    for login in (opened["owner"]["login"], f"nobody.{secrets.token_hex(4)}@desk.example"):
        answer = desk.call("POST", "/v1/password/reset-requests", {"login": login})
        assert (202, b"") == (answer.status_code, answer.content)
    refused = desk.call("POST", "/v1/password/resets", {"link_token": "made up", "password": OTHER_PASSWORD})
    assert 400 <= refused.status_code < 500 and refused.status_code != 422, refused.text


def test_invitations_are_open_until_they_are_withdrawn(desk: Api) -> None:
    """Who is invited is listed for the managers; the link is in the mail only, and one that is made up opens nothing."""
    _, token = desk.open_account()
    made = desk.call("POST", "/v1/invitations", {"role": "agent", "login": f"a{secrets.token_hex(4)}@x.example"}, token=token)
    assert 201 == made.status_code, made.text
    listed = desk.call("GET", "/v1/invitations", token=token).json()["invitations"]
    assert [made.json()["invitation_id"]] == [one["invitation_id"] for one in listed]
    assert 204 == desk.call("DELETE", f"/v1/invitations/{made.json()['invitation_id']}", token=token).status_code
    assert [] == desk.call("GET", "/v1/invitations", token=token).json()["invitations"]
    asked = {"link_token": "made up", "name": "Aron", "password": OTHER_PASSWORD}
    refused = desk.call("POST", "/v1/invitations/acceptance", asked)
    assert 400 <= refused.status_code < 500 and refused.status_code != 422, refused.text
