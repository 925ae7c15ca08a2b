"""The credentials of an account that is looked at from another one: users with a password, a session, a token, and a second
factor that is on or under way."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import pyotp

from shared import clock
from tests.support.desk import Desk

SOURCE = "192.0.2.7"
_PASSWORD = "a kettle full of owls"


def nobodys() -> dict[str, str]:
    """What no account has, of this."""
    return {"seed": pyotp.random_base32(), "first": pyotp.random_base32(), "password": "no such kettle of owls"}


def make_credentials(desk: Desk, word: str, agent: str) -> dict[str, str]:
    """For a fresh account with an agent: their login is `login@<word>.example`."""
    made = {"password": f"{_PASSWORD} {word}", "bare_login": f"bare@{word}.example"}
    made["bare"] = _user(desk, word, "bare")
    _password(desk, agent, made["password"])
    made["agent_token"] = _token(desk, agent)
    made["session"] = _gateway(desk, "log_in", _login(f"login@{word}.example", made["password"]))["session_id"]
    token = desk.call("identity", "create_api_token", {"name": f"job {word}"}, token=made["agent_token"])
    made["api_token"] = token["api_token"]["api_token_id"]
    guarded = _user(desk, word, "guarded")
    _password(desk, guarded, made["password"])
    made["guarded_token"], made["seed"], made["recovery"] = _enrol(desk, guarded)
    made["challenge"] = _gateway(desk, "log_in", _login(f"guarded@{word}.example", made["password"]))["challenge"]
    late = _user(desk, word, "late")
    _password(desk, late, made["password"])
    desk.call("identity", "require_second_factor", {"required": True, "days": 0})
    made["enrolling"] = _gateway(desk, "log_in", _login(f"late@{word}.example", made["password"]))["challenge"]
    desk.call("identity", "require_second_factor", {"required": False})
    begun = _gateway(desk, "begin_second_factor", {"challenge": made["enrolling"]})
    made["first"] = str(pyotp.parse_uri(begun["uri"]).secret)
    return made


def code_of(seed: str, steps: int = 0) -> str:
    """The code of a seed, now or so many steps from now."""
    return pyotp.TOTP(seed).at(clock.now() + timedelta(seconds=30 * steps))


def _user(desk: Desk, word: str, name: str) -> str:
    added: Any = {"role": "agent", "name": f"{name.title()} {word}", "login": f"{name}@{word}.example"}
    return str(desk.call("identity", "add_user", added)["user_id"])


def _password(desk: Desk, user: str, password: str) -> None:
    asked = {"user": user, "password": password}
    desk.call("identity", "set_first_password", asked, token=desk.callers.operator)


def _token(desk: Desk, user: str) -> str:
    asked = {"user": user, "minutes": 600}
    return str(desk.call("identity", "mint_token", asked, token=desk.callers.operator)["token"])


def _login(login: str, password: str) -> dict[str, str]:
    return {"login": login, "password": password, "source": SOURCE}


def _gateway(desk: Desk, method: str, argument: Any) -> Any:
    return desk.call("identity", method, argument, token=desk.callers.service("tickets"), account=None)


def _enrol(desk: Desk, user: str) -> tuple[str, str, str]:
    """The user's token, seed and a recovery code. Confirmed with the previous step's code, so that the present one's is good
    still."""
    token = _token(desk, user)
    seed = str(pyotp.parse_uri(desk.call("identity", "begin_second_factor", {}, token=token)["uri"]).secret)
    confirm = {"code": code_of(seed, -1), "source": SOURCE}
    on = desk.call("identity", "confirm_second_factor", confirm, token=token)
    return token, seed, str(on["recovery_codes"][0])


def a_password() -> str:
    """One that nobody has."""
    return f"{_PASSWORD} {secrets.token_hex(4)}"
