"""The portal over real TLS: a customer signs in by a mailed link, sees what is theirs, lets an app act for them, and leaves."""

from __future__ import annotations

import base64
import secrets
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from audit.sources import DatabaseSource
from audit.trail import TrailEntry, trail
from audit.trail_subjects import TrailSelection
from deploy.stack import Stack, control
from shared.ids import new_id
from shared.settings import Settings
from tests.support.desk import await_it
from tests.support.gateway import PASSWORD, Api, Plain, mail
from tests.support.portal import challenge_of

BACK = "https://app.example/back"
VERIFIER = "v" * 43


class Customer:
    """An account with a customer who wrote once, and how they come in."""

    def __init__(self, stack: Stack, desk: Api) -> None:
        self.stack, self.desk = stack, desk
        opened, self.owner = desk.open_account()
        self.account: str = opened["account"]["account_id"]
        self.portal = f"/v1/accounts/{self.account}/portal"
        self.word = f"w{secrets.token_hex(5)}"
        self.address = f"ann@{self.word}.example"
        written = mail(f"Ann Archer <{self.address}>", f"{self.word} is broken", f"My {self.word} does not work.")
        answer = desk.call("POST", "/v1/messages", written, token=self.owner, Content_Type="message/rfc822")
        assert 200 == answer.status_code, answer.text
        self.ticket: str = answer.json()["ticket_id"]

    def link(self) -> str:
        """The token of a link that was asked for, as it came by mail."""
        assert 204 == self.desk.call("POST", f"{self.portal}/links", {"address": self.address}).status_code

        def text() -> str | None:
            listed = control.ask(self.stack.home, {"do": "list"}, control.MAILBOX) or {"mails": []}
            numbers = [one["number"] for one in listed["mails"] if one["recipients"] == [self.address]]
            if not numbers:
                return None
            shown = control.ask(self.stack.home, {"do": "show", "number": numbers[-1]}, control.MAILBOX) or {}
            return str(shown["mail"]["text"])

        return await_it(text, 30).split("/sign-in#")[1].split()[0]

    def sign_in(self) -> str:
        """A session's token."""
        answer = self.desk.call("POST", f"{self.portal}/sessions/by-link", {"link_token": self.link()})
        assert 200 == answer.status_code, answer.text
        return str(answer.json()["session_token"])

    def form(self, path: str, **fields: str) -> Any:
        """A request of an app."""
        return self.desk.client.post(f"{self.portal}/oauth/{path}", data=fields)


@pytest.fixture
def customer(desk_stack: Stack, desk: Api) -> Customer:
    return Customer(desk_stack, desk)


def done_by_session(customer: Customer) -> set[str]:
    """What the trail says was done by the portal session that the customer's sign-in began."""
    source = DatabaseSource(Settings.load(customer.stack.home))

    def entries() -> list[TrailEntry] | None:
        found = trail(source, TrailSelection(account=customer.account), limit=1_000).entries
        return found if any(one.type == "erasure.ErasureRequested" for one in found) else None

    told = await_it(entries, 30)
    (session,) = [one.ids["session"] for one in told if one.type == "identity.PortalSignedIn"]
    return {one.type.partition(".")[2] for one in told if ("portal session", session) == (one.by, [one.door_id])}


def problem(answer: Any) -> tuple[int, str]:
    """Status and code of a refusal, which is a problem in form as well."""
    assert "application/problem+json" == answer.headers["content-type"], answer.text
    return answer.status_code, answer.json()["code"]


def test_a_customer_comes_in_sees_what_is_theirs_and_leaves(customer: Customer, other_desk: Api) -> None:
    """By a mailed link: profile, tickets, a saved search, sessions. Nothing of the account's own. Then they have themselves
    erased: the session is over, and the claim code fetches the certificate."""
    session, desk = customer.sign_in(), customer.desk
    get = {path: desk.call("GET", f"/v1/portal/{path}", token=session) for path in ("profile", "tickets", "sessions")}
    assert [200] * 3 == [one.status_code for one in get.values()]
    assert [customer.address] == get["profile"].json()["addresses"]
    assert [customer.ticket] == [one["ticket_id"] for one in get["tickets"].json()["tickets"]]
    shown = other_desk.call("GET", f"/v1/portal/tickets/{customer.ticket}", token=session).json()
    assert [f"My {customer.word} does not work."] == [one["text"].strip() for one in shown["messages"]]
    kept = desk.call("POST", "/v1/portal/saved-searches", {"name": "mine", "words": customer.word}, token=session)
    assert 201 == kept.status_code
    assert ["mine"] == [one["name"] for one in desk.call("GET", "/v1/portal/saved-searches", token=session).json()["searches"]]
    for path in ("tickets", f"tickets/{customer.ticket}", "users", "account", "erasure-requests", "apps"):
        assert (403, "permission_refused") == problem(desk.call("GET", f"/v1/{path}", token=session)), path
    assert (404, "not_found") == problem(desk.call("GET", f"/v1/portal/tickets/{new_id()}", token=session))
    requested = desk.call("POST", "/v1/portal/erasure-requests", {}, token=session)
    assert 202 == requested.status_code, requested.text
    claim = {"request_id": requested.json()["request_id"], "claim_code": requested.json()["claim_code"]}
    assert {"SavedSearchAdded", "ErasureRequested", "SubjectErased"} == done_by_session(customer)

    def completed() -> Plain | None:
        found: Plain = desk.call("POST", f"{customer.portal}/erasure-claims", claim).json()
        return found if found["state"] == "completed" else None

    claimed = await_it(completed, 60)
    assert claim["request_id"] in base64.b64decode(claimed["document"]).decode()
    assert (401, "unauthenticated") == problem(desk.call("GET", "/v1/portal/profile", token=session))
    wrong = desk.call("POST", f"{customer.portal}/erasure-claims", claim | {"claim_code": "guessed"})
    assert (404, "not_found") == problem(wrong)
    assert (404, "not_found") == problem(desk.call("GET", f"/v1/tickets/{customer.ticket}", token=customer.owner))


def test_a_link_gets_in_once_and_a_password_after_it_is_set(customer: Customer) -> None:
    """The second use of a link is refused, and so is a session that was signed out; a password that was set gets in again."""
    desk, link = customer.desk, customer.link()
    first = desk.call("POST", f"{customer.portal}/sessions/by-link", {"link_token": link})
    assert 200 == first.status_code
    assert (401, "unauthenticated") == problem(
        desk.call("POST", f"{customer.portal}/sessions/by-link", {"link_token": link})
    )
    session = first.json()["session_token"]
    assert 204 == desk.call("PUT", "/v1/portal/password", {"new_password": PASSWORD}, token=session).status_code
    asked = {"address": customer.address, "password": PASSWORD}
    second = desk.call("POST", f"{customer.portal}/sessions/by-password", asked)
    assert 200 == second.status_code, second.text
    session = second.json()["session_token"]
    assert 204 == desk.call("DELETE", "/v1/portal/sessions/current", token=session).status_code
    assert (401, "unauthenticated") == problem(desk.call("GET", "/v1/portal/profile", token=session))
    nobody = asked | {"address": f"nobody@{customer.word}.example"}
    assert (401, "unauthenticated") == problem(desk.call("POST", f"{customer.portal}/sessions/by-password", nobody))


def test_an_app_acts_for_a_customer_over_https(customer: Customer) -> None:
    """From its registration to the revocation of what it was granted, with forms as the protocol has them; within its scope."""
    desk, session = customer.desk, customer.sign_in()
    app = desk.call("POST", "/v1/apps", {"name": "The App", "redirect_uris": [BACK]}, token=customer.owner).json()["app_id"]
    asked = {
        "response_type": "code", "client_id": app, "redirect_uri": BACK, "state": "s",
        "code_challenge": challenge_of(VERIFIER), "code_challenge_method": "S256",
    }  # fmt: skip
    preview = desk.call("POST", "/v1/portal/authorizations/preview", asked, token=session).json()
    assert ("The App", "read") == (preview["name"], preview["scope"])
    answered = desk.call("POST", "/v1/portal/authorizations", {"request": asked, "approve": True}, token=session)
    code = parse_qs(urlsplit(answered.json()["redirect_to"]).query)["code"][0]
    issue = {"grant_type": "authorization_code", "client_id": app, "code": code, "redirect_uri": BACK, "unheard_of": "x"}
    assert (400, {"error": "invalid_grant"}) == _document(customer.form("token", **issue, code_verifier="w" * 43))
    status, tokens = _document(customer.form("token", **issue, code_verifier=VERIFIER))
    assert (200, "Bearer") == (status, tokens["token_type"])
    access = tokens["access_token"]
    assert 200 == desk.call("GET", "/v1/portal/profile", token=access).status_code
    too_much = desk.call("POST", "/v1/portal/saved-searches", {"name": "mine", "words": "x"}, token=access)
    assert (403, "permission_refused") == problem(too_much)
    assert (403, "permission_refused") == problem(desk.call("POST", "/v1/portal/erasure-requests", {}, token=access))
    again = {"grant_type": "refresh_token", "client_id": app, "refresh_token": tokens["refresh_token"]}
    status, after = _document(customer.form("token", **again))
    assert 200 == status
    assert (200, {}) == _document(customer.form("revoke", client_id=app, token=after["refresh_token"]))
    assert (401, "unauthenticated") == problem(desk.call("GET", "/v1/portal/profile", token=after["access_token"]))
    assert [] == desk.call("GET", "/v1/portal/app-grants", token=session).json()["grants"]


def test_a_malformed_form_is_refused(customer: Customer) -> None:
    """What is no form, has a field twice, or comes as JSON."""
    post = customer.desk.client.post
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (b"grant_type=a&grant_type=b", b"grant_type", b"grant_type=%ff", b"\xff=a"):
        assert (400, "malformed_request") == problem(post(f"{customer.portal}/oauth/token", content=body, headers=headers))
    assert (415, "unsupported_media_type") == problem(post(f"{customer.portal}/oauth/token", json={"grant_type": "code"}))


def _document(answer: Any) -> tuple[int, Plain]:
    assert "application/json" == answer.headers["content-type"] and "no-store" in answer.headers["cache-control"], answer.text
    return answer.status_code, answer.json()
