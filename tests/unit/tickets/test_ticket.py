"""Where a message belongs, and with whom it goes."""

from __future__ import annotations

from services.tickets.ticket import TicketState, open_for, place

TICKET, ALICE, BOB, MESSAGE = "ticket", "alice", "bob", "message"


def test_a_ticket_belongs_to_who_began_it() -> None:
    """The author of the first message is the requester; where the account wrote first, whom it wrote to."""
    assert open_for(TICKET, ALICE, False, BOB).requester_id == ALICE
    assert open_for(TICKET, None, True, BOB).requester_id == BOB
    assert open_for(TICKET, None, False, BOB).requester_id is None


def test_a_message_of_the_requester_and_the_answer_to_it_go_with_the_ticket() -> None:
    """Both are sealed under the ticket's key and belong to its person."""
    ticket = TicketState(TICKET, ALICE, 1)
    for author, outgoing in ((ALICE, False), (None, True)):
        placed = place(ticket, MESSAGE, author, outgoing)
        assert (placed.item_id, placed.owner_id) == (TICKET, ALICE)


def test_a_message_of_another_person_goes_with_that_person() -> None:
    """Erasing Alice leaves Bob's message in her ticket readable, and erasing Bob takes it out of hers."""
    placed = place(TicketState(TICKET, ALICE, 1), MESSAGE, BOB, False)
    assert (placed.item_id, placed.owner_id) == (MESSAGE, BOB)


def test_nothing_is_sealed_under_the_key_of_a_ticket_whose_person_is_gone() -> None:
    """After the requester's erasure the ticket's key has a tombstone; what comes in later has a key of its own."""
    gone = TicketState(TICKET, None, 3)
    for author, outgoing in ((BOB, False), (None, True), (None, False)):
        assert place(gone, MESSAGE, author, outgoing).item_id == MESSAGE
