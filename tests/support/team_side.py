"""What an account has of users and invitations, for those who look at it from another account: users whom others manage,
invitations that are open, and the tokens of links that were mailed."""

from __future__ import annotations

from shared.ids import new_id
from tests.support import mailbox
from tests.support.desk import Desk


def nobodys() -> dict[str, str]:
    """What no account has, of this."""
    return {name: f"lethe_link_{new_id()}" for name in ("invitation_token", "reset_token", "login_link")}


def make_team(desk: Desk, word: str) -> dict[str, str]:
    """One of everything."""
    made = {name: add_user(desk, "agent", f"{name}@{word}.example") for name in ("member", "dispensable", "forgetful")}
    for name in ("invitation", "spare_invitation"):
        made[name] = desk.call("identity", "invite_user", {"role": "agent", "login": f"{name}@{word}.example"})["invitation_id"]
    return made | {
        "invitation_token": invited(desk, f"invited@{word}.example"),
        "reset_token": forgotten(desk, f"forgetful@{word}.example"),
        "login_link": moved(desk, f"moved@{word}.example"),
    }


def add_user(desk: Desk, role: str, login: str) -> str:
    """The id of a new user."""
    name = login.partition("@")[0]
    return str(desk.call("identity", "add_user", {"role": role, "name": name, "login": login})["user_id"])


def invited(desk: Desk, login: str) -> str:
    """The token of a link to an invitation."""
    desk.call("identity", "invite_user", {"role": "agent", "login": login})
    return mailed_token(desk, login)


def forgotten(desk: Desk, login: str) -> str:
    """The token of a link to a new password."""
    asked = {"login": login, "source": "192.0.2.7"}
    desk.call("identity", "request_password_reset", asked, token=desk.callers.service("gateway"), account=None)
    return mailed_token(desk, login)


def moved(desk: Desk, login: str) -> str:
    """The token of a link to confirm a login: that of a user to whom another one was given."""
    user = add_user(desk, "agent", f"before.{login}")
    desk.call("identity", "change_profile", {"user": user, "login": login})
    return mailed_token(desk, login)


def mailed_token(desk: Desk, address: str) -> str:
    """What the link in the last mail to an address ends with."""
    return mailbox.mailed_token(desk.callers.settings.home, address)
