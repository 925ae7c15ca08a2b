"""How each RPC method of each service is called for what an account has, and what tells that it was answered.

Written by hand, apart from the services' own declarations: a method that has no row here fails a test.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from shared import clock
from shared.checkpoint import Checkpoint
from shared.ids import new_id
from shared.settings import ACCOUNT_SERVICES, SERVICES
from shared.signed_note import read_signing_key, sign_note
from tests.support import portal_side, team_side
from tests.support.access_side import SOURCE, a_password, code_of, make_credentials, nobodys
from tests.support.databases import superuser
from tests.support.desk import Callers, Desk, Row, await_it
from tests.support.portal_side import PORTAL_PASSWORD, app_request, make_portal
from tests.support.stores import closing
from tests.support.team_side import make_team

Actor = Literal["user", "customer", "operator", "service", "lifecycle"]


@dataclass(frozen=True)
class Side:
    """What an account has, by the ids and words with which one would ask for it."""

    name: str
    word: str
    owner: str
    agent: str
    agent_person: str
    login: str
    person: str
    address: str
    second: str
    organisation: str
    spelling: str
    ticket: str
    message: str
    blob: str
    put_aside: str
    request: str
    hold: str
    closed_account: str
    ended_account: str
    gone: str
    gone_address: str
    grant: str
    grant_to_approve: str
    grant_to_deny: str
    grant_to_revoke: str
    grant_to_end: str
    glass: str
    bare: str
    bare_login: str
    password: str
    agent_token: str
    guarded_token: str
    session: str
    api_token: str
    challenge: str
    seed: str
    recovery: str
    enrolling: str
    first: str
    sign_in_token: str
    portal_session: str
    search: str
    app: str
    spare_app: str
    app_grant: str
    refresh_token: str
    leaver: str
    left_request: str
    claim_code: str
    member: str
    dispensable: str
    forgetful: str
    invitation: str
    spare_invitation: str
    alert: str
    invitation_token: str
    reset_token: str
    login_link: str
    mails: list[bytes]

    @property
    def digests(self) -> list[str]:
        """The SHA-256 of its mails."""
        return [hashlib.sha256(one).hexdigest() for one in self.mails]


def nobody() -> Side:
    """What no account has."""
    ids = {name: new_id() for name in Side.__dataclass_fields__}
    word = f"w{secrets.token_hex(5)}"
    others = addresses(word) | nobodys() | portal_side.nobodys() | team_side.nobodys()
    return Side(**ids | {"word": word, "name": f"desk {word}", "mails": mails_of_side(word)} | others)  # type: ignore[arg-type]


def addresses(word: str) -> dict[str, str]:
    """The addresses of a side."""
    return {name: f"{name}@{word}.example" for name in ("login", "address", "second", "gone_address")}


def mails_of_side(word: str) -> list[bytes]:
    """Mails in which a side's people write and name each other; the last is no mail."""
    ann, ben, cara = (addresses(word)[name] for name in ("address", "second", "gone_address"))
    texts = [
        ("Ann Archer", ann, f"My {word} is broken, ask {ben} about it."),
        ("Ben Baker", ben, f"The {word} of {ann} works."),
        ("Cara Cook", cara, f"I want my {word} back."),
    ]
    mails = [
        f"From: {name} <{address}>\r\nTo: desk@{word}.example\r\nSubject: {word} of {place}\r\n"
        f"Message-ID: <{place}@{word}.example>\r\nDate: Mon, 4 Mar 2024 0{place}:00:00 +0000\r\n"
        f"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n"
        f"--cut\r\nContent-Type: text/plain\r\n\r\n{text}\r\n--cut\r\nContent-Type: text/plain\r\n"
        f"Content-Disposition: attachment; filename=note.txt\r\n\r\n{text}\r\n--cut--\r\n"
        for place, (name, address, text) in enumerate(texts)
    ]
    return [*(mail.encode() for mail in mails), f"no mail at all {word}".encode()]


def make_side(callers: Callers) -> tuple[Desk, Side]:
    """A new account with one of everything."""
    desk, word = Desk.open(callers), f"w{secrets.token_hex(5)}"
    known = addresses(word)
    desk.add_mailbox(f"desk@{word}.example")
    mails = mails_of_side(word)
    imported = desk.take_in(mails)
    ticket = desk.call("tickets", "show_ticket", {"ticket_id": imported[0]["ticket_id"]})["messages"][0]
    agent = desk.call("identity", "add_user", {"role": "agent", "name": f"Abe {word}", "login": known["login"]})
    credentials = make_credentials(desk, word, agent["user_id"])
    gone = desk.call("contacts", "show_person", {"who": known["gone_address"]})["person_id"]
    request = desk.erase(known["gone_address"])["request_id"]
    person = desk.call("contacts", "show_person", {"who": known["address"]})["person_id"]
    made = Side(
        word=word, owner=desk.owner, agent=agent["user_id"], agent_person=agent["person_id"], mails=mails,
        ticket=imported[0]["ticket_id"], name=desk.call("lifecycle", "show_account")["name"],
        message=imported[0]["message_id"], gone=gone, request=request,
        hold=desk.call("erasure", "place_hold", placing(known["second"]))["hold_id"],
        closed_account=closed_account(callers), ended_account=ended_account(callers),
        person=person, alert=an_alert(desk),
        organisation=desk.call("contacts", "add_organisation", {"name": f"Firm {word}"})["id"],
        blob=ticket["attachments"][0]["blob_id"], spelling=some_spelling(desk),
        put_aside=desk.call("tickets", "list_put_aside")["mails"][0]["put_aside_id"], **known, **credentials,
        **make_portal(desk, word, person), **make_team(desk, word),
        **staff_grants(desk, {
            "contacts": ("show_person", {"who": known["address"]}), "identity": ("show_user", {"user": known["login"]}),
            "tickets": ("show_ticket", {"ticket_id": imported[0]["ticket_id"]}),
        }),
    )  # fmt: skip
    desk.await_reads()
    return desk, made


def closed_account(callers: Callers) -> str:
    """Another account, which is suspended."""
    opened: str = callers.operate("open_account", {"name": f"desk {new_id()}"}, None)["account_id"]
    callers.operate("suspend_account", {}, opened)
    return opened


def ended_account(callers: Callers) -> str:
    """Another account, which has ended."""
    closed = closed_account(callers)
    callers.operate("end_account", {"account_id": closed}, None)
    return closed


_THE_YEAR_AFTER_NEXT = f"{clock.now().year + 2}-01-01T00:00:00Z"


def placing(who: str) -> Row:
    """What is asked of a legal hold on somebody."""
    return {"who": who, "basis": "legal-claims", "reference": "file 12", "expires_at": _THE_YEAR_AFTER_NEXT}


def an_alert(desk: Desk) -> str:
    """The alert about a checkpoint of lifecycle that contradicts all others, handed in."""
    settings = desk.callers.settings
    key = read_signing_key(settings.path("root-keys", "lifecycle", "log-signer.key"))
    note = sign_note(Checkpoint(key.name, 1, bytes(32)).text(), key).decode()
    answer = desk.call("audit", "compare_checkpoint", {"service": "lifecycle", "note": note}, token=desk.callers.operator)
    return str(answer["alert_id"])


def staff_grants(desk: Desk, looked_for: Row) -> dict[str, str]:
    """Grants for staff: one that was used in each service to look for something, and one for each decision."""
    operator, ask = desk.callers.operator, {"purpose": "incident"}

    def asked(method: str, token: str) -> str:
        return str(desk.call("identity", method, ask, token=token)["grant_id"])

    made = {f"grant_to_{method}": asked("request_staff_access", operator) for method in ("approve", "deny", "revoke", "end")}
    made |= {"grant": asked("request_staff_access", operator), "glass": asked("break_glass", desk.callers.second_operator)}
    for name in ("grant", "grant_to_revoke"):
        desk.call("identity", "approve_staff_access", {"grant_id": made[name]})
    session = desk.call("identity", "open_staff_session", {"grant_id": made["grant"]}, token=operator)["token"]
    for service, (method, argument) in looked_for.items():
        desk.call(service, method, argument, token=session)
    await_mails_sent(desk)
    return made


def await_mails_sent(desk: Desk) -> None:
    """Waits until what tells the owners is delivered: a queue that empties itself looks like a change."""
    with closing(superuser(desk.callers.settings, "identity")) as connection, connection.cursor() as cursor:

        def waiting() -> int:
            cursor.execute("SELECT count(*) FROM lethe.outgoing_mail WHERE account_id = %s", (desk.account,))
            return int(cursor.fetchone()[0])

        await_it(lambda: waiting() == 0 or None, 60, lambda: f"{waiting()} mails are not sent")


def some_spelling(desk: Desk) -> str:
    """The id of a spelling of an account, as tickets would ask for it."""
    connection = superuser(desk.callers.settings, "contacts")
    cursor = connection.cursor()
    cursor.execute("SELECT spelling_id::text FROM lethe.spelling WHERE account_id = %s LIMIT 1", (desk.account,))
    found: str = cursor.fetchone()[0]
    connection.close()
    return found


@dataclass(frozen=True)
class How:
    """How a method is called. `argument` asks for what a side has; `is_answered` looks at the answer to who may have it.

    `caller` is who may: a user, the operator or a service. `about`: what else than a thing of the call's account it is about:
    the whole account that the call names, one that is opened at this moment, or the cell; then an operator may, whichever it
    is.
    """

    argument: Callable[[Side], Row | None]
    is_answered: Callable[[Side, Any], bool]
    caller: Actor = "user"
    about: Literal["a thing", "the account", "the cell", "a new account"] = "a thing"
    as_whom: Callable[[Side], str] | None = None
    """The token of the side's user who may, where it is not the owner."""
    person: Callable[[Side], str] = lambda side: side.person
    """Who the customer is that may."""


def _subject(caller: Actor = "service") -> dict[str, How]:
    """What every service has for an erasure."""

    def query(side: Side) -> Row:
        return {"request_id": side.request, "person_ids": [side.gone], "addresses": [side.gone_address]}

    return {
        "preview_subject": How(query, lambda _, answer: answer["counts"] == {}, caller),
        "show_health": How(lambda _: None, lambda _, answer: answer["service"] in SERVICES, "operator", "the cell"),
        "probe_subject": How(query, lambda _, answer: answer["receipt"] is not None and not answer["traces"], caller),
        "keep_account_state": How(
            lambda _: {"state": "active", "version": 1}, lambda _, answer: answer["state"] == "active", "lifecycle",
            "the account",
        ),
    }


def _reads(subject: Callable[[Side], str], person: Callable[[Side], str]) -> dict[str, How]:
    """What each service has that records reads. An answer to its own has reads: those by which the side was made."""

    def of_a_person(side: Side) -> Row:
        return {"person_id": person(side), "grant_ids": [side.grant]}

    return {
        "list_reads": How(lambda side: {"subject_id": subject(side)}, lambda _, answer: len(answer["reads"]) > 0),
        "reads_of_person": How(of_a_person, lambda _, answer: len(answer["reads"]) > 0, "service"),
    }


def _text(side: Side) -> Row:
    seen = {"kind": "address", "address": side.second, "role": "sender", "spellings": [side.second]}
    return {"message_key": "", "content_digest": "00", "earliest": None, "identifiers": [seen]}


def _suppressed(side: Side) -> Row:
    mails = [{"message_key": f"2@{side.word}.example", "content_digest": "00", "senders": []}]
    return {"mails": mails, "identifiers": [{"kind": "address", "address": side.gone_address}]}


def _suppress(side: Side) -> Row:
    return {"request_id": side.request, "mails": [{"message_key": f"again@{side.word}.example", "content_digest": "00"}]}


def _has(key: str, wanted: Callable[[Side], str]) -> Callable[[Side, Any], bool]:
    return lambda side, answer: bool(answer[key] == wanted(side))


def _lists(key: str, field: str, wanted: Callable[[Side], str]) -> Callable[[Side, Any], bool]:
    return lambda side, answer: wanted(side) in [one[field] for one in answer[key]]


def _lookups() -> dict[str, How]:
    """What each service that staff may read has to say of it."""

    def looked_up(side: Side, answer: Any) -> bool:
        return {side.grant} == {one["grant_id"] for one in answer["lookups"]}

    return {"list_staff_lookups": How(lambda side: {"grant_id": side.grant}, looked_up)}


def _decided(of: Callable[[Side], str], state: str, caller: Actor = "user") -> How:
    return How(lambda side: {"grant_id": of(side)}, lambda _, answer: answer["state"] == state, caller)


ADDING = {
    "add_mailbox", "add_organisation", "add_user_person", "take_in", "import_mails", "add_user", "open_account",
    "request_staff_access", "break_glass", "add_saved_search", "register_app", "invite_user", "set_ip_ranges",
}  # fmt: skip
"""Methods after which an account has what it was called with. They are tried after the others."""

CALLS: dict[str, dict[str, How]] = {
    "contacts": _subject() | _lookups() | _reads(lambda side: side.person, lambda side: side.person) | {
        "add_mailbox": How(lambda side: {"address": f"info@{side.word}.example"}, lambda _, answer: bool(answer["id"])),
        "add_organisation": How(lambda side: {"name": f"Firm {side.word}"}, lambda _, answer: bool(answer["id"])),
        "add_user_person": How(
            lambda side: {"address": side.address, "name": "Ann"}, _has("id", lambda side: side.person), "service"
        ),
        "find_subjects": How(
            lambda side: {"who": side.person, "addresses": [side.second]},
            lambda side, answer: side.person == answer["person_ids"][0] and len(answer["person_ids"]) == 2, "service",
        ),
        "list_persons": How(
            lambda side: {"query": side.address, "include_quoted": True},
            _lists("persons", "person_id", lambda side: side.person),
        ),
        "person_of_address": How(
            lambda side: {"address": side.address}, _has("person_id", lambda side: side.person), "service"
        ),
        "show_own_profile": How(lambda _: {}, _has("person_id", lambda side: side.person), "customer"),
        "render_spellings": How(
            lambda side: {"spelling_ids": [side.spelling]}, lambda _, answer: "@" in answer["texts"][0], "service"
        ),
        "show_person": How(lambda side: {"who": side.person}, _has("person_id", lambda side: side.person)),
        "take_in": How(
            lambda side: {"texts": [_text(side)]},
            lambda side, answer: len(answer["texts"][0]["identifiers"][0]["person_ids"]) == 1, "service",
        ),
    },
    "tickets": _subject() | _lookups() | _reads(lambda side: side.ticket, lambda side: side.person) | {
        "import_mails": How(
            lambda side: {"mails": side.mails},
            lambda _, answer: {one["status"] for one in answer["mails"]} >= {"known", "refused"},
        ),
        "known_sources": How(lambda side: {"digests": side.digests[:2]}, lambda _, answer: answer["known"] == [True, True]),
        "list_own_tickets": How(lambda _: {}, _lists("tickets", "ticket_id", lambda side: side.ticket), "customer"),
        "show_own_ticket": How(
            lambda side: {"ticket_id": side.ticket}, _lists("messages", "message_id", lambda side: side.message), "customer"
        ),
        "show_own_attachment": How(
            lambda side: {"blob_id": side.blob}, lambda side, answer: side.word in answer["content"].decode(), "customer"
        ),
        "list_put_aside": How(lambda _: {}, _lists("mails", "put_aside_id", lambda side: side.put_aside)),
        "list_tickets": How(
            lambda side: {"requester_id": side.person}, _lists("tickets", "ticket_id", lambda side: side.ticket)
        ),
        "messages_of": How(
            lambda side: {"person_id": side.person}, _lists("messages", "message_id", lambda side: side.message)
        ),
        "search_tickets": How(lambda side: {"words": side.word}, _lists("hits", "message_id", lambda side: side.message)),
        "show_attachment": How(
            lambda side: {"blob_id": side.blob}, lambda side, answer: side.word in answer["content"].decode()
        ),
        "show_put_aside": How(lambda side: {"put_aside_id": side.put_aside}, _has("put_aside_id", lambda side: side.put_aside)),
        "show_ticket": How(
            lambda side: {"ticket_id": side.ticket}, _lists("messages", "message_id", lambda side: side.message)
        ),
    },
    "identity": _subject() | _lookups() | _reads(lambda side: side.agent_person, lambda side: side.agent_person) | {
        "list_staff_grants": How(lambda _: {}, _lists("grants", "grant_id", lambda side: side.grant)),
        "show_staff_grant": How(lambda side: {"grant_id": side.grant}, _has("grant_id", lambda side: side.grant)),
        "open_staff_session": How(
            lambda side: {"grant_id": side.grant}, _has("grant_id", lambda side: side.grant), "operator"
        ),
        "approve_staff_access": _decided(lambda side: side.grant_to_approve, "active"),
        "deny_staff_access": _decided(lambda side: side.grant_to_deny, "denied"),
        "revoke_staff_access": _decided(lambda side: side.grant_to_revoke, "revoked"),
        "end_staff_access": _decided(lambda side: side.grant_to_end, "ended", "operator"),
        "confirm_break_glass": _decided(lambda side: side.glass, "active", "operator"),
        "request_staff_access": How(
            lambda _: {"purpose": "legal"}, lambda _, answer: answer["state"] == "requested", "operator"
        ),
        "break_glass": How(lambda _: {"purpose": "legal"}, lambda _, answer: answer["state"] == "asked", "operator"),
        "list_users": How(lambda side: {}, _lists("users", "user_id", lambda side: side.agent)),
        "show_user": How(lambda side: {"user": side.login}, _has("user_id", lambda side: side.agent)),
        "users_of_persons": How(
            lambda side: {"person_ids": [side.agent_person, side.person]},
            lambda side, answer: answer["users"] == [{"person_id": side.agent_person, "role": "agent"}], "service",
        ),
        "authenticate": How(
            lambda side: {"login": side.login, "secret": side.password, "source": SOURCE},
            _has("user_id", lambda side: side.agent), "service", "the cell",
        ),
        "log_in": How(
            lambda side: {"login": side.login, "password": side.password, "source": SOURCE},
            _has("user_id", lambda side: side.agent), "service", "the cell",
        ),
        "complete_login": How(
            lambda side: {"challenge": side.challenge, "code": code_of(side.seed), "source": SOURCE},
            lambda _, answer: answer["status"] == "in", "service", "the cell",
        ),
        "set_first_password": How(
            lambda side: {"user": side.bare, "password": a_password()}, lambda _, answer: answer == {}, "operator"
        ),
        "add_first_owner": How(
            lambda side: {"name": "Ada", "login": f"first@{side.word}.example", "password": a_password()},
            lambda _, answer: answer["role"] == "owner", "operator", "a new account",
        ),
        "list_sessions": How(lambda side: {"user": side.agent}, _lists("sessions", "session_id", lambda side: side.session)),
        "end_session": How(lambda side: {"session_id": side.session}, lambda _, answer: answer == {}),
        "end_sessions": How(lambda side: {"user": side.agent}, lambda _, answer: answer["ended"] >= 1),
        "list_api_tokens": How(
            lambda side: {"user": side.agent}, _lists("api_tokens", "api_token_id", lambda side: side.api_token)
        ),
        "create_api_token": How(lambda side: {"name": side.word}, lambda _, answer: answer["token"].startswith("lethe_")),
        "revoke_api_token": How(lambda side: {"api_token_id": side.api_token}, lambda _, answer: answer == {}),
        "show_second_factor": How(lambda _: {}, lambda _, answer: answer["is_on"] is False),
        "begin_second_factor": How(lambda _: {}, lambda _, answer: answer["qr_png"].startswith(b"\x89PNG")),
        "confirm_second_factor": How(
            lambda side: {"challenge": side.enrolling, "code": code_of(side.first), "source": SOURCE},
            lambda _, answer: answer["login"]["status"] == "in", "service", "the cell",
        ),
        "renew_recovery_codes": How(
            lambda side: {"code": side.recovery}, lambda _, answer: len(answer["recovery_codes"]) == 10,
            as_whom=lambda side: side.guarded_token,
        ),
        "disable_second_factor": How(lambda _: {"code": "000000"}, lambda _, answer: answer == {}),
        "reset_second_factor": How(lambda side: {"user": side.agent}, lambda _, answer: answer == {}),
        "require_second_factor": How(lambda _: {"required": False}, lambda _, answer: answer["required"] is False),
        "change_password": How(
            lambda side: {"old_password": side.password, "new_password": a_password(), "source": SOURCE},
            lambda _, answer: answer == {}, as_whom=lambda side: side.agent_token,
        ),
        "ask_sign_in_link": How(lambda side: {"address": side.address}, lambda _, answer: answer == {}, "service"),
        "sign_in_by_link": How(
            lambda side: {"link_token": side.sign_in_token, "source": SOURCE}, _has("person_id", lambda side: side.person),
            "service",
        ),
        "sign_in_by_password": How(
            lambda side: {"address": side.address, "password": PORTAL_PASSWORD, "source": SOURCE},
            _has("person_id", lambda side: side.person), "service",
        ),
        "list_own_sessions": How(
            lambda _: {}, _lists("sessions", "session_id", lambda side: side.portal_session), "customer"
        ),
        "end_own_session": How(lambda side: {"session_id": side.portal_session}, lambda _, answer: answer == {}, "customer"),
        "end_own_sessions": How(lambda _: {}, lambda _, answer: answer == {}, "customer"),
        "list_saved_searches": How(lambda _: {}, _lists("searches", "search_id", lambda side: side.search), "customer"),
        "add_saved_search": How(
            lambda side: {"name": side.word, "words": side.word}, _has("words", lambda side: side.word), "customer"
        ),
        "show_customer": How(
            lambda side: {"person_id": side.person}, lambda _, answer: answer["signed_in_at"] is not None
        ),
        "list_own_reads": How(lambda _: {}, lambda _, answer: len(answer["reads"]) > 0, "customer"),
        "list_told_reads": How(lambda side: {"person_id": side.person}, lambda _, answer: len(answer["reads"]) > 0),
        "remove_saved_search": How(lambda side: {"search_id": side.search}, lambda _, answer: answer == {}, "customer"),
        "list_apps": How(lambda _: {}, _lists("apps", "app_id", lambda side: side.app)),
        "register_app": How(
            lambda side: {"name": side.word, "redirect_uris": ["https://app.example/"]}, _has("name", lambda side: side.word)
        ),
        "show_app_request": How(lambda side: app_request(side.app), _has("app_id", lambda side: side.app), "customer"),
        "answer_app": How(
            lambda side: {"request": app_request(side.app), "approve": True},
            lambda _, answer: "code=" in answer["redirect_to"], "customer",
        ),
        "list_own_app_grants": How(lambda _: {}, _lists("grants", "grant_id", lambda side: side.app_grant), "customer"),
        "end_own_app_grant": How(lambda side: {"grant_id": side.app_grant}, lambda _, answer: answer == {}, "customer"),
        "issue_app_tokens": How(
            lambda side: {"grant_type": "refresh_token", "client_id": side.app, "refresh_token": side.refresh_token},
            lambda _, answer: answer["status"] == 200 and "access_token" in answer["document"], "service",
        ),
        "revoke_app_token": How(
            lambda side: {"client_id": side.app, "token": side.refresh_token}, lambda _, answer: answer["status"] == 200,
            "service",
        ),
        "remove_app": How(lambda side: {"app_id": side.spare_app}, lambda _, answer: answer == {}),
        "set_portal_password": How(
            lambda _: {"new_password": PORTAL_PASSWORD, "old_password": PORTAL_PASSWORD}, lambda _, answer: answer == {},
            "customer",
        ),
        "mint_token": How(lambda side: {"user": side.agent}, _has("user_id", lambda side: side.agent), "operator"),
        "add_user": How(
            lambda side: {"role": "agent", "name": "Ada", "login": f"ada@{side.word}.example"},
            lambda _, answer: answer["role"] == "agent",
        ),
        "change_role": How(
            lambda side: {"user": side.member, "role": "admin"}, lambda _, answer: answer["role"] == "admin"
        ),
        "change_profile": How(
            lambda side: {"user": side.agent, "name": f"Abel {side.word}"}, _has("name", lambda side: f"Abel {side.word}")
        ),
        "deactivate_user": How(lambda side: {"user": side.member}, lambda _, answer: answer["state"] == "deactivated"),
        "reactivate_user": How(lambda side: {"user": side.member}, lambda _, answer: answer["state"] == "active"),
        "delete_user": How(lambda side: {"user": side.dispensable}, lambda _, answer: answer == {}),
        "list_invitations": How(lambda _: {}, _lists("invitations", "invitation_id", lambda side: side.invitation)),
        "invite_user": How(
            lambda side: {"role": "agent", "login": f"new@{side.word}.example"},
            _has("login", lambda side: f"new@{side.word}.example"),
        ),
        "withdraw_invitation": How(
            lambda side: {"invitation_id": side.spare_invitation}, lambda _, answer: answer == {}
        ),
        "accept_invitation": How(
            lambda side: {"link_token": side.invitation_token, "name": "Ira", "password": a_password(), "source": SOURCE},
            lambda _, answer: answer["status"] == "in", "service", "the cell",
        ),
        "request_password_reset": How(
            lambda side: {"login": side.bare_login, "source": SOURCE}, lambda _, answer: answer == {}, "service", "the cell"
        ),
        "reset_password": How(
            lambda side: {"link_token": side.reset_token, "password": a_password(), "source": SOURCE},
            lambda _, answer: answer == {}, "service", "the cell",
        ),
        "request_range_recovery": How(
            lambda side: {"login": side.login, "source": SOURCE}, lambda _, answer: answer == {}, "service", "the cell"
        ),
        "confirm_login": How(
            lambda side: {"link_token": side.login_link, "source": SOURCE},
            lambda _, answer: answer == {}, "service", "the cell",
        ),
        "show_ip_ranges": How(lambda _: None, lambda _, answer: isinstance(answer["ranges"], list)),
        "set_ip_ranges": How(
            lambda _: {"ranges": ["192.0.2.0/24"], "source": SOURCE}, lambda _, answer: answer["ranges"] == ["192.0.2.0/24"]
        ),
        "remove_user": How(lambda side: {"user": side.agent}, lambda _, answer: answer["state"] == "removed"),
    },
    "erasure": _subject() | {
        "list_own_erasures": How(lambda _: {}, lambda _, answer: "requests" in answer, "customer"),
        "claim_erasure": How(
            lambda side: {"request_id": side.left_request, "claim_code": side.claim_code},
            lambda side, answer: side.left_request in answer["document"].decode(), "service",
        ),
        "request_own_erasure": How(
            lambda _: {}, lambda _, answer: len(answer["person_ids"]) == 1, "customer", person=lambda side: side.leaver
        ),
        "check_suppressed": How(
            _suppressed, lambda _, answer: answer["mails"] == [True] and answer["identifiers"][0] is not None, "service"
        ),
        "what_keeps_account": How(lambda _: None, lambda _, answer: {"holds", "erasures"} == answer.keys(), "service"),
        "place_hold": How(lambda side: placing(side.address), lambda side, answer: answer["person_ids"] == [side.person]),
        "release_hold": How(lambda side: {"hold_id": side.hold}, lambda _, answer: answer["end"] == "released"),
        "show_hold": How(lambda side: {"hold_id": side.hold}, _has("hold_id", lambda side: side.hold)),
        "list_holds": How(lambda _: {"include_ended": True}, _lists("holds", "hold_id", lambda side: side.hold)),
        "list_erasures": How(lambda _: {}, _lists("requests", "request_id", lambda side: side.request)),
        "preview_erasure": How(lambda side: {"who": side.person}, lambda side, answer: answer["person_ids"] == [side.person]),
        "request_erasure": How(
            lambda side: {"who": side.address, "reason": "asked"}, lambda side, answer: answer["person_ids"] == [side.person]
        ),
        "retry_erasure": How(lambda side: {"request_id": side.request}, lambda _, answer: answer == {}),
        "show_certificate": How(
            lambda side: {"request_id": side.request}, lambda side, answer: side.request in answer["document"].decode()
        ),
        "show_erasure": How(lambda side: {"request_id": side.request}, _has("request_id", lambda side: side.request)),
        "suppress": How(_suppress, lambda _, answer: answer == {}, "service"),
    },
    "audit": {
        "show_health": _subject()["show_health"],
        "clear_alert": How(
            lambda side: {"alert_id": side.alert}, lambda _, answer: answer["cleared_at"] is not None, "operator", "the cell"
        ),
        "compare_checkpoint": How(
            lambda _: {"service": "lifecycle", "note": "no note"}, lambda _, answer: answer["comparison"] == "not signed",
            "operator", "the cell",
        ),
        "list_alerts": How(
            lambda _: {"only_open": False}, lambda _, answer: len(answer["alerts"]) > 0, "operator", "the cell"
        ),
        "list_seen_checkpoints": How(
            lambda _: {"service": "lifecycle"}, lambda _, answer: len(answer["checkpoints"]) > 0, "operator", "the cell"
        ),
    },
    "lifecycle": _subject() | {
        "find_account": How(lambda side: {"name": side.name}, _has("name", lambda side: side.name), "operator", "the cell"),
        "list_accounts": How(lambda _: {}, lambda _, answer: len(answer["accounts"]) > 1, "operator", "the cell"),
        "open_account": How(
            lambda side: {"name": f"another {side.name}"}, _has("name", lambda side: f"another {side.name}"), "operator",
            "the cell",
        ),
        "note_billing": How(
            lambda _: {"outcome": "recovered"}, lambda _, answer: answer["ahead"] == [], "operator", "the account"
        ),
        "show_account": How(lambda _: None, _has("name", lambda side: side.name), "user", "the account"),
        "suspend_account": How(
            lambda _: {"reason": "by-operator"}, lambda _, answer: answer["state"] == "suspended", "operator", "the account"
        ),
        "end_account": How(
            lambda side: {"account_id": side.closed_account}, _has("account_id", lambda side: side.closed_account), "operator",
            "the cell",
        ),
        "show_account_end": How(
            lambda side: {"account_id": side.ended_account}, lambda _, answer: len(answer["services"]) == len(ACCOUNT_SERVICES),
            "operator", "the cell",
        ),
        "upgrade_account": How(lambda _: None, lambda _, answer: answer["plan"] == "paid", "operator", "the account"),
        "resume_account": How(lambda _: None, lambda _, answer: answer["state"] == "active", "operator", "the account"),
    },
}  # fmt: skip
