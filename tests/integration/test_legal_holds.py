"""Legal holds (mission E12): nothing of a held person is cut, an erasure waits, and goes on by itself when the hold ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import msgspec
import pytest

from audit.replay import replay
from audit.sources import DatabaseSource
from audit.trail import trail
from audit.trail_subjects import TrailSelection
from audit.verify import verify
from services.erasure.queries import addresses_of_request
from shared import clock, legal_holds
from shared.errors import Conflict, InvalidArgument, NotFound, Unavailable, UnderHold
from shared.ids import new_id
from shared.settings import ACCOUNT_SERVICES
from shared.tokens import Actor, service_actor
from tests.support.asking import WHO, Asking
from tests.support.cell import Cell
from tests.support.gate import Gate, Running

REFERENCE = "Regional court, file 12 C 345/26"
LATER = timedelta(days=30)
OTHER = "second@example.org"


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
    asking.cell.service("erasure").end_expired_holds()
    assert "held" == state_of(asking, request)
    later(timedelta(seconds=1))
    looks = [Running(on.service("erasure").end_expired_holds).start() for on in (asking.cell, replica)]
    for one in looks:
        one.result()
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


@pytest.mark.parametrize("first", ["hold", "request"])
def test_of_a_hold_and_a_request_at_once_one_knows_the_other(asking: Asking, turnstile: Gate, first: str) -> None:
    """One stands before its commit while the other begins, on another replica: either the hold is refused, or the request
    waits. Never is a person held whom the participants are told to erase."""
    replica = Cell(asking.cell.settings)
    if first == "hold":
        held = turnstile.hold(lambda: place(asking), "erasure")
        asked = Running(lambda: asking.ask(cell=replica)).start()
        assert not asked.thread.join(0.3) and not asked.is_over, "it waits for the one before it"
        held.release()
        assert "held" == state_of(asking, asked.result()[0])
    else:
        asks = turnstile.hold(lambda: asking.ask(), "erasure")
        placed = Running(lambda: asking.call("place_hold", placing(), cell=replica)).start()
        assert not placed.thread.join(0.3) and not placed.is_over
        request, _ = asks.release()
        with pytest.raises(Conflict):
            placed.result()
        assert "erasing" == state_of(asking, request)


@pytest.mark.parametrize("first", ["end", "hold"])
def test_a_hold_on_another_of_a_request_that_goes_on_is_not_lost(asking: Asking, turnstile: Gate, first: str) -> None:
    """A request for two waits for a hold on one. While that ends, the other one is held: the request waits on, or the hold is
    refused, whichever commits first."""
    asking.add(OTHER)
    hold, replica = place(asking), Cell(asking.cell.settings)
    request, _ = asking.ask(addresses=[OTHER])

    def end(cell: Cell) -> Any:
        return asking.call("release_hold", {"hold_id": hold}, cell=cell)

    def put(cell: Cell) -> Any:
        return asking.call("place_hold", placing(who=OTHER), cell=cell)

    one, other = (end, put) if first == "end" else (put, end)
    stands = turnstile.hold(lambda: one(asking.cell), "erasure")
    comes = Running(lambda: other(replica)).start()
    assert not comes.thread.join(0.3) and not comes.is_over
    stands.release()
    if first == "end":
        with pytest.raises(Conflict):
            comes.result()
    else:
        comes.result()
    asking.settle()
    assert ("completed" if first == "end" else "held") == state_of(asking, request)


def test_two_holds_of_one_request_that_end_at_once_let_it_go_on_once(asking: Asking, turnstile: Gate) -> None:
    """Neither end sees the other; still the later one tells the participants."""
    asking.add(OTHER)
    holds, replica = (place(asking), place(asking, who=OTHER)), Cell(asking.cell.settings)
    request, _ = asking.ask(addresses=[OTHER])
    stands = turnstile.hold(lambda: asking.call("release_hold", {"hold_id": holds[0]}), "erasure")
    comes = Running(lambda: asking.call("release_hold", {"hold_id": holds[1]}, cell=replica)).start()
    comes.thread.join(0.3)
    stands.release()
    comes.result()
    asking.settle()
    assert "completed" == state_of(asking, request)
    assert 1 == types_in(asking, "erasure").count("SubjectErased")


def test_a_cut_and_a_hold_at_once_stand_in_the_log_in_the_order_of_their_effect(asking: Asking, turnstile: Gate) -> None:
    """In a participant: a profile is deleted while the hold is being noted. Its key goes, or waits for the end of the hold."""
    for first in ("hold", "deletion"):
        one = Team(asking.cell)
        hold = place(one, who=one.login)
        (noting,) = [it for it in one.due() if it.service == "identity" and it.envelope.type == "erasure.HoldPlaced"]
        replica = Cell(asking.cell.settings)
        if first == "hold":
            stands = turnstile.hold(lambda: asking.cell.deliver(noting), "identity")  # noqa: B023
            comes = Running(lambda: one.delete(replica)).start()  # noqa: B023
        else:
            stands = turnstile.hold(lambda: one.delete(asking.cell), "identity")  # noqa: B023
            comes = Running(lambda: replica.deliver(noting)).start()  # noqa: B023
        assert not comes.thread.join(0.3) and not comes.is_over
        stands.release()
        comes.result()
        asking.cell.sign("identity")
        (deleted,) = [it for it in asking.cell.logged(one.account, "identity") if it.type == "identity.UserDeleted"]
        assert (first == "hold") == (deleted.data["keys"] == [])
        assert [] == verify(asking.cell.settings, "identity", patience_seconds=0).findings or first == "deletion"
        one.settle()
        one.call("release_hold", {"hold_id": hold})
        one.settle()
    check_logs(asking)


def test_in_whatever_order_it_arrives_a_released_person_is_erased(asking: Asking) -> None:
    """Placing, ending, and the erasing after it, doubled and shuffled: who is told to erase before the end of the hold refuses,
    and does it when it is told again."""
    random, refusals = Random(11), 0
    for _ in range(2):
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


def test_who_is_cut_already_is_not_noted_as_held(asking: Asking) -> None:
    """A participant promises nothing that it can't keep."""
    request, _ = asking.ask()
    asking.settle()
    hold = place(other := Asking(asking.cell))
    (placed,) = [one for one in other.due() if one.service == "contacts" and one.envelope.type == "erasure.HoldPlaced"]
    data = {**placed.envelope.data, "person_ids": [asking.person]}
    asking.cell.deliver(placed._replace(envelope=msgspec.structs.replace(placed.envelope, account=asking.account, data=data)))
    asking.settle()
    assert "PersonsHeld" not in types_in(asking, "contacts") and "completed" == state_of(asking, request)
    assert [] == other.call("show_hold", {"hold_id": hold}).noted_by


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


def test_what_is_deleted_during_a_hold_goes_when_it_ends(cell: Cell) -> None:
    """A profile, and an invitation that is withdrawn: off every screen at once; the key goes with the end of the last hold,
    with its entry in the journal. Nobody is told that they are held, and nobody else is kept from anything."""
    team = Team(cell)
    invited = team.identity("invite_user", {"role": "agent", "login": "ivo@example.org"})
    holds = [place(team, who=team.login), place(team, who=team.login), place(team, who="ivo@example.org")]
    team.settle()
    team.delete()
    team.identity("withdraw_invitation", {"invitation_id": invited.invitation_id})
    team.identity("invite_user", {"role": "agent", "login": "other@example.org"})
    team.settle()
    assert "former agent" == team.identity("show_user", {"user": team.agent}).name
    assert team.opens() and team.pruned() == 0
    for hold in (holds[0], holds[2]):
        team.call("release_hold", {"hold_id": hold})
    team.settle()
    assert team.opens(), "the other hold is still there"
    team.call("release_hold", {"hold_id": holds[1]})
    team.settle()
    assert not team.opens() and team.pruned() > 0
    cuts = [one.data["item_id"] for one in cell.logged(team.account, "identity") if one.type == "identity.KeptItemCut"]
    assert {team.agent, invited.invitation_id} == set(cuts)
    journal = (cell.settings.path("tiles", "identity") / "cut-journal.jsonl").read_text()
    assert all(item in journal for item in cuts)
    told = {one.type for one in trail(DatabaseSource(cell.settings), TrailSelection(person=team.agent_person)).entries}
    assert {"erasure.HoldPlaced", "erasure.HoldEnded", "identity.PersonsHeld", "identity.KeptItemCut"} <= told
    check_logs(team)


def test_a_crash_between_the_end_of_a_hold_and_the_journal_is_mended(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is cut with the commit; what follows is done by the next delivery."""
    team = Team(cell)
    hold = place(team, who=team.login)
    team.settle()
    team.delete()
    team.settle()
    team.call("release_hold", {"hold_id": hold})
    with monkeypatch.context() as patch:
        patch.setattr(legal_holds, "finish_cut", lambda *_: (_ for _ in ()).throw(Crashed()))
        (ending,) = [one for one in team.due() if one.service == "identity" and one.envelope.type == "erasure.HoldEnded"]
        with pytest.raises(Crashed):
            cell.deliver(ending)
    assert not team.opens() and team.pruned() == 0
    team.settle()
    assert team.pruned() > 0
    check_logs(team)


def test_what_a_person_came_to_be_known_by_meanwhile_is_suppressed_as_well(asking: Asking) -> None:
    """Contacts is asked anew when the hold ends: mail from an address that came later does not bring them back."""
    hold = place(asking)
    request, _ = asking.ask()
    asking.settle()
    asking.share(OTHER)
    asking.call("release_hold", {"hold_id": hold})
    with asking.cell.store("erasure").work(asking.account) as work:
        assert {WHO, OTHER} == set(addresses_of_request(work, request)), "by these it is looked for"
    asking.settle()
    assert "completed" == state_of(asking, request)
    identifiers = [{"kind": "address", "address": one} for one in (WHO, OTHER, "third@example.org")]
    answer = asking.call("check_suppressed", {"mails": [], "identifiers": identifiers}, service_actor("contacts"))
    assert [True, True, False] == [day is not None for day in answer.identifiers]
    check_logs(asking)


def test_who_is_not_held_does_not_wait_for_who_is(asking: Asking) -> None:
    """A request for two waits for the hold on one; the other one asks alone, is erased, and hears nothing of the first."""
    other = asking.add(OTHER)
    hold = place(asking)
    both, _ = asking.ask(addresses=[OTHER])
    customer = Actor(kind="customer", id=other, account_id=asking.account, role="customer")
    assert [("held", [])] == [(one.state, one.holds) for one in asking.call("list_own_erasures", {}, customer).requests]
    own = asking.call("request_own_erasure", {}, customer)
    assert own.request_id != both and own.claim_code
    asking.settle()
    assert ["completed", "held"] == [state_of(asking, own.request_id), state_of(asking, both)]
    asking.call("release_hold", {"hold_id": hold})
    asking.settle()
    assert "completed" == state_of(asking, both)
    check_logs(asking)


def test_who_has_the_claim_code_is_told_why_it_waits(asking: Asking) -> None:
    """On which basis, and until when; not for which matter."""
    place(asking)
    made = asking.call("request_erasure", {"who": WHO, "reason": "asked"})
    code = {"request_id": made.request_id, "claim_code": made.claim_code}
    claimed = asking.call("claim_erasure", code, service_actor("gateway"))
    assert ("held", ["legal-claims"]) == (claimed.state, [one.basis for one in claimed.holds])


def test_one_hold_that_can_not_be_ended_keeps_no_other(
    cell: Cell, later: Callable[[timedelta], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contacts fails for one account: its hold stays, and is tried again; the other account's ends."""
    one, other = Asking(cell), Asking(cell)
    requests = {}
    for each in (one, other):
        place(each)
        requests[each] = each.ask()[0]
        each.settle()
    later(LATER)
    known = cell.service("contacts").find_subjects

    def fails(call: Any) -> Any:
        if call.account_id == one.account:
            raise Unavailable()
        return known(call)

    fails.__rpc__ = known.__rpc__  # type: ignore[attr-defined]
    monkeypatch.setattr(cell.service("contacts"), "find_subjects", fails)
    cell.service("erasure").end_expired_holds()
    assert ["held", "erasing"] == [state_of(each, requests[each]) for each in (one, other)]
    monkeypatch.undo()


def test_a_hold_says_who_has_noted_it(asking: Asking) -> None:
    """Until a participant has, it cuts as before."""
    hold = place(asking)
    assert [] == asking.call("show_hold", {"hold_id": hold}).noted_by
    asking.settle()
    assert sorted(ACCOUNT_SERVICES) == asking.call("show_hold", {"hold_id": hold}).noted_by


class Team(Asking):
    """An account with an owner and an agent."""

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        operator = Actor(kind="operator", id="operator", account_id=None, role="operator")
        olga = {"role": "owner", "login": f"olga@{new_id()}.example", "name": "Olga"}
        added = cell.call(self.account, "identity", "add_user", olga, operator)
        self.owner = Actor(kind="user", id=added.user_id, account_id=self.account, role="owner")
        self.login = f"ben@{new_id()}.example"
        agent = self.identity("add_user", {"role": "agent", "login": self.login, "name": "Ben"})
        self.agent, self.agent_person = agent.user_id, agent.person_id

    def identity(self, method: str, argument: Any, cell: Cell | None = None) -> Any:
        return (cell or self.cell).call(self.account, "identity", method, argument, self.owner)

    def delete(self, cell: Cell | None = None) -> None:
        """Deletes the agent's profile."""
        self.identity("delete_user", {"user": self.agent}, cell)

    def opens(self) -> bool:
        """Whether the agent's profile can still be opened from the log."""
        with self.cell.store("identity").work(self.account) as work:
            return bool(work.item_keys([self.agent]))

    def pruned(self) -> int:
        """Sealed parts of the agent's events that are gone."""
        with self.cell.store("identity").work(self.account) as work:
            events = work.load(f"user/{self.agent}")
        return sum(part is None for one in events for part in one.sealed.values())


class Crashed(BaseException):
    """In the place of a process that ends."""


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
