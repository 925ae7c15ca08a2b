"""What a customer sees and does by RPC: what is theirs, by who they are, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.contacts.events import IdentifierShared
from services.contacts.queries import known_identifiers
from shared import clock
from shared.errors import NotFound, PermissionRefused, Unauthenticated
from shared.ids import new_id
from shared.rpc import Call
from shared.service import Service
from shared.tokens import Actor
from shared.work import Work
from tests.support.cell import Cell
from tests.support.portal import ALICE, BOB, Portal


@pytest.fixture
def portal(cell: Cell) -> Portal:
    return Portal(cell)


def test_a_requester_sees_the_whole_ticket_and_another_writer_their_own_messages(portal: Portal) -> None:
    """Alice sees all three messages of her ticket. Bob, who wrote in it once, sees that one message, under its own subject."""
    alice, bob = portal.customer(portal.alice), portal.customer(portal.bob)
    of_alice = portal.call("tickets", "show_own_ticket", {"ticket_id": portal.ticket_of_alice}, alice)
    assert ["My kettle leaks.", "Mine leaks as well.", "We send another."] == [
        one.text.strip() for one in of_alice.messages
    ]
    assert (True, "The kettle", 3) == (of_alice.ticket.is_requester, of_alice.ticket.subject, of_alice.ticket.messages)
    of_bob = portal.call("tickets", "show_own_ticket", {"ticket_id": portal.ticket_of_alice}, bob)
    assert ["Mine leaks as well."] == [one.text.strip() for one in of_bob.messages]
    assert (False, "Re: The kettle", 1) == (of_bob.ticket.is_requester, of_bob.ticket.subject, of_bob.ticket.messages)


def test_a_list_of_own_tickets_holds_those_and_no_others(portal: Portal) -> None:
    """Alice has one ticket; Bob has his own and the one that he wrote in, also one a page; somebody without messages has
    none."""

    def listed(person: str, **argument: object) -> list[tuple[str, bool]]:
        page = portal.call("tickets", "list_own_tickets", argument, portal.customer(person))
        return [(one.ticket_id, one.is_requester) for one in page.tickets]

    assert [(portal.ticket_of_alice, True)] == listed(portal.alice)
    both = listed(portal.bob)
    assert {(portal.ticket_of_alice, False), (portal.ticket_of_bob, True)} == set(both) and 2 == len(both)
    first = portal.call("tickets", "list_own_tickets", {"limit": 1}, portal.customer(portal.bob))
    assert both[0][0] == first.next_after
    assert both == [*listed(portal.bob, limit=1), *listed(portal.bob, limit=1, after=first.next_after)]
    assert [] == listed(new_id())


def test_what_is_not_theirs_is_not_there(portal: Portal) -> None:
    """Neither a ticket of somebody else, nor an attachment in it, nor one of another's message in a ticket that they only wrote
    in; the requester gets all of these."""
    alice, bob = portal.customer(portal.alice), portal.customer(portal.bob)
    with pytest.raises(NotFound):
        portal.call("tickets", "show_own_ticket", {"ticket_id": portal.ticket_of_bob}, alice)
    shown = portal.call("tickets", "show_own_ticket", {"ticket_id": portal.ticket_of_alice}, alice)
    by_alice, by_bob, _ = [{"blob_id": one.attachments[0].blob_id} for one in shown.messages]
    for blob in (by_alice, by_bob):
        assert b"Note of" in portal.call("tickets", "show_own_attachment", blob, alice).content
    assert b"Mine leaks" in portal.call("tickets", "show_own_attachment", by_bob, bob).content
    with pytest.raises(NotFound):
        portal.call("tickets", "show_own_attachment", by_alice, bob)


def test_a_profile_is_ones_own(portal: Portal) -> None:
    """Each customer is shown themselves, and a person whom nobody knows is shown nobody."""
    for person, address in ((portal.alice, ALICE), (portal.bob, BOB)):
        assert [address] == portal.call("contacts", "show_own_profile", None, portal.customer(person)).addresses
    with pytest.raises(NotFound):
        portal.call("contacts", "show_own_profile", None, portal.customer(new_id()))


def test_an_address_leads_to_the_one_person_who_has_it_alone(portal: Portal) -> None:
    """In any spelling of the same address; not where nobody has it, where it is the desk's, nor where two people share it."""

    def person(address: str) -> tuple[str | None, str | None]:
        answer = portal.call("contacts", "person_of_address", {"address": address})
        return answer.person_id, answer.address

    assert (portal.alice, ALICE) == person("  <Alice.Adams@EXAMPLE.org> ")
    for nobodys in ("nobody@example.org", "desk@kettles.example", "", "@", "alice.adams", "alice.adams@example.org\nbcc:x@y.z"):
        assert (None, None) == person(nobodys)
    share_address(portal, ALICE, portal.bob)
    assert (None, None) == person(ALICE)


def share_address(portal: Portal, address: str, person: str) -> None:
    """Makes somebody a further user of an address."""

    def decide(work: Work) -> None:
        known = known_identifiers(work, work.blind_index(), [("address", address)])["address", address]
        stream = f"identifier/{known.identifier_id}"
        work.share_item(known.identifier_id, person)
        shared = IdentifierShared(identifier_id=known.identifier_id, person_id=person)
        work.append(stream, work.versions_of([stream])[stream], [shared])

    portal.cell.store("contacts").run(portal.account, decide)


def test_a_customers_own_erasure_is_asked_for_and_claimed(portal: Portal) -> None:
    """Asked for by who they are; shown in their list while it runs; its certificate comes for the claim code, and for nothing
    else, when nobody is left who could sign in."""
    alice = portal.customer(portal.alice)
    requested = portal.call("erasure", "request_own_erasure", {}, alice)
    assert [portal.alice] == requested.person_ids and requested.claim_code
    (listed,) = portal.call("erasure", "list_own_erasures", {}, alice).requests
    assert (requested.request_id, "erasing") == (listed.request_id, listed.state)
    assert [] == portal.call("erasure", "list_own_erasures", {}, portal.customer(portal.bob)).requests
    claim = {"request_id": requested.request_id, "claim_code": requested.claim_code}
    assert ("erasing", None) == _claimed(portal, claim)
    portal.settle()
    state, document = _claimed(portal, claim)
    assert "completed" == state and document is not None and requested.request_id in document.decode()
    for wrong in ({"claim_code": requested.claim_code + "x"}, {"claim_code": "x"}, {"request_id": new_id()}):
        with pytest.raises(NotFound):
            _claimed(portal, claim | wrong)


def _claimed(portal: Portal, claim: dict[str, str]) -> tuple[str, bytes | None]:
    answer = portal.call("erasure", "claim_erasure", claim)
    return answer.state, answer.document


def test_who_works_for_the_account_is_not_erased_through_the_portal(portal: Portal) -> None:
    """A user who is a customer as well is erased by the account's owner and admins only (mission E5)."""
    portal.call("contacts", "add_user_person", {"address": "abe@kettles.example", "name": "Abe Agent"})
    operator = Actor(kind="operator", id=new_id(), role="operator")
    first = {"role": "owner", "name": "Olga", "login": "abe@kettles.example"}
    person = portal.call("identity", "add_user", first, operator).person_id
    with pytest.raises(PermissionRefused):
        portal.call("erasure", "request_own_erasure", {}, portal.customer(person))


def test_whoever_is_erased_here_is_nobody_any_more(portal: Portal) -> None:
    """From the cut on a service refuses the token of an erased customer, whatever it could show; one of somebody else it
    admits."""
    services: list[Service] = [portal.cell.service(name) for name in ("tickets", "contacts", "erasure", "identity")]

    def admitted(person: str) -> list[bool]:
        found = []
        for service in services:
            try:
                service.admit(_call(portal, person), allow_suspended=False)
                found.append(True)
            except Unauthenticated:
                found.append(False)
        return found

    assert [True] * 4 == admitted(portal.alice)
    portal.call("erasure", "request_own_erasure", {}, portal.customer(portal.alice))
    portal.settle()
    assert [False] * 4 == admitted(portal.alice)
    assert [True] * 4 == admitted(portal.bob)
    shown = portal.call("tickets", "show_own_ticket", {"ticket_id": portal.ticket_of_alice}, portal.customer(portal.bob))
    assert ["Mine leaks as well."] == [one.text.strip() for one in shown.messages]


def _call(portal: Portal, person: str) -> Call:
    return Call(
        actor=portal.customer(person), token="", account_id=portal.account, idempotency_key=None,
        deadline=clock.now() + timedelta(seconds=5), argument=None,
    )  # fmt: skip
