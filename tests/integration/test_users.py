"""Users at work: role, profile, deactivation, deletion, and that none of them leaves the rights of before behind."""

from __future__ import annotations

from functools import partial

import pytest

from audit.replay import replay
from services.identity.commands import UserView
from shared.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionRefused,
    PersonErased,
    PreconditionFailed,
    Refused,
    Unauthenticated,
)
from shared.events import Envelope
from shared.ids import new_id
from shared.outgoing_mail import OutgoingMail
from shared.personal import ERASED
from tests.support.cell import Cell
from tests.support.databases import superuser
from tests.support.team import GATEWAY, Team
from tests.support.together import at_once


@pytest.fixture
def team(cell: Cell) -> Team:
    return Team(cell)


def react(team: Team, *types: str) -> list[Envelope]:
    """What identity's own reactions to its events do, once these are in the log."""
    team.cell.sign("identity")
    deliveries = [one for one in team.cell.deliveries(team.account, ["identity"]) if one.envelope.type.split(".")[1] in types]
    for delivery in deliveries:
        team.cell.deliver(delivery)
    return [one.envelope for one in deliveries]


def test_a_role_counts_from_its_change_on(team: Team) -> None:
    """Who is made an admin may what admins may, after a new login: sessions of before end; made an agent again they may not."""
    adam = team.with_password("agent", "adam@kettles.example")
    session = team.session("adam@kettles.example")
    assert team.authenticate(session).role == "agent"
    changed: UserView = team.call("change_role", {"user": "adam@kettles.example", "role": "admin"})
    assert (changed.role, changed.user_id) == ("admin", adam.user_id)
    with pytest.raises(Unauthenticated):
        team.authenticate(session)
    assert team.authenticate(team.session("adam@kettles.example")).role == "admin"
    team.call("add_user", {"role": "agent", "name": "Eve", "login": "eve@kettles.example"}, actor=team.acts(changed))
    team.call("change_role", {"user": adam.user_id, "role": "agent"})
    with pytest.raises(PermissionRefused):
        team.call("add_user", {"role": "agent", "name": "Eva", "login": "eva@kettles.example"}, actor=team.acts(changed))
    assert team.call("change_role", {"user": adam.user_id, "role": "agent"}).role == "agent"


def test_nobody_raises_themselves_or_others_above_them(team: Team) -> None:
    """An admin makes nobody an owner, themselves neither, and changes no owner; an agent changes nobody (mission I6)."""
    admin, agent = team.add("admin", "adam@kettles.example"), team.add("agent", "aaron@kettles.example")
    for actor, user, role in (
        (admin, admin, "owner"), (admin, agent, "owner"), (admin, team.owner, "agent"), (agent, agent, "admin"),
        (agent, agent, "agent"),
    ):  # fmt: skip
        with pytest.raises(PermissionRefused):
            team.call("change_role", {"user": user.user_id, "role": role}, actor=team.acts(actor))


def test_a_deactivated_user_does_nothing_until_reactivated(team: Team) -> None:
    """Sessions and API tokens end, no login; actor tokens minted before are cut off; reactivated they log in, the role as it
    was; the login stays theirs meanwhile."""
    adam = team.with_password("admin", "adam@kettles.example")
    session = team.session("adam@kettles.example")
    api = team.call("create_api_token", {"name": "nightly", "scope": "read"}, actor=team.acts(adam)).token
    team.authenticate(api)
    gone: UserView = team.call("deactivate_user", {"user": adam.user_id})
    assert gone.state == "deactivated"
    for token in (session, api):
        with pytest.raises(Unauthenticated):
            team.authenticate(token)
    with pytest.raises(Unauthenticated):
        team.log_in("adam@kettles.example")
    with pytest.raises(PermissionRefused):
        team.call("add_user", {"role": "agent", "name": "Eve", "login": "eve@kettles.example"}, actor=team.acts(adam))
    with pytest.raises(Conflict):
        team.add("agent", "adam@kettles.example")
    assert team.rows("SELECT actor_id FROM lethe.actor_cutoff WHERE account_id = %s") == [(adam.user_id,)]
    assert team.call("reactivate_user", {"user": adam.user_id}).state == "active"
    assert team.authenticate(team.session("adam@kettles.example")).role == "admin"
    with pytest.raises(Unauthenticated):
        team.authenticate(api)


def test_a_deactivated_users_cut_off_names_the_moment(team: Team) -> None:
    """Each change of rights puts an `ActorCutOff` into the log, for the other services."""
    adam = team.add("agent", "adam@kettles.example")
    team.call("change_role", {"user": adam.user_id, "role": "admin"})
    team.call("deactivate_user", {"user": adam.user_id})
    team.call("deactivate_user", {"user": adam.user_id})
    team.cell.sign("identity")
    cutoffs = [one for one in team.cell.logged(team.account, "identity") if one.type == "identity.ActorCutOff"]
    assert [one.data["user_id"] for one in cutoffs] == [adam.user_id] * 2


def test_a_name_and_a_login_are_changed(team: Team) -> None:
    """The user is found by the new login only and logs in with it; the name of before is shown nowhere; the other half stays;
    both addresses are the same person's, so that one erasure takes both."""
    adam = team.with_password("agent", "adam@kettles.example")
    named: UserView = team.call("change_profile", {"name": "Adam Aardvark"}, actor=team.acts(adam))
    assert (named.name, named.login) == ("Adam Aardvark", "adam@kettles.example")
    moved: UserView = team.call("change_profile", {"user": adam.user_id, "login": "Aardvark@kettles.example"})
    assert (moved.name, moved.login, moved.person_id) == ("Adam Aardvark", "aardvark@kettles.example", adam.person_id)
    assert team.show("aardvark@kettles.example") == moved
    with pytest.raises(NotFound):
        team.show("adam@kettles.example")
    assert team.log_in("aardvark@kettles.example").status == "in"
    with pytest.raises(Unauthenticated):
        team.log_in("adam@kettles.example")
    person = team.cell.call(team.account, "contacts", "show_person", {"who": "aardvark@kettles.example"})
    assert person.person_id == adam.person_id
    assert sorted(person.addresses) == ["Aardvark@kettles.example".lower(), "adam@kettles.example"]
    assert team.add("agent", "adam@kettles.example").person_id == adam.person_id


def test_a_login_of_somebody_else_is_refused(team: Team) -> None:
    """A user's login is a conflict; an address that the account knows as another person's is refused; what is no address names
    the field. Nothing has changed."""
    adam = team.add("agent", "adam@kettles.example")
    team.add("agent", "eve@kettles.example")
    team.cell.call(
        team.account, "contacts", "add_user_person", {"address": "cust@elsewhere.example", "name": "Cust"}, GATEWAY
    )
    with pytest.raises(Conflict):
        team.call("change_profile", {"user": adam.user_id, "login": "eve@kettles.example"})
    with pytest.raises(Refused):
        team.call("change_profile", {"user": adam.user_id, "login": "cust@elsewhere.example"})
    with pytest.raises(InvalidArgument):
        team.call("change_profile", {"user": adam.user_id, "login": "adam"})
    assert team.show(adam.user_id) == adam


def test_a_profile_is_changed_by_its_user_and_by_managers(team: Team) -> None:
    """An agent changes no other agent; an admin no owner; an admin an agent."""
    admin, agent, other = (
        team.add(role, f"{role[:2]}{place}@kettles.example") for place, role in enumerate(("admin", "agent", "agent"))
    )
    for actor, user in ((agent, other), (admin, team.owner)):
        with pytest.raises(PermissionRefused):
            team.call("change_profile", {"user": user.user_id, "name": "X"}, actor=team.acts(actor))
    assert team.call("change_profile", {"user": agent.user_id, "name": "X"}, actor=team.acts(admin)).name == "X"


@pytest.mark.parametrize("method", ["change_profile", "change_role"])
def test_of_edits_of_what_was_seen_one_passes(team: Team, method: str) -> None:
    """Twenty at once, each based on the version that all have seen: one is made, nineteen are told that somebody was faster.
    What happened to the user without being shown (a login) is no other version."""
    adam = team.with_password("agent", "adam@kettles.example")
    team.log_in("adam@kettles.example")
    seen = team.show(adam.user_id)
    assert seen.version == adam.version

    def edit(place: int) -> UserView:
        what = {"name": f"Adam {place}"} if method == "change_profile" else {"role": ("admin", "owner")[place % 2]}
        edited: UserView = team.call(method, {"user": adam.user_id, "expected_version": seen.version} | what)
        return edited

    told = at_once([partial(edit, place) for place in range(20)])
    (made,) = [one for one in told if isinstance(one, UserView)]
    assert [PreconditionFailed] * 19 == [type(one) for one in told if one is not made]
    assert made == team.show(adam.user_id) and made.version > seen.version


def test_a_deleted_user_is_a_former_agent(team: Team) -> None:
    """The profile opens nowhere: name and login are gone from the view by id, the lists, the look-up, the credentials and the
    log; what the user did still stands under their id, which shows "former agent" (mission E5)."""
    adam = team.with_password("agent", "adam@kettles.example")
    team.call("change_profile", {"name": "Adam Aardvark"}, actor=team.acts(adam))
    session = team.session("adam@kettles.example")
    organisation = team.cell.call(team.account, "contacts", "add_organisation", {"name": "Firm"}, team.acts(adam)).id
    team.call("delete_user", {"user": "adam@kettles.example"})
    assert team.call("delete_user", {"user": adam.user_id}) is not None, "twice is once"
    former = team.show(adam.user_id)
    assert (former.name, former.login, former.state, former.role) == ("former agent", ERASED, "removed", "agent")
    team.cell.sign("contacts")
    did = [one for one in team.cell.logged(team.account, "contacts") if one.data.get("organisation_id") == organisation]
    assert [team.show(one.actor).name for one in did] == ["former agent"]
    with pytest.raises(NotFound):
        team.show("adam@kettles.example")
    with pytest.raises(Unauthenticated):
        team.authenticate(session)
    with pytest.raises(Unauthenticated):
        team.log_in("adam@kettles.example")
    listed = team.call("list_users", {"include_removed": True}).users
    assert [one.user_id for one in listed] == [team.owner.user_id]
    for table in ("password", "session", "login_token", "api_token"):
        rows = team.rows(f"SELECT user_id FROM {table} WHERE account_id = %s")
        assert adam.user_id not in [row[0] for row in rows]
    with team.store.work(team.account) as work:
        assert work.item_keys([adam.user_id]) == {}
        assert [one.type for one in (recorded.envelope for recorded in work.load(f"user/{adam.user_id}"))].count(
            "identity.UserDeleted"
        ) == 1


def test_a_deleted_profile_leaves_no_ciphertext_and_its_cut_is_journalled(team: Team) -> None:
    """After the reaction no sealed part of the user's is left in the log, the event names the key that explains it, and the cut
    journal names the item, so that a restored database forgets it again. Delivered twice it does no harm."""
    adam = team.add("agent", "adam@kettles.example")
    team.call("delete_user", {"user": adam.user_id})
    (deleted,) = react(team, "UserDeleted")
    react(team, "UserDeleted")
    with team.store.work(team.account) as work:
        events = work.load(f"user/{adam.user_id}")
    named = {field.key for one in events for field in one.envelope.sealed}
    assert named == set(deleted.data["keys"])
    assert [part for one in events for part in one.sealed.values()] == [None, None]
    journal = team.cell.settings.path("tiles", "identity", "cut-journal.jsonl").read_text()
    assert f'"subject":"{adam.user_id}"' in journal


def test_who_is_deleted_can_come_again_as_somebody_new(team: Team) -> None:
    """The login is free, and a later user with it is another user; what the former one did is not theirs."""
    adam = team.add("agent", "adam@kettles.example")
    team.call("delete_user", {"user": adam.user_id})
    again = team.add("agent", "adam@kettles.example")
    assert again.user_id != adam.user_id
    assert team.show("adam@kettles.example") == again
    assert team.show(adam.user_id).name == "former agent"


def test_nothing_is_sealed_for_a_deleted_user(team: Team) -> None:
    """A write that comes after the deletion is refused, and the key does not come back; a write that comes with it neither."""
    adam = team.add("agent", "adam@kettles.example")
    team.call("delete_user", {"user": adam.user_id})
    with pytest.raises(NotFound):
        team.call("change_profile", {"user": adam.user_id, "name": "Adam"})
    with pytest.raises((PersonErased, NotFound)):
        team.call("set_first_password", {"user": adam.user_id, "password": "crab ladder monsoon nine"}, actor=GATEWAY)
    for number in range(6):
        user = team.add("agent", f"a{number}@kettles.example")
        at_once(
            [
                partial(team.call, "delete_user", {"user": user.user_id}),
                partial(team.call, "change_profile", {"user": user.user_id, "name": "Late"}),
                partial(team.call, "change_role", {"user": user.user_id, "role": "admin"}),
            ]
        )
        assert team.show(user.user_id).name == "former agent"
        with team.store.work(team.account) as work:
            assert work.item_keys([user.user_id]) == {}


def test_deleting_is_for_those_above(team: Team) -> None:
    """An admin deletes an agent, no admin and no owner; an agent nobody; an owner another owner (mission E5)."""
    admin, second, agent = (team.add(role, f"u{place}@k.example") for place, role in enumerate(("admin", "admin", "agent")))
    for actor, user in ((admin, second), (admin, team.owner), (admin, admin), (agent, agent)):
        with pytest.raises(PermissionRefused):
            team.call("delete_user", {"user": user.user_id}, actor=team.acts(actor))
    team.call("delete_user", {"user": agent.user_id}, actor=team.acts(admin))
    other = team.add("owner", "oscar@kettles.example")
    team.call("delete_user", {"user": other.user_id})
    with pytest.raises(Refused):
        team.call("delete_user", {"user": team.owner.user_id})
    with pytest.raises(NotFound):
        team.call("delete_user", {"user": new_id()})


def test_a_last_owner_stays_whatever_is_tried_at_once(team: Team) -> None:
    """Ten owners take each other's rights in four ways, a hundred tries at once: one active owner remains (mission E5)."""
    owners = [team.owner, *(team.add("owner", f"o{number}@kettles.example") for number in range(9))]
    ways = [
        ("remove_user", {}), ("change_role", {"role": "agent"}), ("deactivate_user", {}), ("delete_user", {}),
    ]  # fmt: skip
    calls = []
    for place, (actor, target) in enumerate((actor, target) for actor in owners for target in owners):
        method, more = ways[place % len(ways)]
        calls.append(partial(team.call, method, {"user": target.user_id, **more}, actor=team.acts(actor)))
    results = at_once(calls)
    left = [one for one in team.call("list_users", {}).users if one.role == "owner" and one.state == "active"]
    assert len(left) == 1
    errors = {type(one) for one in results if isinstance(one, Exception)}
    assert errors <= {PermissionRefused, Refused, NotFound}, errors


def test_no_login_and_no_link_is_readable_at_rest(team: Team) -> None:
    """Users, invitations, links and ranges: no table of identity holds a login, a name, an address or a link's token in the
    clear."""
    adam = team.with_password("agent", "qadamq@kettles.example")
    team.call("change_profile", {"name": "Qadamantine Qant"}, actor=team.acts(adam))
    team.invite("agent", "qninaq@kettles.example")
    team.call("request_password_reset", {"login": "qadamq@kettles.example", "source": "203.0.113.77"}, actor=GATEWAY)
    team.call("set_ip_ranges", {"ranges": ["198.51.77.0/24", "203.0.113.0/24"], "source": "203.0.113.7"})
    mails: list[OutgoingMail] = team.mails()
    assert len(mails) == 2
    secrets = [b"qadamq", b"qninaq", b"Qadamantine", b"198.51.77", *(one.text.split("/")[-1][:43].encode() for one in mails)]
    connection = superuser(team.cell.settings, "identity")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ('lethe', 'keys')"
            " AND table_type = 'BASE TABLE'"
        )
        for schema, table in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{schema}"."{table}" t')
            text = "\n".join(row[0] for row in cursor.fetchall()).encode()
            for secret in secrets:
                assert secret not in text and secret.hex().encode() not in text, table
    connection.close()


def test_a_replay_builds_the_same_users_invitations_and_ranges(team: Team) -> None:
    """From the log alone, without a key: after changes of role, profile and state, a deletion, and invitations that were sent,
    withdrawn and accepted, the rebuilt rows are those that are there (A1)."""
    adam, eve = team.add("agent", "adam@kettles.example"), team.add("agent", "eve@kettles.example")
    team.call("change_profile", {"user": adam.user_id, "name": "Adam Aardvark"})
    team.call("change_role", {"user": adam.user_id, "role": "admin"})
    team.call("deactivate_user", {"user": adam.user_id})
    team.call("delete_user", {"user": eve.user_id})
    team.invite("agent", "nina@kettles.example")
    team.accept(team.link_in_mail())
    withdrawn = team.invite("agent", "otto@kettles.example")
    team.call("withdraw_invitation", {"invitation_id": withdrawn.invitation_id})
    team.invite("admin", "otto@kettles.example")
    team.call("set_ip_ranges", {"ranges": ["203.0.113.0/24"], "source": "203.0.113.7"})
    react(team, "UserDeleted", "InvitationAccepted", "InvitationWithdrawn")
    result = replay(team.cell.settings, "identity")
    assert result.equal is True, result.tables
    assert {"app_user", "invitation", "ip_ranges"} <= {table.table for table in result.tables if table.rebuilt}
