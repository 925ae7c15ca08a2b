"""Another login of one's own: the password, a link to the new address, and word to the old one."""

from __future__ import annotations

import pytest

from services.identity.commands import UserView
from shared.errors import Conflict, InvalidArgument, Refused, Unauthenticated
from tests.support.cell import Cell
from tests.support.team import GATEWAY, HERE, PASSWORD, Team, link_in


@pytest.fixture
def team(cell: Cell) -> Team:
    return Team(cell)


def ask_for(team: Team, user: UserView, login: str, password: str | None = PASSWORD) -> UserView:
    """Asks for another login of one's own."""
    asked = {"login": login, "password": password, "source": HERE}
    answer: UserView = team.call("change_profile", asked, actor=team.acts(user))
    return answer


def follow(team: Team, token: str) -> None:
    team.call("confirm_login", {"link_token": token, "source": HERE}, actor=GATEWAY)


def test_a_login_of_ones_own_needs_the_password_and_the_mailbox(team: Team) -> None:
    """Whoever has somebody's session alone changes nothing. With the password the new address gets a link, the old one a
    warning, and nothing has changed until the link is followed; then the old one is told, and both are the same person's."""
    adam = team.with_password("agent", "adam@kettles.example")
    with pytest.raises(InvalidArgument) as missing:
        ask_for(team, adam, "aardvark@kettles.example", None)
    assert missing.value.field == "password"
    with pytest.raises(Unauthenticated):
        ask_for(team, adam, "aardvark@kettles.example", "not the one that they have")
    assert team.mails() == [] and team.rows("SELECT 1 FROM link WHERE account_id = %s") == []
    assert ask_for(team, adam, "Aardvark@kettles.example").login == "adam@kettles.example"
    assert team.log_in("adam@kettles.example").status == "in"
    mails = {one.to: one for one in team.mails()}
    assert mails.keys() == {"aardvark@kettles.example", "adam@kettles.example"}
    assert "#" not in mails["adam@kettles.example"].text
    held = str(team.rows("SELECT held, held::text FROM link WHERE account_id = %s"))
    assert "aardvark" not in held and b"aardvark".hex() not in held
    token = link_in(mails["aardvark@kettles.example"])
    follow(team, token)
    assert team.show("aardvark@kettles.example").user_id == adam.user_id
    with pytest.raises(Unauthenticated):
        team.log_in("adam@kettles.example")
    anywhere = {"login": "aardvark@kettles.example", "password": PASSWORD, "source": HERE}
    assert team.call("log_in", anywhere, actor=GATEWAY).status == "in"
    assert [one.to for one in team.mails()] == ["adam@kettles.example"]
    person = team.cell.call(team.account, "contacts", "show_person", {"who": "aardvark@kettles.example"})
    assert person.person_id == adam.person_id
    with pytest.raises(Unauthenticated):
        follow(team, token)


def test_another_password_voids_the_link_to_a_new_login(team: Team) -> None:
    """Who was warned changes the password, and whoever had the old one gets no login by it."""
    adam = team.with_password("agent", "adam@kettles.example")
    ask_for(team, adam, "mallory@elsewhere.example")
    token = next(link_in(one) for one in team.mails() if one.to == "mallory@elsewhere.example")
    changed = {"old_password": PASSWORD, "new_password": "walrus teapot gravel seven", "source": HERE}
    team.call("change_password", changed, actor=team.acts(adam))
    with pytest.raises(Unauthenticated):
        follow(team, token)
    assert team.show(adam.user_id).login == "adam@kettles.example"


def test_a_login_that_is_taken_before_the_link_is_followed_stays(team: Team) -> None:
    """Somebody else has become a user with it meanwhile, or the account knows it as another person's: nothing changes. And
    nobody writes to strangers through us: so many links a day."""
    adam = team.with_password("agent", "adam@kettles.example")
    for login, kind in (("eve@kettles.example", Conflict), ("cust@elsewhere.example", Refused)):
        ask_for(team, adam, login)
        token = next(link_in(one) for one in team.mails() if one.to == login)
        if kind is Conflict:
            team.add("agent", login)
        else:
            known = {"address": login, "name": "Cust"}
            team.cell.call(team.account, "contacts", "add_user_person", known, GATEWAY)
        with pytest.raises(kind):
            follow(team, token)
    assert team.show(adam.user_id).login == "adam@kettles.example"
    ask_for(team, adam, "third@kettles.example")
    with pytest.raises(Refused):
        ask_for(team, adam, "fourth@kettles.example")
