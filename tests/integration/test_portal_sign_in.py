"""How customers get in: links and passwords, each good for what it says and for nothing else; sessions; saved searches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import pytest

from services.identity import session
from services.identity.customer import LINK_LIFE, LINKS_AT_ONCE
from services.identity.portal_commands import PortalSignIn
from services.identity.portal_events import PORTAL_TYPES
from shared import account_states, clock
from shared.errors import AccountSuspended, InvalidArgument, NotFound, PersonErased, Unauthenticated
from shared.tokens import TokenVerifier
from tests.support.cell import Cell
from tests.support.portal import ALICE, BOB, PASSWORD, SOURCE, Portal
from tests.support.together import at_once

NOBODY = "nobody@example.org"


def by_link(portal: Portal, token: str) -> PortalSignIn:
    signed_in: PortalSignIn = portal.gateway("sign_in_by_link", link_token=token, source=SOURCE)
    return signed_in


def by_password(portal: Portal, address: str = ALICE, password: str = PASSWORD) -> PortalSignIn:
    signed_in: PortalSignIn = portal.gateway("sign_in_by_password", address=address, password=password, source=SOURCE)
    return signed_in


def set_password(portal: Portal, password: str = PASSWORD, **proof: str) -> None:
    portal.call("identity", "set_portal_password", {"new_password": password} | proof, portal.customer(portal.alice))


def test_a_link_gives_a_session_of_the_person(portal: Portal) -> None:
    """The mail goes to the address as contacts knows it, has no address in the link, and its token gives a session: identity
    vouches for the person, as a customer, with the whole scope, for a minute."""
    portal.gateway("ask_sign_in_link", address=" Alice.Adams@EXAMPLE.org")
    (mailed,) = portal.mails()
    assert ALICE == mailed.to
    (link,) = [word for word in mailed.text.split() if word.startswith("https://")]
    assert "@" not in link and "alice" not in link.lower() and portal.alice not in link
    signed_in = by_link(portal, link.partition("#")[2])
    assert portal.alice == signed_in.person_id
    found = portal.authenticate(signed_in.session_token)
    assert (portal.alice, "customer", "manage", "portal session") == (found.user_id, found.role, found.scope, found.by)
    actor = TokenVerifier(portal.cell.settings.path("verifiers")).verify(found.actor_token, clock.now())
    assert ("customer", portal.alice, portal.account) == (actor.kind, actor.id, actor.account_id)
    assert actor.expires_at is not None and actor.expires_at <= clock.now() + timedelta(seconds=60)


def test_a_link_is_good_once_and_takes_the_others_with_it(portal: Portal) -> None:
    """The second use, and the use of an older link of the same person, are refused; another person's link stays."""
    older, of_bob, token = portal.link(), portal.link(BOB), portal.link()
    by_link(portal, token)
    for void in (token, older, "lethe_link_made-up", "x"):
        with pytest.raises(Unauthenticated):
            by_link(portal, void)
    assert portal.bob == by_link(portal, of_bob).person_id


def test_of_a_hundred_parallel_uses_of_a_link_one_gets_in(portal: Portal) -> None:
    """A hundred at once, over two replicas: one session, and ninety-nine refusals."""
    token, replica = portal.link(), Portal.__new__(Portal)
    replica.__dict__ = portal.__dict__ | {"cell": Cell(portal.cell.settings)}
    answers = at_once([partial(by_link, portal if number % 2 else replica, token) for number in range(100)])
    assert 1 == sum(isinstance(one, PortalSignIn) for one in answers)
    assert 99 == sum(type(one) is Unauthenticated for one in answers), {type(one) for one in answers}
    assert 1 == portal.count("portal_session") == len(portal.events("PortalSignedIn"))


def test_a_link_is_good_for_fifteen_minutes(portal: Portal, later: Callable[[timedelta], None]) -> None:
    """Just before the end it gets in, just after it does not."""
    first, second = portal.link(BOB), portal.link()
    later(LINK_LIFE - timedelta(seconds=5))
    by_link(portal, first)
    later(timedelta(seconds=6))
    with pytest.raises(Unauthenticated):
        by_link(portal, second)


def test_nobody_learns_whether_an_address_is_known(portal: Portal) -> None:
    """The answer is the same for an address that nobody has and no mail goes out; the ask is an event all the same. The times
    are alike: the medians differ by less than a tenth, in one of three rounds at least, on a busy machine."""
    assert portal.gateway("ask_sign_in_link", address=ALICE) == portal.gateway("ask_sign_in_link", address=NOBODY)
    assert [ALICE] == [one.to for one in portal.mails()]
    assert [portal.alice, None] == [one["person_id"] for one in portal.events("PortalLinkAsked")]

    def seconds(address: str) -> float:
        begun = perf_counter()
        portal.gateway("ask_sign_in_link", address=address)
        return perf_counter() - begun

    def forget_links() -> None:
        with portal.cell.store("identity").work(portal.account) as work:
            work.later("DELETE FROM sign_in_link WHERE account_id = %s", (portal.account,))

    def alike(between: Callable[[], None]) -> str:
        for _ in range(3):
            pairs = [(seconds(ALICE), seconds(NOBODY), between()) for _ in range(30)]
            known, unknown = median(one for one, _, _ in pairs), median(one for _, one, _ in pairs)
            if 0.9 < known / unknown < 1.1:
                return ""
        return f"{known * 1000:.1f} ms for a known address, {unknown * 1000:.1f} ms for an unknown one"

    assert "" == alike(forget_links)
    assert "" == alike(lambda: None)


def test_a_mailbox_is_not_filled(portal: Portal) -> None:
    """Within the life of a link only so many are mailed to one person, however often they are asked for."""
    for _ in range(LINKS_AT_ONCE + 3):
        portal.gateway("ask_sign_in_link", address=ALICE)
    assert LINKS_AT_ONCE == len(portal.mails())


def test_only_digests_are_kept(portal: Portal) -> None:
    """No token of a link or a session stands in a table of identity, and no address: of each token its SHA-256 is there, and
    nothing else of it."""
    token = portal.link()
    digest = hashlib.sha256(token.encode()).digest()
    with portal.cell.store("identity").work(portal.account) as work:
        assert work.fetch("SELECT 1 FROM sign_in_link WHERE digest = %s", (digest,))
    signed_in = by_link(portal, token)
    set_password(portal)
    by_password(portal)
    for table in ("sign_in_link", "portal_session", "portal_password", "customer", "lethe.event", "lethe.outgoing_mail"):
        with portal.cell.store("identity").work(portal.account) as work:
            rows = str(work.fetch(f"SELECT t.*, t::text FROM {table} AS t WHERE t.account_id = %s", (portal.account,)))
        for secret in (token, signed_in.session_token, ALICE, PASSWORD, SOURCE, "argon2"):
            assert secret not in rows and secret.encode().hex() not in rows, table


@pytest.mark.usefixtures("real_hashes")
def test_a_password_gets_in_once_it_is_set(portal: Portal) -> None:
    """A first password needs the session only. With it one gets in; with another one, for another address, or for an address
    that nobody has, the same refusal, in about the same time."""
    with pytest.raises(Unauthenticated):
        by_password(portal)
    set_password(portal)
    assert portal.alice == by_password(portal).person_id

    def seconds(**wrong: str) -> float:
        begun = perf_counter()
        with pytest.raises(Unauthenticated) as refused:
            by_password(portal, **wrong)
        assert Unauthenticated.default == refused.value.message
        return perf_counter() - begun

    wrong = seconds(password="a kettle that sings by day")
    assert 0.3 < wrong / min(seconds(address=NOBODY), seconds(address=BOB)) < 3
    assert [portal.alice] == [one["person_id"] for one in portal.events("PortalSignInFailed")]


def test_another_password_needs_the_old_one_or_a_fresh_link(portal: Portal) -> None:
    """Neither: refused. Either: the new one counts, the old one does not, and all sessions are over. A bad one is told by its
    rule."""
    set_password(portal)
    token = by_password(portal).session_token
    for proof in ({}, {"old_password": "a kettle that sings by day"}, {"link_token": portal.link(BOB)}):
        with pytest.raises(Unauthenticated):
            set_password(portal, "a toaster that never burns", **proof)
    with pytest.raises(InvalidArgument) as short:
        set_password(portal, "too short", old_password=PASSWORD)
    assert "new_password" == short.value.field
    portal.authenticate(token)
    set_password(portal, "a toaster that never burns", old_password=PASSWORD)
    with pytest.raises(Unauthenticated):
        portal.authenticate(token)
    with pytest.raises(Unauthenticated):
        by_password(portal)
    by_password(portal, password="a toaster that never burns")
    set_password(portal, PASSWORD, link_token=portal.link())
    by_password(portal)


def test_failures_delay_a_password_and_say_nothing(portal: Portal, later: Callable[[timedelta], None]) -> None:
    """After some failures even the right password is refused for a while, in the same words; a link gets in meanwhile, and
    after the while the password does."""
    set_password(portal)
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            by_password(portal, password="a kettle that sings by day")
    with pytest.raises(Unauthenticated):
        by_password(portal)
    by_link(portal, portal.link())
    later(timedelta(minutes=20))
    by_password(portal)


def test_a_session_ends_when_it_is_idle_and_in_the_end(portal: Portal, later: Callable[[timedelta], None]) -> None:
    """Used often enough it lasts for twelve hours and no longer; left alone for half an hour it is over. A clock that is put
    back does not bring it back for longer."""
    used, idle = portal.sign_in(), portal.sign_in(BOB)
    for _ in range(26):
        later(timedelta(minutes=27))
        portal.authenticate(used)
    with pytest.raises(Unauthenticated):
        portal.authenticate(idle)
    later(timedelta(minutes=20))
    with pytest.raises(Unauthenticated):
        portal.authenticate(used)
    later(-session.ABSOLUTE)
    with pytest.raises(Unauthenticated):
        portal.authenticate(used)


def test_sessions_that_are_over_make_room_for_a_new_one(portal: Portal, later: Callable[[timedelta], None]) -> None:
    """With the next sign-in nothing is left of a session that is over, and of very many open ones the idlest goes."""
    portal.sign_in()
    later(session.IDLE + timedelta(seconds=1))
    oldest = portal.sign_in()
    assert 1 == portal.count("portal_session")
    with portal.cell.store("identity").work(portal.account) as work:
        work.later(
            "INSERT INTO portal_session (account_id, session_id, person_id, digest, began_by, began_at, used_at, expires_at,"
            " source) SELECT account_id, gen_random_uuid(), person_id, sha256(gen_random_uuid()::text::bytea), began_by,"
            " began_at, %s, expires_at, source FROM portal_session, generate_series(1, %s) WHERE account_id = %s",
            (clock.now() + timedelta(seconds=1), session.SESSIONS_AT_MOST - 1, portal.account),
        )
    assert session.SESSIONS_AT_MOST == portal.count("portal_session")
    newest = portal.sign_in()
    assert session.SESSIONS_AT_MOST == portal.count("portal_session")
    assert [False, True] == [is_good(portal, token) for token in (oldest, newest)]


def test_sessions_are_listed_and_ended_by_whose_they_are(portal: Portal) -> None:
    """One's own are shown, with where they came from, and end one by one or all but one. Another's are not there."""
    alice = portal.customer(portal.alice)
    tokens = [portal.sign_in() for _ in range(4)]
    of_bob = portal.sign_in(BOB)
    ids = [portal.authenticate(token).session_id for token in tokens]
    listed = portal.call("identity", "list_own_sessions", None, alice).sessions
    assert set(ids) == {one.session_id for one in listed} and {SOURCE} == {one.source for one in listed}
    with pytest.raises(NotFound):
        session_of_bob = portal.authenticate(of_bob).session_id
        portal.call("identity", "end_own_session", {"session_id": session_of_bob}, alice)
    portal.call("identity", "end_own_session", {"session_id": ids[0]}, alice)
    assert [False, True, True, True] == [is_good(portal, token) for token in tokens]
    portal.call("identity", "end_own_sessions", {"keep": ids[1]}, alice)
    assert [False, True, False, False] == [is_good(portal, token) for token in tokens]
    assert is_good(portal, of_bob)
    assert {"signed out"} == {one["reason"] for one in portal.events("PortalSessionsEnded")}


def test_a_suspended_account_lets_no_customer_in(portal: Portal) -> None:
    """Suspended: no link, no sign-in, and the session that was good is refused (mission L3). Resumed: it is good again."""
    token, link = portal.sign_in(), portal.link()
    account_states.set_state(portal.cell.store("identity"), portal.account, "suspended", 2)
    refused: list[Callable[[], Any]] = [
        lambda: portal.authenticate(token), lambda: by_link(portal, link), lambda: by_password(portal),
        lambda: portal.gateway("ask_sign_in_link", address=ALICE),
    ]  # fmt: skip
    for call in refused:
        with pytest.raises(AccountSuspended):
            call()
    account_states.set_state(portal.cell.store("identity"), portal.account, "active", 3)
    assert is_good(portal, token)


def test_a_token_of_another_account_is_nobodys(portal: Portal, cell: Cell) -> None:
    """A link that was mailed in one account gets in nowhere else, and a session named with another account is refused."""
    other = Portal(cell)
    link = portal.link()
    with pytest.raises(Unauthenticated):
        by_link(other, link)
    assert portal.alice == by_link(portal, link).person_id


def test_saved_searches_are_kept_and_forgotten(portal: Portal) -> None:
    """Kept once under one idempotency key; shown to who keeps them; forgotten by them only, and then no key opens the words."""
    alice, bob = portal.customer(portal.alice), portal.customer(portal.bob)
    wanted = {"name": "Leaks", "words": "kettle leak"}
    first = portal.call("identity", "add_saved_search", wanted, alice, "once")
    assert first == portal.call("identity", "add_saved_search", wanted, alice, "once")
    portal.call("identity", "add_saved_search", {"name": "Burns", "words": "toaster"}, alice)
    listed = portal.call("identity", "list_saved_searches", None, alice).searches
    assert [("Leaks", "kettle leak"), ("Burns", "toaster")] == [(one.name, one.words) for one in listed]
    assert [] == portal.call("identity", "list_saved_searches", None, bob).searches
    with pytest.raises(NotFound):
        portal.call("identity", "remove_saved_search", {"search_id": first.search_id}, bob)
    assert [["Leaks", "kettle leak"]] == sealed_of(portal, first.search_id)
    portal.call("identity", "remove_saved_search", {"search_id": first.search_id}, alice)
    assert ["Burns"] == [one.name for one in portal.call("identity", "list_saved_searches", None, alice).searches]
    portal.settle()
    assert [[None, None], []] == sealed_of(portal, first.search_id)
    with pytest.raises(NotFound):
        portal.call("identity", "remove_saved_search", {"search_id": first.search_id}, alice)


def test_nothing_is_written_for_who_is_erased(portal: Portal) -> None:
    """After the cut no session begins, with a link from before, and no search is kept: the tombstone refuses it."""
    set_password(portal)
    link = portal.link()
    portal.call("erasure", "request_erasure", {"who": portal.alice, "reason": "asked"})
    for service in ("erasure",):
        portal.cell.sign(service)
    for one in portal.cell.deliveries(portal.account, ("erasure", "identity")):
        if one.service == "identity" and one.envelope.type == "erasure.SubjectErased":
            portal.cell.deliver(one)
    for call in (lambda: by_link(portal, link), lambda: by_password(portal)):
        with pytest.raises(Unauthenticated):
            call()
    with pytest.raises(PersonErased):
        argument = {"name": "Leaks", "words": "kettle"}
        portal.call("identity", "add_saved_search", argument, portal.customer(portal.alice))
    portal.gateway("ask_sign_in_link", address=ALICE)
    assert [] == portal.mails()


def test_no_event_of_the_portal_says_more_than_it_has_to() -> None:
    """Every string in an event of the portal is declared, and no event has a field for a credential."""
    fields = {field for kind in PORTAL_TYPES.values() for field in kind.__struct_fields__}
    assert not {one for one in fields if any(word in one for word in ("token", "password", "hash", "digest", "address"))}


def is_good(portal: Portal, token: str) -> bool:
    try:
        portal.authenticate(token)
    except Unauthenticated:
        return False
    return True


def sealed_of(portal: Portal, search_id: str) -> list[list[Any]]:
    """What is sealed in the events of a saved search, opened; None for what is pruned."""
    from tests.support.contacts import opened

    streams = opened(Cell(portal.cell.settings), "identity", portal.account)
    with portal.cell.store("identity").work(portal.account) as work:
        events = work.load(f"saved-search/{search_id}")
    values = iter(streams[f"saved-search/{search_id}"])
    return [[next(values) if part is not None else (next(values), None)[1] for part in one.sealed.values()] for one in events]
