"""Who may use which operation of the HTTP API, how it is asked, and what tells that it had its effect: written by hand from
docs/api.md and the READMEs, never read from the code that decides it. An operation that has no row here fails a test.

`allowed` names those who get the answer; all others must be refused. The columns:

owner, admin, agent   users of the account, each with a session
read, write, manage   API tokens of the owner, of that scope
customer              a customer of the account, with a session of the portal
nobody                without a credential
stranger              the owner of another account, with a session
suspended             the owner (of what is the portal's: a customer), while the account is suspended

`stranger` says what becomes of another account's owner: the code of the refusal, or `own` where the same request is about the
account of whoever sends it, so that it is answered and has nothing of this one. `suspended` likewise.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.ids import new_id
from tests.support.access_side import a_password, code_of
from tests.support.every_call import Side, mails_of_side, placing
from tests.support.portal_side import PORTAL_PASSWORD, app_request

USERS = "owner admin agent"
READERS = f"{USERS} read write manage"
WRITERS = f"{USERS} write manage"
ALL = f"{USERS} manage"
MANAGERS = "owner admin manage"
SEERS = "owner admin read write manage"
EVERYBODY = "nobody owner read customer stranger"
"""For operations that ask for no credential: with one, of whomever, they do the same. These stand for all."""

Answer = Any
Get = Callable[[str], Any]
"""What the owner is shown at a path."""
MAIL, FORM = "message/rfc822", "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Row:
    """An operation. `path` and `body` are made of what a side has; `made` names what it uses up (`fresh.MADE`)."""

    allowed: str
    ask: str
    effect: Callable[[Side, Answer, Get], bool]
    body: Callable[[Side], Any] = lambda _: None
    stranger: str = "not_found"
    suspended: str = "account_suspended"
    made: str = ""
    media_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200

    def path(self, account: str, side: Side) -> str:
        """Where it is asked."""
        return self.ask.partition(" ")[2].format(side=side, account=account)

    @property
    def method(self) -> str:
        return self.ask.partition(" ")[0]

    @property
    def is_public(self) -> bool:
        """Whether it asks for no credential."""
        return "nobody" in self.allowed.split()


def _has(key: str, wanted: Callable[[Side], Any]) -> Callable[[Side, Answer, Get], bool]:
    return lambda side, answer, _: bool(answer.json()[key] == wanted(side))


def _lists(key: str, field: str, wanted: Callable[[Side], str]) -> Callable[[Side, Answer, Get], bool]:
    return lambda side, answer, _: wanted(side) in [one[field] for one in answer.json()[key]]


def _gone(path: str, key: str, field: str, of: Callable[[Side], str]) -> Callable[[Side, Answer, Get], bool]:
    """What is asked for is not in the owner's list any more."""
    return lambda side, _, get: of(side) not in [one[field] for one in get(path.format(side=side))[key]]


def _answered(_side: Side, answer: Answer, _get: Get) -> bool:
    """Where the effect is a mail, or is seen by nobody: the matrix looks after it by itself."""
    return answer.content in (b"", b"{}")


def _user(field: str, value: str) -> Callable[[Side, Answer, Get], bool]:
    """The user as the answer has them, and as the owner is shown them afterwards."""
    return lambda side, answer, get: answer.json()[field] == value == get(f"/v1/users/{side.agent}")[field]


def _in(side: Side, answer: Answer, _get: Get) -> bool:
    told = answer.json()
    return told["status"] == "in" and told["session_token"].startswith("lethe_session_")


def _downloads(side: Side, answer: Answer, _get: Get) -> bool:
    return side.word in answer.text and answer.headers["content-disposition"].startswith("attachment")


def _later(side: Side, answer: Answer, get: Get) -> bool:
    asked = answer.json()["request_id"]
    return asked == get(f"/v1/erasure-requests/{asked}")["request_id"]


def _placed(side: Side, answer: Answer, get: Get) -> bool:
    return bool(get(f"/v1/holds/{answer.json()['hold_id']}")["person_ids"] == [side.person])


def _released(side: Side, _: Answer, get: Get) -> bool:
    return bool(get(f"/v1/holds/{side.hold}")["end"] == "released")


def _sign_up(side: Side) -> Any:
    word = f"w{new_id()[:8]}"
    owner = {"name": "Ada", "login": f"ada@{word}.example", "password": a_password()}
    return {"name": f"desk {word}", "owner": owner}


IF_MATCH = (("If-Match", "*"),)
PORTAL = "/v1/accounts/{account}/portal"

TABLE: dict[str, Row] = {
    # accounts
    "open_account": Row(
        EVERYBODY, "POST /v1/accounts", lambda _, answer, __: answer.json()["owner"]["role"] == "owner", _sign_up,
        stranger="own", suspended="own", headers=(("Idempotency-Key", "<new>"),), status=201,
    ),
    "show_account": Row(READERS, "GET /v1/account", _has("name", lambda side: side.name), stranger="own"),
    "show_ip_ranges": Row(
        SEERS, "GET /v1/account/ip-ranges", lambda _, answer, __: answer.json()["ranges"] == [], stranger="own"
    ),
    "set_ip_ranges": Row(
        "owner manage", "PUT /v1/account/ip-ranges",
        lambda _, answer, get: answer.json() == get("/v1/account/ip-ranges") == {"ranges": ["127.0.0.0/8", "192.0.2.0/24"]},
        lambda _: {"ranges": ["192.0.2.0/24", "127.0.0.0/8"]}, stranger="own",
    ),
    "require_second_factor": Row(
        "owner manage", "PUT /v1/account/second-factor-policy", _has("required", lambda _: True),
        lambda _: {"required": True, "days": 14}, stranger="own",
    ),
    # sessions
    "log_in": Row(
        EVERYBODY, "POST /v1/sessions", _in, lambda side: {"login": side.login, "password": side.password}, stranger="own",
    ),
    "complete_login": Row(
        EVERYBODY, "POST /v1/sessions/completion", _in,
        lambda side: {"challenge": side.challenge, "code": code_of(side.seed)}, stranger="own", made="complete_login",
    ),
    "begin_enrolment_at_login": Row(
        EVERYBODY, "POST /v1/sessions/enrolment",
        lambda _, answer, __: base64.b64decode(answer.json()["qr_png"]).startswith(b"\x89PNG"),
        lambda side: {"challenge": side.enrolling}, stranger="own", made="confirm_second_factor",
    ),
    "confirm_enrolment_at_login": Row(
        EVERYBODY, "POST /v1/sessions/enrolment/confirmation",
        lambda _, answer, __: answer.json()["login"]["status"] == "in" and len(answer.json()["recovery_codes"]) == 10,
        lambda side: {"challenge": side.enrolling, "code": code_of(side.first)}, stranger="own", made="confirm_second_factor",
    ),
    "list_sessions": Row(
        READERS, "GET /v1/sessions?user_id={side.agent}", _lists("sessions", "session_id", lambda side: side.session)
    ),
    "end_sessions": Row(
        ALL, "DELETE /v1/sessions?user_id={side.agent}",
        lambda side, answer, get: answer.json()["ended"] >= 1
        and side.session not in [one["session_id"] for one in get(f"/v1/sessions?user_id={side.agent}")["sessions"]],
        made="end_sessions",
    ),
    "log_out": Row(
        ALL + " read write", "DELETE /v1/sessions/current", lambda _, __, get: True, stranger="own", made="log_out", status=204
    ),
    "end_session": Row(
        ALL, "DELETE /v1/sessions/{side.session}",
        _gone("/v1/sessions?user_id={side.agent}", "sessions", "session_id", lambda side: side.session),
        stranger="own", made="end_session", status=204,
    ),
    # second factor
    "show_second_factor": Row(READERS, "GET /v1/second-factor", _has("is_on", lambda _: False), stranger="own"),
    "begin_second_factor": Row(
        ALL, "POST /v1/second-factor/enrolment", lambda _, answer, __: answer.json()["uri"].startswith("otpauth://"),
        stranger="own",
    ),
    "confirm_second_factor": Row(
        ALL, "POST /v1/second-factor/confirmation", lambda _, answer, __: len(answer.json()["recovery_codes"]) == 10,
        lambda side: {"code": code_of(side.first)}, stranger="unauthenticated", made="confirm_second_factor",
    ),
    "disable_second_factor": Row(
        ALL, "POST /v1/second-factor/removal", _answered, lambda side: {"code": side.recovery}, stranger="own",
        made="disable_second_factor", status=204,
    ),
    "renew_recovery_codes": Row(
        ALL, "POST /v1/second-factor/recovery-codes", lambda _, answer, __: len(answer.json()["recovery_codes"]) == 10,
        lambda side: {"code": side.recovery}, stranger="conflict", made="renew_recovery_codes",
    ),
    # passwords
    "change_password": Row(
        ALL, "PUT /v1/password", _answered, lambda side: {"old_password": side.password, "new_password": a_password()},
        stranger="unauthenticated", made="change_password", status=204,
    ),
    "request_password_reset": Row(
        EVERYBODY, "POST /v1/password/reset-requests", _answered, lambda side: {"login": side.bare_login}, stranger="own",
        suspended="own", made="request_password_reset", status=202,
    ),
    "reset_password": Row(
        EVERYBODY, "POST /v1/password/resets", _answered,
        lambda side: {"link_token": side.reset_token, "password": a_password()}, stranger="own", made="reset_password",
        status=204,
    ),
    # logins
    "confirm_login": Row(
        EVERYBODY, "POST /v1/logins/confirmation", _answered, lambda side: {"link_token": side.login_link}, stranger="own",
        made="confirm_login", status=204,
    ),
    "request_range_recovery": Row(
        EVERYBODY, "POST /v1/logins/ip-range-recovery", _answered, lambda side: {"login": side.login}, stranger="own",
        suspended="own", status=202,
    ),
    # users
    "list_users": Row(READERS, "GET /v1/users", _lists("users", "user_id", lambda side: side.agent), stranger="own"),
    "add_user": Row(
        MANAGERS, "POST /v1/users",
        lambda side, answer, get: get(answer.headers["location"])["login"] == f"ada@{side.word}.example",
        lambda side: {"role": "agent", "name": "Ada", "login": f"ada@{side.word}.example"}, stranger="own", made="add_user",
        status=201,
    ),
    "show_oneself": Row(READERS, "GET /v1/users/me", _has("state", lambda _: "active"), stranger="own"),
    "show_user": Row(READERS, "GET /v1/users/{side.agent}", _has("user_id", lambda side: side.agent)),
    "change_profile": Row(
        ALL, "PATCH /v1/users/{side.agent}", _user("name", "Abel"), lambda _: {"name": "Abel"}, made="change_profile",
        headers=IF_MATCH,
    ),
    "change_role": Row(
        MANAGERS, "PUT /v1/users/{side.agent}/role", _user("role", "admin"), lambda _: {"role": "admin"}, made="change_role",
        headers=IF_MATCH,
    ),
    "deactivate_user": Row(
        MANAGERS, "POST /v1/users/{side.agent}/deactivation", _user("state", "deactivated"), made="deactivate_user"
    ),
    "reactivate_user": Row(
        MANAGERS, "POST /v1/users/{side.agent}/reactivation", _user("state", "active"), made="reactivate_user"
    ),
    "reset_second_factor": Row(
        MANAGERS, "POST /v1/users/{side.agent}/second-factor-reset", _answered, made="reset_second_factor", status=204
    ),
    "delete_user": Row(
        MANAGERS, "DELETE /v1/users/{side.agent}", _gone("/v1/users?limit=500", "users", "user_id", lambda side: side.agent),
        made="delete_user", status=204,
    ),
    # invitations
    "list_invitations": Row(
        SEERS, "GET /v1/invitations", _lists("invitations", "invitation_id", lambda side: side.invitation), stranger="own"
    ),
    "invite_user": Row(
        MANAGERS, "POST /v1/invitations",
        lambda _, answer, get: answer.json() in get("/v1/invitations?limit=500")["invitations"],
        lambda side: {"role": "agent", "login": f"new@{side.word}.example"}, stranger="own", made="invite_user", status=201,
    ),
    "withdraw_invitation": Row(
        MANAGERS, "DELETE /v1/invitations/{side.spare_invitation}",
        _gone("/v1/invitations?limit=500", "invitations", "invitation_id", lambda side: side.spare_invitation),
        made="withdraw_invitation", status=204,
    ),
    "accept_invitation": Row(
        EVERYBODY, "POST /v1/invitations/acceptance", _in,
        lambda side: {"link_token": side.invitation_token, "name": "Ira", "password": a_password()}, stranger="own",
        made="accept_invitation",
    ),
    # tokens
    "list_tokens": Row(
        READERS, "GET /v1/tokens?user_id={side.agent}", _lists("api_tokens", "api_token_id", lambda side: side.api_token)
    ),
    "create_token": Row(
        ALL, "POST /v1/tokens", lambda _, answer, __: answer.json()["token"].startswith("lethe_"),
        lambda side: {"name": side.word, "scope": "read", "days": 1}, stranger="own", status=201,
    ),
    "revoke_token": Row(
        ALL, "DELETE /v1/tokens/{side.api_token}",
        _gone("/v1/tokens?user_id={side.agent}", "api_tokens", "api_token_id", lambda side: side.api_token), stranger="own",
        made="revoke_api_token", status=204,
    ),
    # tickets
    "list_tickets": Row(
        READERS, "GET /v1/tickets?requester_id={side.person}", _lists("tickets", "ticket_id", lambda side: side.ticket),
        stranger="own",
    ),
    "show_ticket": Row(
        READERS, "GET /v1/tickets/{side.ticket}", _lists("messages", "message_id", lambda side: side.message)
    ),
    "list_put_aside": Row(
        READERS, "GET /v1/put-aside", _lists("mails", "put_aside_id", lambda side: side.put_aside), stranger="own"
    ),
    "show_put_aside": Row(
        READERS, "GET /v1/put-aside/{side.put_aside}", _has("put_aside_id", lambda side: side.put_aside)
    ),
    "import_message": Row(
        WRITERS, "POST /v1/messages",
        lambda side, answer, get: side.word in json.dumps(get(f"/v1/tickets/{answer.json()['ticket_id']}")),
        lambda side: mails_of_side(side.word)[0], stranger="own", made="import_mails", media_type=MAIL,
    ),
    "list_messages_of_contact": Row(
        READERS, "GET /v1/contacts/{side.person}/messages", _lists("messages", "message_id", lambda side: side.message),
        stranger="own",
    ),
    "show_attachment": Row(READERS, "GET /v1/attachments/{side.blob}", _downloads),
    "search_tickets": Row(
        READERS, "POST /v1/searches", _lists("hits", "message_id", lambda side: side.message),
        lambda side: {"words": side.word}, stranger="own",
    ),
    # contacts
    "list_contacts": Row(
        READERS, "GET /v1/contacts?limit=500", _lists("persons", "person_id", lambda side: side.person), stranger="own"
    ),
    "search_contacts": Row(
        READERS, "POST /v1/contacts/search", _lists("persons", "person_id", lambda side: side.person),
        lambda side: {"query": side.address}, stranger="own",
    ),
    "look_up_contact": Row(
        READERS, "POST /v1/contacts/lookup", _has("person_id", lambda side: side.person), lambda side: {"who": side.address}
    ),
    "show_contact": Row(READERS, "GET /v1/contacts/{side.person}", _has("person_id", lambda side: side.person)),
    "add_organisation": Row(
        WRITERS, "POST /v1/organisations", lambda _, answer, __: bool(answer.json()["id"]),
        lambda side: {"name": f"Firm {side.word}"}, stranger="own", status=201,
    ),
    "add_mailbox": Row(
        MANAGERS, "POST /v1/mailboxes", lambda _, answer, __: bool(answer.json()["id"]),
        lambda side: {"address": f"info@{side.word}.example"}, stranger="own", status=201,
    ),
    # erasure
    "request_erasure": Row(
        WRITERS, "POST /v1/erasure-requests", _later, lambda side: {"who": side.person, "reason": "asked"},
        made="request_erasure", status=202,
    ),
    "list_erasure_requests": Row(
        READERS, "GET /v1/erasure-requests?limit=500", _lists("requests", "request_id", lambda side: side.request),
        stranger="own",
    ),
    "preview_erasure": Row(
        READERS, "POST /v1/erasure-requests/preview", _has("person_ids", lambda side: [side.person]),
        lambda side: {"who": side.person},
    ),
    "show_erasure_request": Row(
        READERS, "GET /v1/erasure-requests/{side.request}", _has("request_id", lambda side: side.request)
    ),
    "retry_erasure_request": Row(
        WRITERS, "POST /v1/erasure-requests/{side.request}/retry", _answered, status=204
    ),
    "show_certificate": Row(
        READERS, "GET /v1/erasure-requests/{side.request}/certificate", lambda side, answer, _: side.request in answer.text
    ),
    # holds
    "place_hold": Row(
        MANAGERS, "POST /v1/holds", _placed, lambda side: placing(side.address), made="place_hold", status=201
    ),
    "list_holds": Row(SEERS, "GET /v1/holds?limit=500", _lists("holds", "hold_id", lambda side: side.hold), stranger="own"),
    "show_hold": Row(SEERS, "GET /v1/holds/{side.hold}", _has("hold_id", lambda side: side.hold)),
    "release_hold": Row(
        MANAGERS, "POST /v1/holds/{side.hold}/release", _released, made="release_hold"
    ),
    # portal, without a session
    "ask_sign_in_link": Row(
        EVERYBODY, f"POST {PORTAL}/links", _answered, lambda side: {"address": side.address}, stranger="own", status=204
    ),
    "sign_in_by_link": Row(
        EVERYBODY, f"POST {PORTAL}/sessions/by-link", _has("person_id", lambda side: side.person),
        lambda side: {"link_token": side.sign_in_token}, stranger="own", made="sign_in_by_link",
    ),
    "sign_in_by_password": Row(
        EVERYBODY, f"POST {PORTAL}/sessions/by-password", _has("person_id", lambda side: side.person),
        lambda side: {"address": side.address, "password": PORTAL_PASSWORD}, stranger="own",
    ),
    "claim_erasure": Row(
        EVERYBODY, f"POST {PORTAL}/erasure-claims",
        lambda side, answer, _: side.left_request in base64.b64decode(answer.json()["document"]).decode(),
        lambda side: {"request_id": side.left_request, "claim_code": side.claim_code}, stranger="own", suspended="own",
    ),
    "issue_app_tokens": Row(
        EVERYBODY, f"POST {PORTAL}/oauth/token", lambda _, answer, __: bool(answer.json()["access_token"]),
        lambda side: {"grant_type": "refresh_token", "client_id": side.app, "refresh_token": side.refresh_token},
        stranger="own", made="issue_app_tokens", media_type=FORM,
    ),
    "revoke_app_token": Row(
        EVERYBODY, f"POST {PORTAL}/oauth/revoke", _answered,
        lambda side: {"client_id": side.app, "token": side.refresh_token}, stranger="own", made="revoke_app_token",
        media_type=FORM,
    ),
    # portal, with a session
    "set_portal_password": Row(
        "customer", "PUT /v1/portal/password", _answered, lambda _: {"new_password": a_password()},
        made="set_portal_password", status=204,
    ),
    "list_own_sessions": Row(
        "customer", "GET /v1/portal/sessions", lambda _, answer, __: len(answer.json()["sessions"]) > 0
    ),
    "end_own_sessions": Row("customer", "DELETE /v1/portal/sessions", _answered, made="end_own_sessions", status=204),
    "sign_out": Row(
        "customer", "DELETE /v1/portal/sessions/current", _answered, made="sign_out", status=204,
    ),
    "end_own_session": Row(
        "customer", "DELETE /v1/portal/sessions/{side.portal_session}", _answered, made="end_own_session", status=204
    ),
    "show_own_profile": Row("customer", "GET /v1/portal/profile", _has("person_id", lambda side: side.person)),
    "list_own_tickets": Row(
        "customer", "GET /v1/portal/tickets", _lists("tickets", "ticket_id", lambda side: side.ticket)
    ),
    "show_own_ticket": Row(
        "customer", "GET /v1/portal/tickets/{side.ticket}", _lists("messages", "message_id", lambda side: side.message)
    ),
    "show_own_attachment": Row("customer", "GET /v1/portal/attachments/{side.blob}", _downloads),
    "list_own_reads": Row("customer", "GET /v1/portal/reads", lambda _, answer, __: len(answer.json()["reads"]) > 0),
    "list_saved_searches": Row(
        "customer", "GET /v1/portal/saved-searches", _lists("searches", "search_id", lambda side: side.search)
    ),
    "add_saved_search": Row(
        "customer", "POST /v1/portal/saved-searches", _has("words", lambda side: side.word),
        lambda side: {"name": side.word, "words": side.word}, status=201,
    ),
    "remove_saved_search": Row(
        "customer", "DELETE /v1/portal/saved-searches/{side.search}", _answered, made="remove_saved_search", status=204
    ),
    "request_own_erasure": Row(
        "customer", "POST /v1/portal/erasure-requests", _later, lambda _: {}, made="request_own_erasure", status=202
    ),
    "list_own_erasure_requests": Row(
        "customer", "GET /v1/portal/erasure-requests", lambda _, answer, __: answer.json()["requests"] == []
    ),
    "show_app_request": Row(
        "customer", "POST /v1/portal/authorizations/preview", _has("app_id", lambda side: side.app),
        lambda side: app_request(side.app),
    ),
    "answer_app": Row(
        "customer", "POST /v1/portal/authorizations", lambda _, answer, __: "code=" in answer.json()["redirect_to"],
        lambda side: {"request": app_request(side.app), "approve": True},
    ),
    "list_own_app_grants": Row(
        "customer", "GET /v1/portal/app-grants", _lists("grants", "grant_id", lambda side: side.app_grant)
    ),
    "end_own_app_grant": Row(
        "customer", "DELETE /v1/portal/app-grants/{side.app_grant}", _answered, made="end_own_app_grant", status=204
    ),
    # apps
    "list_apps": Row(SEERS, "GET /v1/apps", _lists("apps", "app_id", lambda side: side.app), stranger="own"),
    "register_app": Row(
        MANAGERS, "POST /v1/apps", lambda _, answer, get: answer.json()["app_id"] in json.dumps(get("/v1/apps")),
        lambda side: {"name": side.word, "redirect_uris": ["https://app.example/"]}, stranger="own", status=201,
    ),
    "remove_app": Row(
        MANAGERS, "DELETE /v1/apps/{side.spare_app}", _gone("/v1/apps", "apps", "app_id", lambda side: side.spare_app),
        made="remove_app", status=204,
    ),
    # health
    "show_liveness": Row(
        EVERYBODY, "GET /v1/health/live", _has("live", lambda _: True), stranger="own", suspended="own"
    ),
    "show_health": Row(EVERYBODY, "GET /v1/health", _has("ready", lambda _: True), stranger="own", suspended="own"),
}  # fmt: skip
