"""What customers of an account have in the portal, and its apps, for those who look at it from another account."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from shared import clock
from shared.ids import new_id
from tests.support.access_side import SOURCE
from tests.support.databases import superuser
from tests.support.desk import Desk
from tests.support.stores import closing

PORTAL_PASSWORD = "a toaster that never burns"
REDIRECT_URI = "https://app.example/back"
VERIFIER = "verifier-" * 5
_CHALLENGE = "KLC4JlF1nAD5pyBtTslagiURcEWI4-Pt1h2A4fZ6Ixo"


def nobodys() -> dict[str, str]:
    """What no account has, of this."""
    return {name: secrets.token_urlsafe(24) for name in ("sign_in_token", "refresh_token", "claim_code")}


def app_request(app: str) -> dict[str, Any]:
    """What an app asks a customer for."""
    return {
        "response_type": "code", "client_id": app, "redirect_uri": REDIRECT_URI, "code_challenge": _CHALLENGE,
        "code_challenge_method": "S256", "state": "s",
    }  # fmt: skip


def make_portal(desk: Desk, word: str, person: str) -> dict[str, str]:
    """One of everything for a person, and two others who leave: one is gone, with a claim code, and one is still there."""
    customer = desk.callers.customer(desk.account, person)
    desk.call("identity", "set_portal_password", {"new_password": PORTAL_PASSWORD}, token=customer)
    _gateway(desk, "sign_in_by_link", {"link_token": mailed_link(desk, person), "source": SOURCE})
    session = desk.call("identity", "list_own_sessions", {}, token=customer)["sessions"][0]["session_id"]
    search = desk.call("identity", "add_saved_search", {"name": word, "words": word}, token=customer)["search_id"]
    app, spare = (
        desk.call("identity", "register_app", {"name": f"App {word}", "redirect_uris": [REDIRECT_URI]})["app_id"]
        for _ in range(2)
    )
    grant_app(desk, app, customer)
    grant = desk.call("identity", "list_own_app_grants", {}, token=customer)["grants"][0]["grant_id"]
    made = {"refresh_token": grant_app(desk, app, customer), "sign_in_token": mailed_link(desk, person)}
    gone, leaver = (person_of(desk, f"{name}@{word}.example") for name in ("left", "leaver"))
    asked = desk.call("erasure", "request_own_erasure", {}, token=desk.callers.customer(desk.account, gone))
    desk.await_erasure(asked["request_id"])
    return made | {
        "portal_session": session, "search": search, "app": app, "spare_app": spare, "app_grant": grant, "leaver": leaver,
        "left_request": asked["request_id"], "claim_code": asked["claim_code"],
    }  # fmt: skip


def mailed_link(desk: Desk, person: str) -> str:
    """A link as if it had been mailed: its row, and its token, which is nowhere else."""
    token = f"lethe_link_{secrets.token_urlsafe(24)}"
    with closing(superuser(desk.callers.settings, "identity")) as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO lethe.sign_in_link (account_id, digest, person_id, address, expires_at) VALUES (%s, %s, %s, 0, %s)",
            (desk.account, hashlib.sha256(token.encode()).digest(), person, clock.now() + timedelta(hours=1)),
        )
        connection.commit()
    return token


def grant_app(desk: Desk, app: str, customer: str) -> str:
    """The refresh token of a new grant."""
    answered = desk.call("identity", "answer_app", {"request": app_request(app), "approve": True}, token=customer)
    code = parse_qs(urlsplit(answered["redirect_to"]).query)["code"][0]
    asked = {
        "grant_type": "authorization_code", "client_id": app, "code": code, "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
    }  # fmt: skip
    answer = _gateway(desk, "issue_app_tokens", asked)
    assert 200 == answer["status"], answer
    return str(msgspec.json.decode(answer["document"])["refresh_token"])


def person_of(desk: Desk, address: str) -> str:
    """The person of an address, who is made if there is none."""
    asked = {"address": address, "name": f"Lea {new_id()[:4]}"}
    return str(desk.call("contacts", "add_user_person", asked, token=desk.callers.service("identity"))["id"])


def _gateway(desk: Desk, method: str, argument: Any) -> Any:
    return desk.call("identity", method, argument, token=desk.callers.service("tickets"))
