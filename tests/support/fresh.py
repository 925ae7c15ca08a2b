"""What a call uses up, made anew before each one that is to succeed; and what tells afterwards that a call had its effect
where the answer says nothing.

Both by the names of the RPC methods. `who` is the column of the table for whom it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyotp

from shared import clock
from shared.errors import LetheError
from shared.ids import new_id
from tests.support.access_side import SOURCE, a_password
from tests.support.desk import Desk
from tests.support.every_call import Side, placing
from tests.support.portal_side import grant_app, mailed_link, person_of
from tests.support.team_side import add_user, forgotten, invited, moved

Fresh = tuple[Side, str | None]
"""What to ask for, and the token with which; None: the column's own."""
Maker = Callable[[Desk, Side, str], Fresh]


def _word() -> str:
    return f"w{new_id()[:8]}"


def fresh_user(desk: Desk, who: str, password: str | None = None) -> tuple[str, str, str]:
    """A user of a role, whom nobody else needs: id, login, token."""
    role = who if who in ("owner", "admin") else "agent"
    login = f"{_word()}@fresh.example"
    user = add_user(desk, role, login)
    if password is not None:
        asked = {"user": user, "password": password}
        desk.call("identity", "set_first_password", asked, token=desk.callers.operator)
    return user, login, desk.callers.user(desk.account, role, user)


def _named(desk: Desk, side: Side, who: str) -> Fresh:
    word = _word()
    return replace(side, word=word, name=f"{side.name} {word}"), None


def _another_agent(desk: Desk, side: Side, who: str) -> Fresh:
    user = add_user(desk, "agent", f"{_word()}@fresh.example")
    return replace(side, agent=user, member=user, dispensable=user), None


def _own_agent(desk: Desk, side: Side, who: str) -> Fresh:
    user, _, token = fresh_user(desk, who)
    return replace(side, agent=user, word=_word()), token


def _without_password(desk: Desk, side: Side, who: str) -> Fresh:
    login = f"{_word()}@fresh.example"
    return replace(side, bare=add_user(desk, "agent", login), bare_login=login), None


def _with_password(desk: Desk, side: Side, who: str) -> Fresh:
    password = a_password()
    user, login, token = fresh_user(desk, who, password)
    return replace(side, agent=user, login=login, password=password), token


def _with_session(desk: Desk, side: Side, who: str) -> Fresh:
    """A session of the user themselves."""
    (made, token) = _with_password(desk, side, who)
    return replace(made, session=log_in(desk, made.login, made.password)["session_id"]), token


def _with_api_token(desk: Desk, side: Side, who: str) -> Fresh:
    user, _, token = fresh_user(desk, who)
    made = desk.call("identity", "create_api_token", {"name": "job"}, token=token)["api_token"]["api_token_id"]
    return replace(side, agent=user, api_token=made), token


def _with_second_factor(desk: Desk, side: Side, who: str, password: str | None = None) -> Fresh:
    """A user who has it on, and codes of whom none was used since."""
    user, login, token = fresh_user(desk, who, password)
    seed, recovery = enrol(desk, token)
    return replace(side, agent=user, login=login, seed=seed, recovery=recovery), desk.callers.user(
        desk.account, who if who in ("owner", "admin") else "agent", user
    )


def _guarded(desk: Desk, side: Side, who: str) -> Fresh:
    """An agent who has it on, for those above them."""
    user, _, token = fresh_user(desk, "agent")
    enrol(desk, token)
    return replace(side, agent=user), None


def _challenged(desk: Desk, side: Side, who: str) -> Fresh:
    made, _ = _with_second_factor(desk, side, who, side.password)
    return replace(made, challenge=log_in(desk, made.login, made.password)["challenge"]), None


def _enrolling(desk: Desk, side: Side, who: str) -> Fresh:
    """A user with a seed that is to be confirmed; for a service, one whose login waits for that."""
    if who not in ("service", "gateway"):
        user, _, token = fresh_user(desk, who)
        first = desk.call("identity", "begin_second_factor", {}, token=token)["uri"]
        return replace(side, agent=user, first=_seed(first)), token
    _, login, _ = fresh_user(desk, who, side.password)
    desk.call("identity", "require_second_factor", {"required": True, "days": 0})
    challenge = log_in(desk, login, side.password)["challenge"]
    desk.call("identity", "require_second_factor", {"required": False})
    begun = gateway(desk, "begin_second_factor", {"challenge": challenge})
    return replace(side, enrolling=challenge, first=_seed(begun["uri"])), None


def _invitation(desk: Desk, side: Side, who: str) -> Fresh:
    asked = {"role": "agent", "login": f"{_word()}@fresh.example"}
    return replace(side, spare_invitation=desk.call("identity", "invite_user", asked)["invitation_id"]), None


def _invited(desk: Desk, side: Side, who: str) -> Fresh:
    return replace(side, invitation_token=invited(desk, f"{_word()}@fresh.example")), None


def _forgotten(desk: Desk, side: Side, who: str) -> Fresh:
    login = f"{_word()}@fresh.example"
    add_user(desk, "agent", login)
    return replace(side, reset_token=forgotten(desk, login)), None


def _moved(desk: Desk, side: Side, who: str) -> Fresh:
    return replace(side, login_link=moved(desk, f"{_word()}@fresh.example")), None


def _person(desk: Desk, side: Side, who: str) -> Fresh:
    address = f"{_word()}@fresh.example"
    person = person_of(desk, address)
    scope = {"app_read": "read", "app_write": "write"}.get(who, "manage")
    token = desk.callers.customer(desk.account, person, scope) if who in ("customer", "app_read", "app_write") else None
    return replace(side, address=address, person=person, leaver=person), token


def _mailed(desk: Desk, side: Side, who: str) -> Fresh:
    return replace(side, sign_in_token=mailed_link(desk, side.person)), None


def _customers_session(desk: Desk, side: Side, who: str) -> Fresh:
    signed_in = {"link_token": mailed_link(desk, side.person), "source": SOURCE}
    desk.call("identity", "sign_in_by_link", signed_in, token=desk.callers.service("gateway"))
    customer = desk.callers.customer(desk.account, side.person)
    newest = desk.call("identity", "list_own_sessions", {}, token=customer)["sessions"][0]
    return replace(side, portal_session=newest["session_id"]), None


def _search(desk: Desk, side: Side, who: str) -> Fresh:
    asked = {"name": _word(), "words": _word()}
    customer = desk.callers.customer(desk.account, side.person)
    return replace(side, search=desk.call("identity", "add_saved_search", asked, token=customer)["search_id"]), None


def _app(desk: Desk, side: Side, who: str) -> Fresh:
    asked = {"name": _word(), "redirect_uris": ["https://app.example/"]}
    return replace(side, spare_app=desk.call("identity", "register_app", asked)["app_id"]), None


def _app_grant(desk: Desk, side: Side, who: str) -> Fresh:
    customer = desk.callers.customer(desk.account, side.person)
    refresh = grant_app(desk, side.app, customer)
    grants = desk.call("identity", GRANTS, {}, token=customer)["grants"]
    return replace(side, refresh_token=refresh, app_grant=grants[0]["grant_id"]), None


def _glass(desk: Desk, side: Side, who: str) -> Fresh:
    asked = desk.call("identity", "break_glass", {"purpose": "incident"}, token=desk.callers.second_operator)
    return replace(side, glass=asked["grant_id"]), None


def _open(desk: Desk, side: Side, who: str) -> Fresh:
    desk.call("lifecycle", "resume_account", {}, token=desk.callers.operator)
    return side, None


def _hold(desk: Desk, side: Side, who: str) -> Fresh:
    made, token = _person(desk, side, who)
    return replace(made, hold=desk.call("erasure", "place_hold", placing(made.address))["hold_id"]), token


GRANTS = "list_own_app_grants"
MADE: dict[str, Maker] = {
    "open_account": _named, "import_mails": _named, "add_user": _named, "add_first_owner": _named, "invite_user": _named,
    "remove_user": _another_agent, "change_role": _another_agent, "deactivate_user": _another_agent,
    "reactivate_user": _another_agent, "delete_user": _another_agent,
    "change_profile": _own_agent, "create_api_token": _own_agent, "begin_second_factor": _enrolling,
    "set_first_password": _without_password, "change_password": _with_password, "request_password_reset": _without_password,
    "end_session": _with_session, "end_sessions": _with_session, "revoke_api_token": _with_api_token,
    "list_sessions": _with_session,
    "complete_login": _challenged, "confirm_second_factor": _enrolling,
    "disable_second_factor": _with_second_factor, "renew_recovery_codes": _with_second_factor,
    "withdraw_invitation": _invitation, "accept_invitation": _invited, "reset_password": _forgotten,
    "confirm_login": _moved, "reset_second_factor": _guarded,
    "place_hold": _person, "release_hold": _hold,
    "request_erasure": _person, "request_own_erasure": _person, "set_portal_password": _person,
    "sign_in_by_link": _mailed, "end_own_session": _customers_session, "end_own_sessions": _customers_session,
    "remove_saved_search": _search, "remove_app": _app, "end_own_app_grant": _app_grant, "issue_app_tokens": _app_grant,
    "revoke_app_token": _app_grant, "confirm_break_glass": _glass,
}  # fmt: skip
"""Methods after which what they ask for is not there any more, or is there already."""


# --------------------------------------------------------------------------------------------------------------- afterwards


def _has_no(method: str, key: str, field: str, of: Callable[[Side], str], **asked: Any) -> Callable[[Desk, Side, str], bool]:
    def gone(desk: Desk, side: Side, token: str) -> bool:
        listed = desk.call("identity", method, {name: getattr(side, of_) for name, of_ in asked.items()}, token=token)[key]
        return of(side) not in [one[field] for one in listed]

    return gone


def _lets_nobody_in(desk: Desk, side: Side, token: str) -> bool:
    try:
        log_in(desk, side.login, side.password)
    except LetheError as error:
        return error.code == "unauthenticated"
    return False


def _former(desk: Desk, side: Side, token: str) -> bool:
    shown = desk.call("identity", "show_user", {"user": side.dispensable})
    return shown["state"] == "removed" and shown["name"] == "former agent"


def _is_off(desk: Desk, side: Side, token: str) -> bool:
    own = desk.callers.user(desk.account, "agent", side.agent)  # after what cut off the token of before
    return desk.call("identity", "show_second_factor", {}, token=own)["is_on"] is False


EFFECTS: dict[str, Callable[[Desk, Side, str], bool]] = {
    "end_session": _has_no("list_sessions", "sessions", "session_id", lambda side: side.session, user="agent"),
    "end_sessions": _has_no("list_sessions", "sessions", "session_id", lambda side: side.session, user="agent"),
    "revoke_api_token": _has_no("list_api_tokens", "api_tokens", "api_token_id", lambda side: side.api_token, user="agent"),
    "change_password": _lets_nobody_in,
    "disable_second_factor": _is_off,
    "reset_second_factor": _is_off,
    "withdraw_invitation": _has_no(
        "list_invitations", "invitations", "invitation_id", lambda side: side.spare_invitation
    ),
    "delete_user": _former,
    "remove_app": _has_no("list_apps", "apps", "app_id", lambda side: side.spare_app),
    "remove_saved_search": _has_no("list_saved_searches", "searches", "search_id", lambda side: side.search),
    "end_own_session": _has_no("list_own_sessions", "sessions", "session_id", lambda side: side.portal_session),
    "end_own_sessions": _has_no("list_own_sessions", "sessions", "session_id", lambda side: side.portal_session),
    "end_own_app_grant": _has_no(GRANTS, "grants", "grant_id", lambda side: side.app_grant),
}
"""Of methods whose answer says nothing. Asked with the token of who made the call."""


# ------------------------------------------------------------------------------------------------------------------- in part


def gateway(desk: Desk, method: str, argument: Any) -> Any:
    """A call for somebody who is not known yet."""
    return desk.call("identity", method, argument, token=desk.callers.service("gateway"), account=None)


def log_in(desk: Desk, login: str, password: str) -> Any:
    """The answer to a login."""
    return gateway(desk, "log_in", {"login": login, "password": password, "source": SOURCE})


def enrol(desk: Desk, token: str) -> tuple[str, str]:
    """Switches a user's second factor on; the seed and a recovery code."""
    seed = _seed(desk.call("identity", "begin_second_factor", {}, token=token)["uri"])
    confirm = {"code": pyotp.TOTP(seed).at(clock.now() - timedelta(seconds=30)), "source": SOURCE}
    return seed, str(desk.call("identity", "confirm_second_factor", confirm, token=token)["recovery_codes"][0])


def _seed(uri: str) -> str:
    return str(pyotp.parse_uri(uri).secret)
