"""The resources over real TLS: of each something that is answered and something that is refused."""

from __future__ import annotations

import base64
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.ids import new_id
from tests.support.desk import await_it
from tests.support.gateway import PASSWORD, Api, Plain, mail

MAIL = "message/rfc822"


@pytest.fixture(scope="module")
def owner(desk: Api) -> tuple[Plain, str]:
    """An account for tests that add to it and count nothing: what opening it answered, and its owner's session."""
    return desk.open_account(is_confirmed=True)


@pytest.fixture(scope="module")
def taken_in(desk: Api, owner: tuple[Plain, str]) -> Plain:
    """A mail of somebody's with an attachment: what became of it, and the word and address in it."""
    word, token = f"w{secrets.token_hex(5)}", owner[1]
    address = f"ann@{word}.example"
    answer = desk.call(
        "POST", "/v1/messages", mail(f"Ann Archer <{address}>", f"{word} is broken", f"My {word} does not work."), token=token,
        Content_Type=MAIL,
    )  # fmt: skip
    assert (200, "imported") == (answer.status_code, answer.json()["status"]), answer.text
    return answer.json() | {"word": word, "address": address}


def problem(answer: Any) -> tuple[int, str]:
    """Status and code of a refusal, which is a problem in form as well."""
    assert "application/problem+json" == answer.headers["content-type"], answer.text
    return answer.status_code, answer.json()["code"]


# ---------------------------------------------------------------------------------------------------------------- accounts


def test_an_account_is_opened_with_its_owner(desk: Api) -> None:
    """Whoever signs up has an account, and is let in with the password that they chose."""
    opened, token = desk.open_account()
    account = desk.call("GET", "/v1/account", token=token).json()
    assert (opened["account"], "active", "trial") == (account, account["state"], account["plan"])
    me = desk.call("GET", "/v1/users/me", token=token).json()
    assert (opened["owner"], "owner") == (me, me["role"])


def test_a_half_done_account_is_completed_under_its_key(desk: Api, other_desk: Api) -> None:
    """A password that is refused leaves the account without an owner; the same request with a better one completes it."""
    word = secrets.token_hex(6)
    owner = {"name": "Olga", "login": f"olga.{word}@desk.example", "password": "password"}
    asked: Plain = {"name": f"desk {word}", "owner": owner}
    refused = desk.call("POST", "/v1/accounts", asked, Idempotency_Key=word)
    assert (422, "invalid_argument") == problem(refused)
    assert "owner.password" == refused.json()["field"]
    asked["owner"] = owner | {"password": PASSWORD}
    opened = other_desk.call("POST", "/v1/accounts", asked, Idempotency_Key=word)
    again = desk.call("POST", "/v1/accounts", asked, Idempotency_Key=word)
    assert (201, 201) == (opened.status_code, again.status_code)
    assert opened.json() == again.json()
    taken = desk.call("POST", "/v1/accounts", asked, Idempotency_Key=f"another-{word}")
    assert (409, "conflict") == problem(taken)


def test_one_key_at_two_gateways_at_once_is_one_account(desk: Api, other_desk: Api) -> None:
    """However often a sign-up is sent, the answers name one account and one owner. Who meets a busy desk sends it again."""
    word = secrets.token_hex(6)
    owner = {"name": "Olga", "login": f"olga.{word}@desk.example", "password": PASSWORD}
    asked: Plain = {"name": f"desk {word}", "owner": owner}

    def send(at: int) -> Any:
        for _ in range(20):
            answer = (desk, other_desk)[at % 2].call("POST", "/v1/accounts", asked, Idempotency_Key=word)
            if answer.status_code != 503:
                break
            assert "busy" == answer.json()["code"], answer.text
        return answer

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(6)))
    assert {201} == {one.status_code for one in answers}, [one.text for one in answers]
    assert 1 == len({one.text for one in answers})


def test_one_key_of_two_strangers_is_two_accounts(desk: Api) -> None:
    """Who makes up the key that somebody else has used does not meet them."""
    first, _ = desk.open_account("the-same-key")
    second, _ = desk.open_account("the-same-key")
    assert first["account"]["account_id"] != second["account"]["account_id"]


def test_an_account_needs_a_key(desk: Api) -> None:
    """Without one, a half-done sign-up could not be completed."""
    owner = {"name": "Olga", "login": "olga@desk.example", "password": PASSWORD}
    refused = desk.call("POST", "/v1/accounts", {"name": "desk", "owner": owner})
    assert (422, "invalid_argument") == problem(refused)
    assert ("Idempotency-Key", "is required") == (refused.json()["field"], refused.json()["rule"])


# ------------------------------------------------------------------------------------------------------------- who gets in


def test_each_credential_lets_in_and_a_wrong_one_does_not(desk: Api, owner: tuple[Plain, str]) -> None:
    """A session, an API token as Bearer and as the password of Basic, and a login with its password."""
    opened, session = owner
    login, user = opened["owner"]["login"], opened["owner"]["user_id"]
    made = desk.call("POST", "/v1/tokens", {"name": "a program", "scope": "read"}, token=session)
    assert 201 == made.status_code, made.text
    token = made.json()["token"]

    def me(authorization: str) -> Any:
        return desk.call("GET", "/v1/users/me", Authorization=authorization)

    def basic(secret: str) -> str:
        return "Basic " + base64.b64encode(f"{login}:{secret}".encode()).decode()

    for good in (f"Bearer {session}", f"Bearer {token}", basic(token), basic(PASSWORD)):
        assert user == me(good).json()["user_id"]
    wrong = (f"Bearer {session}x", f"Bearer {token[:-1]}", basic("x"), basic(token[:-1]), "Bearer lethe_x")
    refusals = [me(bad) for bad in wrong]
    assert [(401, "unauthenticated")] * 5 == [problem(one) for one in refusals]
    assert all(one.headers["www-authenticate"].startswith("Basic ") for one in refusals)


def test_a_token_does_no_more_than_its_scope(desk: Api, owner: tuple[Plain, str]) -> None:
    """A token to read changes nothing, and one that was revoked does nothing."""
    made = desk.call("POST", "/v1/tokens", {"name": "reader", "scope": "read"}, token=owner[1]).json()
    assert 200 == desk.call("GET", "/v1/tickets", token=made["token"]).status_code
    refused = desk.call("POST", "/v1/organisations", {"name": "Example Ltd"}, token=made["token"])
    assert (403, "permission_refused") == problem(refused)
    listed = desk.call("GET", "/v1/tokens", token=owner[1]).json()["api_tokens"]
    assert made["api_token"]["api_token_id"] in [one["api_token_id"] for one in listed]
    assert 204 == desk.call("DELETE", f"/v1/tokens/{made['api_token']['api_token_id']}", token=owner[1]).status_code
    assert (401, "unauthenticated") == problem(desk.call("GET", "/v1/tickets", token=made["token"]))


def test_sessions_are_listed_and_ended(desk: Api) -> None:
    """Logging out ends this session, and ending all leaves the one that asked for it."""
    opened, first = desk.open_account(is_confirmed=True)
    second, third = (desk.log_in(opened["owner"]["login"]) for _ in range(2))
    assert 3 == len(desk.call("GET", "/v1/sessions", token=first).json()["sessions"])
    assert 204 == desk.call("DELETE", "/v1/sessions/current", token=third).status_code
    assert {"ended": 1} == desk.call("DELETE", "/v1/sessions", token=first).json()
    statuses = [desk.call("GET", "/v1/account", token=one).status_code for one in (first, second, third)]
    assert [200, 401, 401] == statuses
    assert (422, "invalid_argument") == problem(desk.call("DELETE", "/v1/sessions/1", token=first))
    assert (404, "not_found") == problem(desk.call("GET", f"/v1/sessions?user_id={new_id()}", token=first))


def test_a_wrong_password_is_refused_as_an_unknown_login(desk: Api, owner: tuple[Plain, str]) -> None:
    """Nobody learns who has a login."""
    known = desk.call("POST", "/v1/sessions", {"login": owner[0]["owner"]["login"], "password": "wrong"})
    unknown = desk.call("POST", "/v1/sessions", {"login": "nobody@desk.example", "password": "wrong"})
    assert (401, "unauthenticated") == problem(known) == problem(unknown)
    assert known.json()["detail"] == unknown.json()["detail"]


# ------------------------------------------------------------------------------------------------------------ what is there


def test_a_mail_comes_in_and_is_read(desk: Api, owner: tuple[Plain, str], taken_in: Plain) -> None:
    """The ticket has the message as it came; sent again, the mail changes nothing."""
    ticket = desk.call("GET", f"/v1/tickets/{taken_in['ticket_id']}", token=owner[1]).json()
    assert f"{taken_in['word']} is broken" == ticket["ticket"]["subject"]
    assert [taken_in["message_id"]] == [one["message_id"] for one in ticket["messages"]]
    assert (404, "not_found") == problem(desk.call("GET", f"/v1/tickets/{new_id()}", token=owner[1]))


@pytest.mark.parametrize("path", ["/v1/tickets/1", "/v1/tickets/ann@example.org", "/v1/contacts/ann@example.org"])
def test_what_is_no_id_does_not_reach_a_service(desk: Api, owner: tuple[Plain, str], path: str) -> None:
    """Where an id stands in an address, nothing else can."""
    assert (422, "invalid_argument") == problem(desk.call("GET", path, token=owner[1]))


def test_a_mail_is_of_its_media_type(desk: Api, owner: tuple[Plain, str]) -> None:
    """Another media type is not guessed at."""
    refused = desk.call("POST", "/v1/messages", b"From: a@b.example\r\n\r\n", token=owner[1], Content_Type="text/plain")
    assert (415, "unsupported_media_type") == problem(refused)


def test_an_attachment_is_saved_and_never_shown(desk: Api, owner: tuple[Plain, str], taken_in: Plain) -> None:
    """Whatever its sender called it: it comes as octets, as a download, in a sandbox."""
    ticket = desk.call("GET", f"/v1/tickets/{taken_in['ticket_id']}", token=owner[1]).json()
    blob = ticket["messages"][0]["attachments"][0]["blob_id"]
    answer = desk.call("GET", f"/v1/attachments/{blob}", token=owner[1])
    assert f"<p>My {taken_in['word']} does not work.</p>" in answer.text
    assert "application/octet-stream" == answer.headers["content-type"]
    assert "attachment; filename*=UTF-8''note%20%C3%BC.html" == answer.headers["content-disposition"]
    assert "sandbox" in answer.headers["content-security-policy"] and "nosniff" == answer.headers["x-content-type-options"]
    assert (404, "not_found") == problem(desk.call("GET", f"/v1/attachments/{new_id()}", token=owner[1]))


def test_words_and_addresses_are_looked_for_in_bodies(desk: Api, owner: tuple[Plain, str], taken_in: Plain) -> None:
    """The search finds the message, and the look-ups find who wrote it."""
    hits = desk.call("POST", "/v1/searches", {"words": taken_in["word"]}, token=owner[1]).json()["hits"]
    assert [taken_in["message_id"]] == [one["message_id"] for one in hits]
    found = desk.call("POST", "/v1/contacts/lookup", {"who": taken_in["address"]}, token=owner[1]).json()
    assert "Ann Archer" == found["name"]
    named = desk.call("POST", "/v1/contacts/search", {"query": "archer"}, token=owner[1]).json()["persons"]
    assert [found] == named
    assert found == desk.call("GET", f"/v1/contacts/{found['person_id']}", token=owner[1]).json()
    written = desk.call("GET", f"/v1/contacts/{found['person_id']}/messages", token=owner[1]).json()["messages"]
    assert [taken_in["message_id"]] == [one["message_id"] for one in written]
    assert (404, "not_found") == problem(desk.call("POST", "/v1/contacts/lookup", {"who": "no@one.example"}, token=owner[1]))
    assert (422, "invalid_argument") == problem(desk.call("POST", "/v1/searches", {"words": ""}, token=owner[1]))


def test_lists_come_in_pages_with_the_way_to_the_next(desk: Api) -> None:
    """Following the links gives everything once, in order; the last page has no link."""
    _, token = desk.open_account()
    for number in range(3):
        sent = mail(f"a{number}@mail.example", f"thing {number}", "text")
        assert 200 == desk.call("POST", "/v1/messages", sent, token=token, Content_Type=MAIL).status_code
    everything = desk.call("GET", "/v1/tickets", token=token).json()["tickets"]
    found, path = [], "/v1/tickets?limit=2"
    pages = 0
    while path:
        answer = desk.call("GET", path, token=token)
        found += answer.json()["tickets"]
        pages += 1
        path = answer.links.get("next", {}).get("url", "")
        assert bool(path) == (answer.json()["next_after"] is not None)
    assert (everything, 3, True) == (found, len(found), pages >= 2)
    for query in ("limit=0", "limit=501", "limit=x", "after=1", "limit=1&limit=2", "page=2"):
        assert (422, "invalid_argument") == problem(desk.call("GET", f"/v1/tickets?{query}", token=token))


def test_organisations_and_mailboxes_are_added(desk: Api, owner: tuple[Plain, str]) -> None:
    """Each answers with its id; an address that is none is refused."""
    assert 201 == desk.call("POST", "/v1/organisations", {"name": "Example Ltd"}, token=owner[1]).status_code
    box = f"help@{secrets.token_hex(4)}.example"
    assert 201 == desk.call("POST", "/v1/mailboxes", {"address": box}, token=owner[1]).status_code
    assert (422, "invalid_argument") == problem(desk.call("POST", "/v1/mailboxes", {"address": "x"}, token=owner[1]))


def test_a_person_is_erased(desk: Api) -> None:
    """From the request to the certificate; then nobody finds them any more."""
    _, token = desk.open_account()
    address = f"ann@{secrets.token_hex(4)}.example"
    desk.call("POST", "/v1/messages", mail(address, "thing", "text"), token=token, Content_Type=MAIL)
    preview = desk.call("POST", "/v1/erasure-requests/preview", {"who": address}, token=token)
    assert 200 == preview.status_code and preview.json()["person_ids"]
    key = secrets.token_hex(8)
    asked = {"who": address, "reason": "asked for it"}
    made = desk.call("POST", "/v1/erasure-requests", asked, token=token, Idempotency_Key=key)
    again = desk.call("POST", "/v1/erasure-requests", asked, token=token, Idempotency_Key=key)
    assert (202, 202) == (made.status_code, again.status_code)
    assert made.json()["request_id"] == again.json()["request_id"]
    place = made.headers["location"]
    await_it(lambda: desk.call("GET", place, token=token).json()["state"] == "completed", 60)
    assert made.json()["request_id"] in desk.call("GET", f"{place}/certificate", token=token).text
    listed = desk.call("GET", "/v1/erasure-requests", token=token).json()["requests"]
    assert [made.json()["request_id"]] == [one["request_id"] for one in listed]
    assert (404, "not_found") == problem(desk.call("POST", "/v1/contacts/lookup", {"who": address}, token=token))
    missing = f"/v1/erasure-requests/{new_id()}"
    for method, path in (("GET", missing), ("GET", f"{missing}/certificate"), ("POST", f"{missing}/retry")):
        assert (404, "not_found") == problem(desk.call(method, path, token=token))


# ------------------------------------------------------------------------------------------------------------------- edits


def test_two_accounts_never_meet(desk: Api, owner: tuple[Plain, str], taken_in: Plain) -> None:
    """What is another account's does not exist, by its id and in the header."""
    _, stranger = desk.open_account()
    account = owner[0]["account"]["account_id"]
    assert (404, "not_found") == problem(desk.call("GET", f"/v1/tickets/{taken_in['ticket_id']}", token=stranger))
    assert [] == desk.call("POST", "/v1/searches", {"words": taken_in["word"]}, token=stranger).json()["hits"]
    named = desk.call("GET", "/v1/account", token=stranger, Lethe_Account=account)
    assert named.status_code in (401, 404) or named.json()["account_id"] != account
