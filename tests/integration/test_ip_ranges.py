"""From where an account's users are let in (mission I4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyotp
import pytest

from shared import clock
from shared.errors import InvalidArgument, PermissionRefused, Refused, Unauthenticated
from tests.support.cell import Cell
from tests.support.team import GATEWAY, HERE, PASSWORD, Team, link_in

ELSEWHERE = "198.51.100.9"
OLGA = "olga@kettles.example"


@pytest.fixture
def team(cell: Cell) -> Team:
    return Team(cell)


def set_ranges(team: Team, *ranges: str, source: str = HERE) -> list[str]:
    chosen: list[str] = team.call("set_ip_ranges", {"ranges": list(ranges), "source": source}).ranges
    return chosen


def test_ranges_hold_for_sessions_tokens_and_passwords(team: Team) -> None:
    """A session and an API token from before are refused from outside at the next request, a login too, and all are let in from
    inside, IPv4-mapped too. With the ranges taken away everybody is let in again."""
    session = team.session(OLGA)
    api = team.call("create_api_token", {"name": "nightly", "scope": "read"}).token
    assert set_ranges(team, "203.0.113.0/24") == ["203.0.113.0/24"]
    for token in (session, api):
        assert team.authenticate(token, f"::ffff:{HERE}").user_id == team.owner.user_id
        for outside in (ELSEWHERE, "::ffff:198.51.100.9", "2001:db8::1"):
            with pytest.raises(PermissionRefused):
                team.authenticate(token, outside)
    basic = {"login": OLGA, "secret": PASSWORD, "account_id": team.account}
    with pytest.raises(Unauthenticated):
        team.call("authenticate", {**basic, "source": ELSEWHERE}, actor=GATEWAY)
    assert team.call("authenticate", {**basic, "source": HERE}, actor=GATEWAY).by == "password"
    with pytest.raises(Unauthenticated):
        team.call("authenticate", {**basic, "source": "2001:db8::2"}, actor=GATEWAY)
    with pytest.raises(Unauthenticated):
        team.log_in(OLGA, source="198.51.100.10")
    assert set_ranges(team) == []
    assert team.authenticate(session, ELSEWHERE).user_id == team.owner.user_id


def test_links_are_followed_from_inside_only(team: Team) -> None:
    """An invitation and a reset are refused from outside, and stay good for inside."""
    set_ranges(team, "203.0.113.0/24")
    team.invite("agent", "nina@kettles.example")
    token = team.link_in_mail()
    with pytest.raises(PermissionRefused):
        team.accept(token, source=ELSEWHERE)
    assert team.accept(token).status == "in"
    asked = {"login": OLGA, "account_id": team.account, "source": ELSEWHERE}
    team.call("request_password_reset", asked, actor=GATEWAY)
    resetting = {"link_token": team.link_in_mail(), "password": "walrus teapot gravel seven"}
    with pytest.raises(PermissionRefused):
        team.call("reset_password", {**resetting, "source": ELSEWHERE}, actor=GATEWAY)
    team.call("reset_password", {**resetting, "source": HERE}, actor=GATEWAY)


def test_who_sets_ranges_does_not_lock_themselves_out(team: Team) -> None:
    """Ranges without the setter's own address are refused, what is no CIDR names its place, and what was set stays."""
    set_ranges(team, "203.0.113.0/24", "2001:db8::/32")
    for ranges, source in (("198.51.100.0/24", HERE), ("203.0.113.0/24", ELSEWHERE)):
        with pytest.raises(Refused):
            set_ranges(team, ranges, source=source)
    with pytest.raises(InvalidArgument) as invalid:
        set_ranges(team, "203.0.113.0/24", "203.0.113.7/24")
    assert invalid.value.field == "ranges[1]"
    assert team.call("show_ip_ranges").ranges == ["203.0.113.0/24", "2001:db8::/32"]


def test_ranges_are_set_by_the_accounts_owners(team: Team) -> None:
    """An owner sets them; an admin or agent does not, nor does an owner who was made an admin with the token of before."""
    owner, admin = team.add("owner", "adam@kettles.example"), team.add("admin", "anna@kettles.example")
    asked = {"ranges": ["203.0.113.0/24"], "source": HERE}
    assert team.call("set_ip_ranges", asked, actor=team.acts(owner)).ranges == asked["ranges"]
    team.call("change_role", {"user": owner.user_id, "role": "admin"})
    for actor in (owner, admin, team.add("agent", "aaron@kettles.example")):
        with pytest.raises(PermissionRefused):
            team.call("set_ip_ranges", asked, actor=team.acts(actor))


def test_ranges_that_nobody_can_open_let_nobody_in(team: Team) -> None:
    """If their key is gone, the account is closed, not open."""
    session = team.session(OLGA)
    set_ranges(team, "203.0.113.0/24")
    with team.store.work(team.account) as work:
        work.change("SELECT keys.cut_item_key(%s, %s, now())", (team.account, team.account))
    with pytest.raises(PermissionRefused):
        team.authenticate(session)


def test_another_accounts_ranges_are_its_own(cell: Cell) -> None:
    """What one account sets holds for no other."""
    one, other = Team(cell), Team(cell)
    set_ranges(one, "203.0.113.0/24")
    assert other.call("show_ip_ranges").ranges == []
    assert other.authenticate(other.session(OLGA), ELSEWHERE).account_id == other.account
    with pytest.raises(PermissionRefused):
        one.authenticate(one.session(OLGA), ELSEWHERE)


def ask_for_way_in(team: Team, login: str) -> list[str]:
    """The tokens of the links that are mailed for it."""
    asked = {"login": login, "account_id": team.account, "source": ELSEWHERE}
    team.call("request_range_recovery", asked, actor=GATEWAY)
    return [link_in(one) for one in team.mails() if one.to == login]


def log_in_from_elsewhere(team: Team, login: str, **more: Any) -> Any:
    asked = {"login": login, "password": PASSWORD, "source": ELSEWHERE, "account_id": team.account}
    return team.call("log_in", asked | more, actor=GATEWAY)


def test_an_owner_whose_address_has_changed_gets_in_by_a_mailed_link(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, with the password: the session goes on from outside and sets other ranges; all owners are told; it lasts for an
    hour, and lets in no other credential of theirs."""
    other = team.with_password("owner", "otto@kettles.example")
    api = team.call("create_api_token", {"name": "nightly", "scope": "read"}).token
    set_ranges(team, "203.0.113.0/24")
    (link,) = ask_for_way_in(team, OLGA)
    with pytest.raises(Unauthenticated):
        log_in_from_elsewhere(team, OLGA, range_link=link, password="not the one that they have")
    with pytest.raises(Unauthenticated):
        log_in_from_elsewhere(team, "otto@kettles.example", range_link=link)  # it is not theirs
    let_in = log_in_from_elsewhere(team, OLGA, range_link=link)
    assert team.authenticate(let_in.session_token, ELSEWHERE).user_id == team.owner.user_id
    assert sorted(one.to for one in team.mails()) == [OLGA, other.login]
    for again in ({"range_link": link}, {"range_link": "made up"}, {}):
        with pytest.raises(Unauthenticated):
            log_in_from_elsewhere(team, OLGA, **again)
    with pytest.raises(PermissionRefused):
        team.authenticate(api, ELSEWHERE)
    real = clock.now
    with monkeypatch.context() as later:
        later.setattr(clock, "now", lambda: real() + timedelta(minutes=29))
        team.authenticate(let_in.session_token, ELSEWHERE)
        later.setattr(clock, "now", lambda: real() + timedelta(minutes=57))
        team.authenticate(let_in.session_token, ELSEWHERE)
        later.setattr(clock, "now", lambda: real() + timedelta(minutes=61))
        with pytest.raises(Unauthenticated):
            team.authenticate(let_in.session_token, ELSEWHERE)
    assert set_ranges(team, "198.51.100.0/24", source=ELSEWHERE) == ["198.51.100.0/24"]


def test_the_way_in_asks_for_the_second_factor(team: Team) -> None:
    """The link takes the place of the address and of nothing else: without a code there is a challenge, which needs the link
    as well."""
    app = pyotp.parse_uri(team.call("begin_second_factor", {}).uri)
    assert isinstance(app, pyotp.TOTP)
    codes = team.call("confirm_second_factor", {"code": app.now(), "source": HERE}).recovery_codes
    set_ranges(team, "203.0.113.0/24")
    (link,) = ask_for_way_in(team, OLGA)
    source = "198.51.100.77"  # from which nothing has failed
    challenge = log_in_from_elsewhere(team, OLGA, range_link=link, source=source).challenge
    complete = {"challenge": challenge, "code": codes[0], "source": source}
    with pytest.raises(Unauthenticated):
        team.call("complete_login", complete, actor=GATEWAY)
    let_in = team.call("complete_login", complete | {"range_link": link}, actor=GATEWAY)
    assert team.authenticate(let_in.session_token, source).user_id == team.owner.user_id


def test_only_owners_under_ranges_are_mailed_a_way_in(team: Team) -> None:
    """Not an admin, not without ranges, not a login that is nobody's; three an hour; and the answer is the same."""
    team.with_password("admin", "anna@kettles.example")
    assert ask_for_way_in(team, OLGA) == []
    set_ranges(team, "203.0.113.0/24")
    assert ask_for_way_in(team, "anna@kettles.example") == ask_for_way_in(team, "nobody@kettles.example") == []
    assert [1, 1, 1, 0] == [len(ask_for_way_in(team, OLGA)) for _ in range(4)]
