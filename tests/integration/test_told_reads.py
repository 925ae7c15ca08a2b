"""Who saw what of a person is told to that person (GDPR Art. 15), and to nobody else: by users, by staff, in every service."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.identity.portal_commands import ToldRead
from shared import clock
from shared.errors import InvalidArgument
from shared.ids import new_id
from tests.integration.audit.audit_story import Story
from tests.support.cell import Cell
from tests.support.portal import ALICE


@pytest.fixture
def story(cell: Cell) -> Story:
    """Olga and Abe work for an account that Alice and Bob wrote to."""
    return Story(cell)


def told(story: Story, person: str, **query: Any) -> list[ToldRead]:
    """All pages of what a customer is told."""
    found: list[ToldRead] = []
    after: int | None = None
    while True:
        page = story.call("identity", "list_own_reads", {"after": after, **query}, story.customer(person))
        found += page.reads
        after = page.next_after
        if after is None:
            return found


def test_reads_by_an_agent_and_by_staff_are_told_to_whom_they_were_about(story: Story) -> None:
    """Alice is told of the agent's look at her ticket, in the role of an agent and for support, and of the staff member's
    look-up, for its purpose, each with its time; Bob, whose own ticket nobody looked at, is told of neither."""
    story.settle()
    before = {person: len(told(story, person)) for person in (story.alice, story.bob)}
    begun = clock.now()
    story.call("tickets", "messages_of", {"person_id": story.alice}, story.agent)
    story.call("contacts", "show_person", {"who": ALICE}, story.agent)
    story.look_up(ALICE)
    story.settle()
    of_alice = [one for one in told(story, story.alice) if one.at >= begun]
    assert {
        ("agent", "tickets", "messages_of", "data access"), ("agent", "contacts", "show_person", "support"),
        ("vendor staff", "contacts", "show_person", "incident"),
    } == {(one.by, one.service, one.method, one.purpose) for one in of_alice}  # fmt: skip
    assert 3 == len(of_alice) and len(told(story, story.alice)) == before[story.alice] + 3
    assert all(begun <= one.at <= clock.now() for one in of_alice)
    assert before[story.bob] == len(told(story, story.bob))


def test_a_reader_has_one_pseudonym_for_a_person_and_another_for_the_next(story: Story) -> None:
    """The agent is the same reader in two services, is not the owner, and is another one to Bob; no id of a reader is told."""
    for person, ticket in ((story.alice, story.ticket_of_alice), (story.bob, story.ticket_of_bob)):
        story.read_about(ticket)
        story.call("contacts", "show_person", {"who": person}, story.agent)
        story.read_about(ticket, story.owner)
    story.settle()

    def readers(person: str, role: str) -> set[str]:
        return {one.reader for one in told(story, person) if one.by == role}

    assert 1 == len(readers(story.alice, "agent")) == len(readers(story.bob, "agent")) == len(readers(story.alice, "owner"))
    assert {"tickets", "contacts"} == {one.service for one in told(story, story.alice) if one.by == "agent"}
    assert readers(story.alice, "agent").isdisjoint(readers(story.bob, "agent") | readers(story.alice, "owner"))
    said = repr(told(story, story.alice))
    for id_ in (story.agent.id, story.owner.id, story.bob, story.ticket_of_bob, story.ticket_of_alice):
        assert id_ not in said


def test_a_role_is_that_of_the_time_of_the_read(story: Story) -> None:
    """Who read as an agent and became an admin afterwards is told as an agent for the read before, as an admin after."""
    story.read_about(story.ticket_of_bob)
    story.settle()
    story.call("identity", "change_role", {"user": story.agent.id, "role": "admin"})
    story.read_about(story.ticket_of_bob)
    story.settle()
    assert ["agent", "admin"] == [one.by for one in told(story, story.bob) if one.method == "show_ticket"]


def test_pages_tell_each_read_once(story: Story) -> None:
    """Two at a time or all at once: the same reads, over the borders of services and of entries in the log."""
    for _ in range(3):
        story.read_about(story.ticket_of_alice)
        story.call("contacts", "show_person", {"who": ALICE}, story.agent)
    story.look_up(ALICE)
    story.settle()
    whole = told(story, story.alice)
    assert len(whole) >= 7 and whole == told(story, story.alice, limit=2) == told(story, story.alice, limit=1)


def test_the_account_tells_it_in_the_export_and_that_is_on_record(story: Story) -> None:
    """An agent who answers Alice's request for access gets what Alice is told, without any reader's id, and that is a read
    of Alice's data again. A customer can't ask about somebody, nor an agent as a customer."""
    story.read_about(story.ticket_of_alice)
    story.settle()
    asked = {"person_id": story.alice}
    page = story.call("identity", "list_told_reads", asked, story.agent)
    assert told(story, story.alice) == page.reads
    story.settle()
    last = told(story, story.alice)[-1]
    assert ("identity", "list_told_reads", "data access", "agent") == (last.service, last.method, last.purpose, last.by)
    assert [] == story.call("identity", "list_told_reads", {"person_id": new_id()}, story.agent).reads


def test_no_other_account_is_told(story: Story, cell: Cell) -> None:
    """The same ids asked for in another account lead to nothing."""
    story.read_about(story.ticket_of_alice)
    story.settle()
    other = Story(cell)
    assert told(story, story.alice) and [] == told(other, story.alice)


def test_what_is_read_after_the_fact_is_told_after_an_erasure_too(story: Story) -> None:
    """The record stays when the person is erased, as decision 14 says: the account can still tell how often it was looked."""
    story.read_about(story.ticket_of_alice)
    story.settle()
    count = len(told(story, story.alice))
    story.erase(ALICE)
    assert count <= len(story.call("identity", "list_told_reads", {"person_id": story.alice}).reads)


@pytest.mark.parametrize("after", [-1, 2**52 - 1, 2**52, "tickets"])
def test_a_place_that_is_none_is_refused(story: Story, after: object) -> None:
    """What no page can have ended with is an invalid argument, at the wire or in the service."""
    with pytest.raises((InvalidArgument, msgspec.ValidationError)):
        story.call("identity", "list_own_reads", {"after": after}, story.customer(story.alice))
