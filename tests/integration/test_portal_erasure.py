"""A customer goes with all that they have in the portal (mission E1), and by their own wish to the same effect (E2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from audit.replay import replay
from audit.verify import verify
from services.identity.holdings import HOLDINGS
from shared.errors import LetheError, PersonErased, Unauthenticated
from shared.ids import new_id
from shared.settings import ACCOUNT_SERVICES
from shared.tokens import Actor
from tests.support.cell import Cell
from tests.support.cell_session import canonical
from tests.support.portal import ALICE, BOB, PASSWORD, SOURCE, AnApp, Portal

TABLES = (
    "customer", "saved_search", "app_grant", "sign_in_link", "portal_password", "portal_session", "app_code", "app_token",
    "lethe.outgoing_mail",
)  # fmt: skip
"""All tables of identity with rows of customers: a new one that is not named here fails a test."""


class Customer:
    """One of everything that a customer can have: credentials that open something, and what is under way."""

    def __init__(self, portal: Portal, app: AnApp, person: str, address: str) -> None:
        self.portal, self.app, self.person, self.address = portal, app, person, address
        actor = portal.customer(person)
        password = {"new_password": PASSWORD}
        portal.gateway("sign_in_by_link", link_token=portal.link(address), source=SOURCE)
        portal.call("identity", "set_portal_password", password, actor)
        self.session = portal.sign_in(address)
        portal.call("identity", "add_saved_search", {"name": f"Of {address}", "words": f"kettle {address}"}, actor)
        self.tokens = app.tokens(person)
        self.code = app.code(person)
        self.link = portal.link(address)

    def ask_for_another_link(self) -> None:
        """Its mail waits to be sent."""
        self.portal.gateway("ask_sign_in_link", address=self.address)

    def ways_in(self) -> dict[str, Callable[[], Any]]:
        """How they, or somebody with their credentials, would get in or at something."""
        portal, actor = self.portal, self.portal.customer(self.person)
        return {
            "session": lambda: portal.authenticate(self.session),
            "access token": lambda: portal.authenticate(self.tokens["access_token"]),
            "password": lambda: portal.gateway(
                "sign_in_by_password", address=self.address, password=PASSWORD, source=SOURCE
            ),
            "search": lambda: found(portal.call("identity", "list_saved_searches", None, actor).searches),
            "grants": lambda: found(portal.call("identity", "list_own_app_grants", None, actor).grants),
            "code": lambda: served(self.app.exchange(*self.code)),
            "refresh token": lambda: served(self.app.refresh(self.tokens["refresh_token"])),
            "link": lambda: portal.gateway("sign_in_by_link", link_token=self.link, source=SOURCE),
        }

    def open_ways(self) -> set[str]:
        """Those that lead somewhere. Using them may use them up."""
        return {name for name, way in self.ways_in().items() if not isinstance(outcome(way), LetheError)}


def found(things: list[Any]) -> list[Any]:
    if not things:
        raise Unauthenticated()
    return things


def served(answer: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    if answer[0] != 200:
        raise Unauthenticated()
    return answer[1]


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except LetheError as error:
        return error


@pytest.fixture
def app(portal: Portal) -> AnApp:
    return AnApp.registered(portal)


def test_every_way_in_is_open_before_and_closed_after(portal: Portal, app: AnApp, cell: Cell) -> None:
    """Of two customers with one of everything, one is erased: each of the ways in that is open to the other, and was open to
    them, is closed, each kind of row is gone, and nothing sealed of them opens. The mail under way is not sent."""
    elsewhere = Portal(cell)
    control = Customer(elsewhere, AnApp.registered(elsewhere), elsewhere.alice, ALICE)
    assert set(control.ways_in()) == control.open_ways(), "each of them is open to who is not erased"
    alice, bob = Customer(portal, app, portal.alice, ALICE), Customer(portal, app, portal.bob, BOB)
    alice.ask_for_another_link()
    bob.ask_for_another_link()
    for table in TABLES:
        assert 0 < portal.count(table, portal.alice), table
    request = portal.call("erasure", "request_erasure", {"who": portal.alice, "reason": "asked"}).request_id
    portal.settle()
    assert [0] * len(TABLES) == [portal.count(table, portal.alice) for table in TABLES]
    assert all(portal.count(table, portal.bob) for table in TABLES)
    assert [BOB] == [one.to for one in portal.mails()]
    assert set() == alice.open_ways()
    assert set(bob.ways_in()) == bob.open_ways()
    assert "completed" == portal.call("erasure", "show_erasure", {"request_id": request}).state
    assert not opened_of(portal, portal.alice) and opened_of(portal, portal.bob)


def test_the_receipt_counts_and_the_probe_finds_each_kind(portal: Portal, app: AnApp) -> None:
    """The preview names each kind of row of a customer; so does the probe, which finds nothing once they are gone, but does
    find a digest that still leads somewhere."""
    Customer(portal, app, portal.alice, ALICE).ask_for_another_link()
    kinds = {
        "customers", "saved searches", "grants to apps", "sign-in links", "portal passwords", "portal sessions",
        "codes for apps", "tokens of apps", "outgoing mails",
    }  # fmt: skip
    store = portal.cell.store("identity")
    with store.work(portal.account) as work:
        inventory = HOLDINGS.inventory(work, [portal.alice])
        assert kinds == {kind for kind, count in HOLDINGS.count(work, [portal.alice]).items() if count}
        traces = HOLDINGS.traces(work, [portal.alice], [ALICE], inventory)
    assert kinds | {"routes of credentials"} == set(traces)
    portal.call("erasure", "request_erasure", {"who": portal.alice, "reason": "asked"})
    portal.settle()
    with store.work(portal.account) as work:
        assert {} == HOLDINGS.traces(work, [portal.alice], [ALICE], inventory)
        work.change("SELECT lethe.add_credential_route(decode(%s, 'hex'))", (inventory[0],))
    with store.work(portal.account) as work:
        assert {"routes of credentials": 1} == HOLDINGS.traces(work, [portal.alice], [ALICE], inventory)
        work.change("SELECT lethe.remove_credential_routes(ARRAY[decode(%s, 'hex')])", (inventory[0],))


def test_the_rows_are_what_the_log_says_and_the_log_explains_itself(portal: Portal, app: AnApp) -> None:
    """Customers, searches, apps and grants, some of them ended, and a customer erased: a replay of identity's log makes the
    same rows, and nothing of what is pruned in it is without an event that says which key was cut."""
    Customer(portal, app, portal.alice, ALICE)
    bob = Customer(portal, app, portal.bob, BOB)
    actor = portal.customer(portal.bob)
    kept = portal.call("identity", "add_saved_search", {"name": "Not for long", "words": "toaster"}, actor)
    portal.call("identity", "remove_saved_search", {"search_id": kept.search_id}, actor)
    bob.app.refresh("made-up")
    (grant,) = portal.call("identity", "list_own_app_grants", None, actor).grants
    portal.call("identity", "end_own_app_grant", {"grant_id": grant.grant_id}, actor)
    portal.call("identity", "remove_app", {"app_id": AnApp.registered(portal).app_id})
    portal.call("erasure", "request_own_erasure", {}, portal.customer(portal.alice))
    portal.settle()
    assert portal.count("customer") and portal.count("saved_search") and portal.call("identity", "list_apps").apps
    result = replay(portal.cell.settings, "identity")
    assert result.equal, [table for table in result.tables if table.differing]
    assert [] == verify(portal.cell.settings, "identity").findings
    journal = portal.cell.settings.path("tiles", "identity") / "cut-journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    (search,) = [number for number, line in enumerate(lines) if kept.search_id.encode() in line]
    journal.write_bytes(b"".join(lines[:search]))
    lacking = [one.text for one in verify(portal.cell.settings, "identity", patience_seconds=0.2).findings]
    assert [True] == [kept.search_id in one for one in lacking if "an item was cut" in one], lacking


def test_the_right_of_access_shows_what_is_there(portal: Portal, app: AnApp) -> None:
    """An agent is shown when a customer came, their sessions and searches, and which app acts for them; of somebody who never
    signed in, nothing; and the look is on record."""
    Customer(portal, app, portal.alice, ALICE)
    agent = Actor(kind="user", id=new_id(), account_id=portal.account, role="agent")
    shown = portal.call("identity", "show_customer", {"person_id": portal.alice}, agent)
    assert shown.since is not None and {SOURCE} == {one.source for one in shown.sessions}
    assert [f"kettle {ALICE}"] == [one.words for one in shown.saved_searches]
    assert ["The Kettle App"] == [one.app_name for one in shown.app_grants]
    nothing = portal.call("identity", "show_customer", {"person_id": portal.bob}, agent)
    assert (None, [], [], []) == (nothing.since, nothing.sessions, nothing.saved_searches, nothing.app_grants)


def test_no_table_of_customers_is_forgotten(portal: Portal) -> None:
    """Each table of identity with a person is one that these tests, or those of users, look into."""
    of_users = {"app_user", "password", "session", "challenge", "api_token", "second_factor", "recovery_code"}
    of_users |= {"invitation", "link"}
    with portal.cell.store("identity").work(portal.account) as work:
        rows = work.fetch(
            "SELECT table_name FROM information_schema.columns WHERE table_schema = 'lethe' AND column_name = 'person_id'"
        )
    assert {name for (name,) in rows} == of_users | {one.removeprefix("lethe.") for one in TABLES}


def test_by_their_own_wish_the_effect_is_the_same(cell: Cell) -> None:
    """The same account twice. In one an agent erases Alice, in the other she does it in the portal: all participants give the
    same receipts, and the canonical exports are alike to the letter, but for ids and times, and not those of before."""
    exports, receipts = [], []
    for own in (False, True):
        portal = Portal(cell)
        Customer(portal, AnApp.registered(portal), portal.alice, ALICE).ask_for_another_link()
        before = plain(portal, canonical(cell, portal.account))
        if own:
            portal.call("erasure", "request_own_erasure", {"reason": "I want to go."}, portal.customer(portal.alice))
        else:
            portal.call("erasure", "request_erasure", {"who": ALICE, "reason": "She asked."})
        portal.settle()
        (shown,) = portal.call("erasure", "list_erasures", {}).requests
        assert ("completed", [portal.alice]) == (shown.state, shown.person_ids)
        receipts.append({one.service: (one.outcome, one.counts, one.retained, one.traces) for one in shown.participants})
        exports.append(plain(portal, canonical(cell, portal.account)))
        assert before != exports[-1] and ALICE in before and ALICE not in exports[-1]
    assert receipts[0] == receipts[1]
    assert set(ACCOUNT_SERVICES) == set(receipts[0])
    assert exports[0] == exports[1]


def test_who_is_erased_begins_anew_and_alone(portal: Portal) -> None:
    """A link that is asked for after the erasure goes to nobody, and a write for the person is refused."""
    portal.sign_in()
    portal.call("erasure", "request_own_erasure", {}, portal.customer(portal.alice))
    portal.settle()
    portal.gateway("ask_sign_in_link", address=ALICE)
    assert [] == portal.mails()
    with pytest.raises(PersonErased):
        argument = {"new_password": PASSWORD}
        portal.call("identity", "set_portal_password", argument, portal.customer(portal.alice))


def opened_of(portal: Portal, person: str) -> list[Any]:
    """What opens, in a fresh process, of what identity has sealed under items of a person: in events."""
    from tests.support.contacts import opened

    streams = opened(Cell(portal.cell.settings), "identity", portal.account)
    return [one for one in streams.get(f"portal/{person}", []) if isinstance(one, str)]


def plain(portal: Portal, export: bytes) -> str:
    """An export without what differs between two accounts of the same story: ids, by the order of their coming, and times."""
    seen: dict[str, str] = {}
    text = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z?", "<time>", export.decode())
    return re.sub(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", lambda match: seen.setdefault(match[0], f"<id {len(seen)}>"), text
    )
