"""Legal holds (mission E12): nothing of a held person is cut, an erasure waits, and goes on by itself when the hold ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import msgspec
import pytest

from audit.replay import replay
from audit.verify import verify
from services.erasure.hold_handlers import end_expired_holds
from shared import clock
from shared.errors import Conflict, InvalidArgument, LetheError, NotFound, UnderHold
from shared.ids import new_id
from shared.settings import ACCOUNT_SERVICES
from shared.tokens import Actor
from tests.support.asking import WHO, Asking
from tests.support.cell import Cell
from tests.support.gate import Running

REFERENCE = "Regional court, file 12 C 345/26"
LATER = timedelta(days=30)


@pytest.fixture
def asking(cell: Cell) -> Asking:
    return Asking(cell)


def placing(**changed: Any) -> dict[str, Any]:
    made = {"who": WHO, "basis": "legal-claims", "reference": REFERENCE, "expires_at": clock.now() + LATER}
    return {**made, **changed}


def place(asking: Asking, **changed: Any) -> str:
    placed: str = asking.call("place_hold", placing(**changed)).hold_id
    return placed


def state_of(asking: Asking, request: str) -> str:
    state: str = asking.call("show_erasure", {"request_id": request}).state
    return state


def types_in(asking: Asking, service: str) -> list[str]:
    return [one.type.partition(".")[2] for one in asking.cell.logged(asking.account, service)]


def is_known(asking: Asking) -> bool:
    try:
        asking.cell.call(asking.account, "contacts", "show_person", {"who": asking.person}, asking.owner)
    except NotFound:
        return False
    return True


def check_logs(asking: Asking) -> None:
    """Every log is whole, and its read models are what a replay makes of it."""
    settings = asking.cell.settings
    for service in ACCOUNT_SERVICES:
        assert [] == verify(settings, service, patience_seconds=1).findings
        result = replay(settings, service, patience_seconds=0.5)
        assert result.equal, [(one.table, one.differences) for one in result.tables if one.differing]


def test_a_request_waits_for_the_hold_and_goes_on_when_it_is_released(asking: Asking) -> None:
    """While it is held nobody is told and nothing is cut; what keeps the person stands in preview and request. After the
    release it runs to its certificate, and the hold's reference opens nowhere any more."""
    hold = place(asking)
    asking.settle()
    preview = asking.call("preview_erasure", {"who": WHO})
    assert [(hold, "legal-claims")] == [(one.hold_id, one.basis) for one in preview.holds]
    assert "Art. 17(3)(e)" in preview.holds[0].article
    request, told = asking.ask()
    asking.settle()
    shown = asking.call("show_erasure", {"request_id": request})
    assert told and ("held", [hold]) == (shown.state, [one.hold_id for one in shown.holds])
    assert {"pending"} == {one.outcome for one in shown.participants}
    assert is_known(asking)
    for service in ACCOUNT_SERVICES:
        assert "PersonsHeld" in types_in(asking, service) and "SubjectCut" not in types_in(asking, service)
    (listed,) = asking.call("list_holds", {}).holds
    assert (REFERENCE, [request], None) == (listed.reference, listed.requests, listed.ended_at)

    released = asking.call("release_hold", {"hold_id": hold})
    assert ("released", None, []) == (released.end, released.reference, released.requests)
    asking.settle()
    assert "completed" == state_of(asking, request) and not is_known(asking)
    assert [] == asking.call("show_erasure", {"request_id": request}).holds
    assert asking.call("show_certificate", {"request_id": request}).document
    assert [] == asking.call("list_holds", {}).holds
    assert [hold] == [one.hold_id for one in asking.call("list_holds", {"include_ended": True}).holds]
    for service in ACCOUNT_SERVICES:
        types = types_in(asking, service)
        assert types.index("PersonsHeld") < types.index("PersonsReleased") < types.index("SubjectCut")
    check_logs(asking)


def test_a_hold_ends_by_itself_when_its_time_is_over(asking: Asking, later: Callable[[timedelta], None]) -> None:
    """Not before, and once, however many replicas look."""
    hold = place(asking)
    request, _ = asking.ask()
    replica = Cell(asking.cell.settings)
    later(LATER - timedelta(seconds=1))
    assert 0 == end_expired_holds(asking.cell.store("erasure"))
    assert "held" == state_of(asking, request)
    later(timedelta(seconds=1))
    looks = [Running(lambda on=on: end_expired_holds(on.store("erasure"))).start() for on in (asking.cell, replica)]  # type: ignore[misc]
    assert 1 == sum(one.result() for one in looks)
    assert "expired" == asking.call("show_hold", {"hold_id": hold}).end
    assert "erasing" == state_of(asking, request)
    asking.settle()
    assert 1 == types_in(asking, "erasure").count("HoldEnded")


def test_a_request_waits_for_the_last_of_several_holds(asking: Asking) -> None:
    """Ending one of two changes nothing for the person; ending one twice changes nothing at all."""
    first, second = place(asking), place(asking, basis="legal-obligation")
    request, _ = asking.ask()
    for _ in range(2):
        asking.call("release_hold", {"hold_id": first})
    asking.settle()
    assert "held" == state_of(asking, request) and is_known(asking)
    third = place(asking)
    asking.call("release_hold", {"hold_id": second})
    assert "held" == state_of(asking, request)
    asking.call("release_hold", {"hold_id": third})
    asking.settle()
    assert "completed" == state_of(asking, request)
    assert 3 == types_in(asking, "erasure").count("HoldEnded")


def test_what_may_be_cut_already_can_not_be_held(asking: Asking) -> None:
    """From the moment on in which the participants are told. Somebody who is erased is not known any more."""
    request, _ = asking.ask()
    with pytest.raises(Conflict) as refused:
        place(asking)
    assert {"request_id": request} == refused.value.details
    asking.settle()
    with pytest.raises(NotFound):
        place(asking)


def test_a_held_request_is_one_request_and_can_not_be_hurried(asking: Asking) -> None:
    """Asked again it is the same; trying it again says why not."""
    place(asking)
    request, told = asking.ask()
    assert (request, False) == asking.ask() and told
    with pytest.raises(UnderHold):
        asking.call("retry_erasure", {"request_id": request})


def test_of_a_hold_and_a_request_at_once_one_knows_the_other(asking: Asking) -> None:
    """Either the hold is refused, or the request waits: never is a person held whom the participants are told to erase."""
    for _ in range(8):
        one, replica = Asking(asking.cell), Cell(asking.cell.settings)
        held = Running(lambda: outcome(lambda: place(one))).start()  # noqa: B023
        asked = Running(lambda: one.ask(cell=replica)).start()  # noqa: B023
        is_held, (request, _) = not isinstance(held.result(), LetheError), asked.result()
        assert ("held" if is_held else "erasing") == state_of(one, request)


def outcome(of: Callable[[], Any]) -> Any:
    try:
        return of()
    except Conflict as error:
        return error


def test_in_whatever_order_it_arrives_a_released_person_is_erased(asking: Asking) -> None:
    """Placing, ending, and the erasing after it, doubled and shuffled: who is told to erase before the end of the hold refuses,
    and does it when it is told again."""
    random, refusals = Random(11), 0
    for _ in range(4):
        one = Asking(asking.cell)
        hold = place(one)
        request, _ = one.ask()
        one.call("release_hold", {"hold_id": hold})
        while due := one.due():
            waiting = due * 2
            random.shuffle(waiting)
            for delivery in [*waiting, *due]:
                try:
                    one.cell.deliver(delivery)
                except UnderHold:
                    refusals += 1
            for delivery in due:
                one.cell.deliver(delivery)
            one.delivered |= {delivery.envelope.event for delivery in due}
        assert "completed" == state_of(one, request)
    assert refusals > 0, "no order was tried in which the erasing came first"
    check_logs(asking)


def test_a_held_person_is_not_cut_even_where_a_participant_is_told_to(asking: Asking) -> None:
    """The database of each participant refuses by itself: an erasure that never should have been told cuts nothing."""
    asking.ask()
    told = [one for one in asking.due() if one.envelope.type == "erasure.SubjectErased"]
    forged = Asking(asking.cell)
    place(forged)
    forged.settle()
    for delivery in told:
        data = {"request_id": new_id(), "person_ids": [forged.person]}
        envelope = msgspec.structs.replace(delivery.envelope, account=forged.account, data=data)
        with pytest.raises(UnderHold):
            forged.cell.deliver(delivery._replace(envelope=envelope))
    assert is_known(forged)
    assert len(told) == len(ACCOUNT_SERVICES)


def test_what_is_asked_of_a_hold_is_checked(asking: Asking) -> None:
    """An end in the future and within ten years; no identifier in the reference, which is sealed and found by no erasure."""
    for wrong in (
        {"expires_at": clock.now() - timedelta(seconds=1)}, {"expires_at": clock.now() + timedelta(days=3654)},
        {"reference": f"letter of {WHO}"},
    ):  # fmt: skip
        with pytest.raises(InvalidArgument) as refused:
            place(asking, **wrong)
        assert refused.value.field == next(iter(wrong))
    with pytest.raises(NotFound):
        place(asking, who="nobody@example.org")
    for asked in ("show_hold", "release_hold"):
        with pytest.raises(NotFound):
            asking.call(asked, {"hold_id": new_id()})
    assert [] == asking.call("list_holds", {"include_ended": True}).holds


def test_a_hold_is_placed_once_under_its_key(asking: Asking) -> None:
    """Who got no answer asks again; another hold under that key is a conflict."""
    asked = placing()
    first = asking.call("place_hold", asked, key="one")
    assert first == asking.call("place_hold", asked, key="one")
    with pytest.raises(Conflict):
        asking.call("place_hold", {**asked, "basis": "archiving"}, key="one")


def test_holds_come_in_pages(asking: Asking) -> None:
    """The newest first, each once."""
    placed = [place(asking) for _ in range(5)]
    found, after = [], None
    while True:
        page = asking.call("list_holds", {"limit": 2, "after": after})
        found += [one.hold_id for one in page.holds]
        after = page.next_after
        if after is None:
            break
    assert placed[::-1] == found


def test_the_reference_is_nowhere_readable(asking: Asking) -> None:
    """It is sealed in the log, and cut and pruned with the hold's end: the cut journal has the hold's item."""
    hold = place(asking)
    asking.settle()
    placed = next(one for one in asking.cell.logged(asking.account, "erasure") if one.type == "erasure.HoldPlaced")
    assert ["reference"] == [field.field for field in placed.sealed] and hold == placed.sealed[0].item
    pruned = verify(asking.cell.settings, "erasure", patience_seconds=1).pruned
    asking.call("release_hold", {"hold_id": hold})
    asking.settle()
    journal = asking.cell.settings.path("tiles", "erasure") / "cut-journal.jsonl"
    assert hold in journal.read_text()
    assert pruned + 1 == verify(asking.cell.settings, "erasure", patience_seconds=1).pruned


def test_whose_profile_is_held_can_not_be_deleted_either(asking: Asking) -> None:
    """A user's profile is their person's: a hold keeps it from being deleted, and lets go of it."""
    account, owner = asking.account, asking.owner

    def identity(method: str, argument: Any) -> Any:
        return asking.cell.call(account, "identity", method, argument, owner)

    made = asking.cell.call(
        account, "identity", "add_user", {"role": "owner", "login": "ola@example.org", "name": "Ola"},
        Actor(kind="operator", id="operator", account_id=None, role="operator"),
    )  # fmt: skip
    owner = Actor(kind="user", id=made.user_id, account_id=account, role="owner")
    agent = identity("add_user", {"role": "agent", "login": "ben@example.org", "name": "Ben"}).user_id
    hold = place(asking, who="ben@example.org")
    asking.settle()
    with pytest.raises(UnderHold):
        identity("delete_user", {"user": agent})
    assert "Ben" == identity("show_user", {"user": agent}).name
    asking.call("release_hold", {"hold_id": hold})
    asking.settle()
    identity("delete_user", {"user": agent})
    asking.settle()
    check_logs(asking)


def test_agents_see_that_somebody_is_held_and_not_for_which_matter(asking: Asking) -> None:
    """Placing, ending and the reference are for those who manage the account."""
    place(asking)
    request, _ = asking.ask()
    agent = Actor(kind="user", id=new_id(), account_id=asking.account, role="agent")
    declared = {
        name: getattr(asking.cell.service("erasure"), name).__rpc__.roles
        for name in ("place_hold", "release_hold", "show_hold", "list_holds")
    }
    assert {frozenset({"owner", "admin"})} == set(declared.values())
    shown = asking.call("show_erasure", {"request_id": request}, agent)
    assert "held" == shown.state and not hasattr(shown.holds[0], "reference")
