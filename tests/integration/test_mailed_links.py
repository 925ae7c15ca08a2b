"""Invitations and password resets: what a mailed link does, once, and to whom it says nothing."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from services.identity.access_commands import LoginAnswer
from services.identity.commands import Done
from services.identity.holdings import HOLDINGS
from services.identity.link import hash_of
from services.identity.mailed_links import sweep_links
from services.identity.routing import account_of_credential
from shared import clock
from shared.erasing import erase_subject, probe
from shared.errors import (
    AccountSuspended,
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionRefused,
    Unauthenticated,
)
from shared.events import Envelope
from shared.ids import new_id
from shared.work import SYSTEM_ACTOR
from tests.support.cell import Cell
from tests.support.team import GATEWAY, HERE, OPERATOR, PASSWORD, Team, link_in
from tests.support.together import at_once

NINA = "nina@kettles.example"
OTHER = "walrus teapot gravel seven"


@pytest.fixture
def team(cell: Cell) -> Team:
    return Team(cell)


def ask_for_reset(team: Team, login: str) -> Done:
    asked = {"login": login, "account_id": team.account, "source": HERE}
    done: Done = team.call("request_password_reset", asked, actor=GATEWAY)
    return done


def reset(team: Team, token: str, password: str = OTHER) -> Done:
    done: Done = team.call("reset_password", {"link_token": token, "password": password, "source": HERE}, actor=GATEWAY)
    return done


def test_an_invitation_makes_a_user_with_a_session(team: Team) -> None:
    """Who has the link chooses name and password, is in at once, and logs in later; the link is used up, the invitation gone,
    and its key with it."""
    invited = team.invite("admin", "Nina@Kettles.example")
    assert team.call("list_invitations", {}).invitations == [invited]
    token = team.link_in_mail()
    answer = team.accept(token)
    assert (answer.status, answer.role) == ("in", "admin")
    assert answer.session_token is not None
    assert team.authenticate(answer.session_token).user_id == answer.user_id
    assert (team.show(NINA).name, team.show(NINA).user_id) == ("Nina Newt", answer.user_id)
    assert team.log_in(NINA).status == "in"
    with pytest.raises(Unauthenticated):
        team.accept(token)
    assert team.call("list_invitations", {}).invitations == []
    for table in ("link", "invitation", "invitation_token"):
        assert team.rows(f"SELECT 1 FROM {table} WHERE account_id = %s") == []
    with team.store.work(team.account) as work:
        assert work.item_keys([invited.invitation_id]) == {}


def test_of_a_hundred_acceptances_at_once_one_has_an_effect(team: Team) -> None:
    """A link is used once, however many use it at once: one user, and one session."""
    team.invite("agent", NINA)
    token = team.link_in_mail()
    results: list[object] = []
    for _ in range(5):
        results += at_once([partial(team.accept, token, f"N{number}") for number in range(20)])
    assert [type(one) for one in results].count(LoginAnswer) == 1
    assert len([one for one in team.call("list_users", {}).users if one.login == NINA]) == 1
    assert len(team.rows("SELECT 1 FROM session WHERE account_id = %s")) == 1


def test_nobody_invites_to_more_than_they_hold(team: Team) -> None:
    """An admin invites no owner; an agent nobody; the operator a first owner only, and not once there is one."""
    admin, agent = team.add("admin", "adam@kettles.example"), team.add("agent", "aaron@kettles.example")
    for actor, role in ((team.acts(admin), "owner"), (team.acts(agent), "agent"), (OPERATOR, "owner"), (GATEWAY, "owner")):
        with pytest.raises(PermissionRefused):
            team.invite(role, NINA, actor)
    assert team.mails() == []
    team.invite("admin", NINA, team.acts(admin))
    with pytest.raises(Conflict):
        team.invite("agent", "adam@kettles.example")


def test_an_invitation_sent_again_under_its_key_is_one_mail(team: Team) -> None:
    """The same command under one idempotency key gives the same invitation, and no second mail."""
    first = team.invite("agent", NINA, key="k")
    assert team.invite("agent", NINA, key="k") == first
    assert len(team.mails()) == 1


def test_a_later_invitation_takes_the_place_of_an_earlier_one(team: Team) -> None:
    """Only the last link to a login is good."""
    team.invite("agent", NINA)
    earlier = team.link_in_mail()
    team.invite("admin", NINA)
    later = team.link_in_mail()
    with pytest.raises(Unauthenticated):
        team.accept(earlier)
    assert team.accept(later).role == "admin"


def test_a_link_that_is_over_leads_nowhere(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """Withdrawn, expired, made up: the same answer. A password that may not be leaves the link as it was."""
    invited = team.invite("agent", NINA)
    token = team.link_in_mail()
    with pytest.raises(InvalidArgument):
        team.accept(token, password="too short")
    real = clock.now
    with monkeypatch.context() as later:
        later.setattr(clock, "now", lambda: real() + timedelta(days=7, seconds=1))
        with pytest.raises(Unauthenticated):
            team.accept(token)
    team.call("withdraw_invitation", {"invitation_id": invited.invitation_id})
    team.call("withdraw_invitation", {"invitation_id": invited.invitation_id})
    for wrong in (token, "made-up", new_id()):
        with pytest.raises(Unauthenticated):
            team.accept(wrong)
    with pytest.raises(NotFound):
        team.call("withdraw_invitation", {"invitation_id": new_id()})


def test_links_that_are_over_are_swept(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their rows go, in whichever account, with what leads to them from outside; one that is good stays."""
    for _ in range(2):
        ask_for_reset(team, "olga@kettles.example")
    over = [hash_of(link_in(mail)) for mail in team.mails()]
    team.invite("agent", NINA)
    good = team.link_in_mail()
    team.call("ask_sign_in_link", {"address": "nobody@example.org"}, actor=GATEWAY)
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + timedelta(hours=1, seconds=1))
    assert sweep_links(team.store) >= 3
    assert [(hash_of(good),)] == [(bytes(digest),) for (digest,) in team.rows("SELECT digest FROM link WHERE account_id = %s")]
    assert [] == team.rows("SELECT 1 FROM sign_in_link WHERE account_id = %s")
    assert [None, None, team.account] == [account_of_credential(team.store, digest) for digest in (*over, hash_of(good))]
    assert team.accept(good).status == "in"


def test_a_suspended_account_takes_nobody_in(team: Team) -> None:
    """No invitation is accepted and no password reset while the account is suspended (mission L3)."""
    team.invite("agent", NINA)
    token = team.link_in_mail()
    told = {"state": "suspended", "version": 9}
    lifecycle = GATEWAY.__class__(kind="service", id="lifecycle", role="service")
    team.call("keep_account_state", told, actor=lifecycle)
    with pytest.raises(AccountSuspended):
        team.accept(token)
    ask_for_reset(team, "olga@kettles.example")
    assert team.mails() == []


def test_an_invitation_goes_with_its_person(team: Team) -> None:
    """After the erasure of somebody who was invited the link is dead and nothing of them is left, the mail neither."""
    team.invite("agent", NINA)
    token = team.link_in_mail()
    (person,) = team.rows("SELECT person_id FROM invitation WHERE account_id = %s")[0]
    request = new_id()
    event = Envelope(
        account=team.account, actor=SYSTEM_ACTOR, causation=None, data={"request_id": request, "person_ids": [person]},
        event=new_id(), schema=1, sealed=[], service="erasure", stream=f"erasure/{request}", time=clock.now(),
        type="erasure.SubjectErased", version=1,
    )  # fmt: skip
    erase_subject(team.store, HOLDINGS, event)
    with team.store.work(team.account) as work:
        assert probe(HOLDINGS, work, request, [person], [NINA]) == {}
    with pytest.raises(Unauthenticated):
        team.accept(token)
    for table in ("link", "invitation", "invitation_token", "outgoing_mail"):
        assert team.rows(f"SELECT 1 FROM lethe.{table} WHERE account_id = %s") == []


def test_a_password_is_reset_by_a_link(team: Team) -> None:
    """The new password counts, the old one no more; all sessions end, and the link is used up, with the user's other ones."""
    session = team.session("olga@kettles.example")
    ask_for_reset(team, "Olga@kettles.example")
    ask_for_reset(team, "olga@kettles.example")
    one, other = (link_in(mail) for mail in team.mails())
    reset(team, one)
    with pytest.raises(Unauthenticated):
        team.authenticate(session)
    with pytest.raises(Unauthenticated):
        team.log_in("olga@kettles.example", PASSWORD)
    assert team.log_in("olga@kettles.example", OTHER).status == "in"
    for used in (one, other):
        with pytest.raises(Unauthenticated):
            reset(team, used, PASSWORD)


def test_a_reset_is_done_once(team: Team) -> None:
    """Of twenty uses of a link at once one sets a password."""
    ask_for_reset(team, "olga@kettles.example")
    token = team.link_in_mail()
    results = at_once([partial(reset, team, token) for _ in range(20)])
    assert [type(one) for one in results].count(Done) == 1


def test_who_asks_for_a_reset_learns_nothing(team: Team) -> None:
    """The answer is the same for a login that there is and one that there is not; nobody is flooded: three mails an hour."""
    assert ask_for_reset(team, "nobody@kettles.example") == ask_for_reset(team, "olga@kettles.example") == Done()
    for _ in range(4):
        ask_for_reset(team, "olga@kettles.example")
    assert [mail.to for mail in team.mails()] == ["olga@kettles.example"] * 3


def test_a_link_is_good_for_its_purpose_only(team: Team) -> None:
    """An invitation's token resets no password, and a reset's makes no user."""
    team.invite("agent", NINA)
    invitation = team.link_in_mail()
    ask_for_reset(team, "olga@kettles.example")
    password = team.link_in_mail()
    with pytest.raises(Unauthenticated):
        reset(team, invitation)
    with pytest.raises(Unauthenticated):
        team.accept(password)


def test_a_reset_leaves_the_second_factor_on(team: Team) -> None:
    """With the new password alone nobody is in: the code is asked for as before."""
    import pyotp

    uri = team.call("begin_second_factor", {}).uri
    app = pyotp.parse_uri(uri)
    assert isinstance(app, pyotp.TOTP)
    team.call("confirm_second_factor", {"code": app.now(), "source": HERE})
    ask_for_reset(team, "olga@kettles.example")
    reset(team, team.link_in_mail())
    assert team.log_in("olga@kettles.example", OTHER).status == "second factor"
