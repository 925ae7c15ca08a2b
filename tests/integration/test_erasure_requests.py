"""The command that asks for an erasure, sent more than once: by a caller who got no answer, and by the broker after a crash."""

from __future__ import annotations

import pytest

from services.erasure.commands import ShowErasure
from shared.errors import NotFound
from tests.support.asking import Asking
from tests.support.cell import Cell
from tests.support.gate import Running


@pytest.fixture
def asking(cell: Cell) -> Asking:
    return Asking(cell)


def test_a_request_asked_again_under_its_key_is_the_same_also_when_the_person_is_gone(asking: Asking) -> None:
    """Who got no answer asks again under the same key and gets the same request, before the erasure and after it, though
    nobody knows the person any more. The claim code is told once."""
    request, told = asking.ask("first")
    assert told
    assert (request, False) == asking.ask("first")
    asking.settle()
    assert (request, False) == asking.ask("first")
    with pytest.raises(NotFound):
        asking.ask("second")
    shown = asking.cell.call(asking.account, "erasure", "list_erasures", {}, asking.owner).requests
    assert [(request, "completed")] == [(one.request_id, one.state) for one in shown]


def test_one_request_is_made_of_one_command_that_two_replicas_get_at_once(asking: Asking) -> None:
    """The same command under the same key on two replicas at the same time: one request, and one claim code."""
    replica = Cell(asking.cell.settings)
    for attempt in range(5):
        both = [
            Running(lambda on=on, key=f"at once {attempt}": asking.ask(key, on)).start()  # type: ignore[misc]
            for on in (asking.cell, replica)
        ]
        answers = [one.result() for one in both]
        assert 1 == len({request for request, _ in answers})
        assert sum(told for _, told in answers) == (1 if attempt == 0 else 0), "later keys get the open request"


def test_a_completed_request_shows_what_each_participant_said_also_what_the_broker_has_not_delivered(asking: Asking) -> None:
    """The broker went away with the receipts; a look at the participants completed the request meanwhile."""
    request, _ = asking.ask()
    while due := [one for one in asking.due() if not one.envelope.type.endswith(".ErasureReceipted")]:
        asking.delivered |= {one.envelope.event for one in due}
        for one in due:
            asking.cell.deliver(one)
    asking.cell.service("erasure")._complete(asking.account, request)
    asked = ShowErasure(request_id=request)
    shown = asking.call("show_erasure", asked)
    assert shown.state == "completed"
    assert {one.service: one.outcome for one in shown.participants} == {
        "contacts": "erased", "erasure": "nothing held", "identity": "nothing held", "lifecycle": "nothing held",
        "tickets": "nothing held",
    }  # fmt: skip
    asking.settle()
    assert asking.call("show_erasure", asked) == shown
