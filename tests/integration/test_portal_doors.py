"""The doors of the portal: however many knock at once or again and again, all are told the same, and users are not held up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from threading import Event, Thread

import pytest

from services.identity import password as passwords
from services.identity.commands import Done
from services.identity.customer import LINK_LIFE, LINKS_AT_ONCE
from services.identity.login_delay import FREE_FAILURES_OF_A_SOURCE
from services.identity.password_handlers import Attempt, check_delay
from shared.errors import Busy, TooManyTries, Unauthenticated
from shared.ids import new_id
from shared.work import SYSTEM_ACTOR
from tests.support.cell import Cell
from tests.support.portal import ALICE, PASSWORD, Portal
from tests.support.together import at_once

NOBODY = "nobody@example.org"


def a_source() -> str:
    """An address from which nobody has come yet."""
    word = new_id()
    return f"2001:db8:{word[:4]}:{word[4:8]}::1"


def by_password(portal: Portal, source: str, address: str = ALICE, password: str = "not the one that they have") -> object:
    return portal.gateway("sign_in_by_password", address=address, password=password, source=source)


@pytest.mark.parametrize("address", [ALICE, NOBODY])
def test_links_that_are_asked_for_at_once_are_answered_alike(portal: Portal, address: str) -> None:
    """Of sixty at once at two replicas each gets the one answer, whether the address is a customer's or nobody's; and so many
    have an effect as may."""
    replica = Portal.__new__(Portal)
    replica.__dict__ = portal.__dict__ | {"cell": Cell(portal.cell.settings)}
    asks = [partial((portal, replica)[at % 2].gateway, "ask_sign_in_link", address=address) for at in range(60)]
    assert [Done()] * 60 == at_once(asks)
    assert LINKS_AT_ONCE == len(portal.events("PortalLinkAsked")) == portal.count("sign_in_link")
    assert (LINKS_AT_ONCE if address == ALICE else 0) == len(portal.mails())


@pytest.mark.parametrize("address", [ALICE, NOBODY])
def test_asking_again_and_again_fills_no_log(portal: Portal, later: Callable[[timedelta], None], address: str) -> None:
    """So many an hour with one address leave an event, in whichever spelling, and the answer does not tell; another address is
    heard meanwhile."""
    for _ in range(4):
        for at in range(LINKS_AT_ONCE + 3):
            assert Done() == portal.gateway("ask_sign_in_link", address=address.upper() if at % 2 else address)
        later(LINK_LIFE)
    assert 4 * LINKS_AT_ONCE == len(portal.events("PortalLinkAsked"))
    portal.gateway("ask_sign_in_link", address="somebody.else@example.org")
    assert 4 * LINKS_AT_ONCE + 1 == len(portal.events("PortalLinkAsked"))


def test_links_that_are_over_hold_up_nobody(portal: Portal, later: Callable[[timedelta], None]) -> None:
    """The first link after the others are over is mailed."""
    for _ in range(LINKS_AT_ONCE):
        portal.link()
    later(LINK_LIFE)
    assert portal.link()


def test_a_source_that_fails_at_many_addresses_waits(portal: Portal, later: Callable[[timedelta], None]) -> None:
    """With whatever address, known or not; another source does not, nor do users at the same source."""
    source = a_source()
    for at in range(FREE_FAILURES_OF_A_SOURCE + 1):
        later(timedelta(seconds=1))
        with pytest.raises(Unauthenticated):
            by_password(portal, source, ALICE if at == 7 else f"guess.{at}@example.org")
    for address in (ALICE, NOBODY):
        with pytest.raises(TooManyTries):
            by_password(portal, source, address)
    with pytest.raises(Unauthenticated):
        by_password(portal, a_source())
    store = portal.cell.store("identity")
    with store.work(SYSTEM_ACTOR) as work:
        check_delay(work, Attempt.of(store, "olga@kettles.example", source))


def test_customers_take_no_place_from_users(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    """While all places of the portal's passwords are taken, a customer is told `busy`, and a user's password is hashed."""
    monkeypatch.setattr(passwords.portal_hashing, "_patience_seconds", 0.2)
    portal.call("identity", "set_portal_password", {"new_password": PASSWORD}, portal.customer(portal.alice))
    taken, free = Event(), Event()

    def hold() -> None:
        taken.set()
        free.wait(30)

    holder = Thread(target=lambda: passwords.portal_hashing.run(hold))
    holder.start()
    try:
        assert taken.wait(10)
        with pytest.raises(Busy):
            by_password(portal, a_source(), password=PASSWORD)
        assert passwords.matches(passwords.hashed(PASSWORD), PASSWORD)
    finally:
        free.set()
        holder.join()
    assert portal.alice == by_password(portal, a_source(), password=PASSWORD).person_id  # type: ignore[attr-defined]
