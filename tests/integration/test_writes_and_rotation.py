"""Keys rotate while writers write, on real databases: nothing is stranded under a root key that is gone, nobody waits in a
circle, and a rotation that crashed is completed by the next.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from services.contacts.events import PersonAdded, PersonNamed
from shared.ids import new_id
from shared.personal import ERASED, Erased
from shared.rotation import Rotated, rotate
from shared.settings import Settings
from shared.work import Work
from tests.support.cell import Cell
from tests.support.contacts import (
    LOCK_WAITS,
    Contacts,
    await_lock_wait,
    count,
    events,
    eventually,
)
from tests.support.gate import Gate, Running

CHECKOUT = Path(__file__).resolve().parents[2]


def test_a_rotation_waits_for_a_writer_and_takes_its_key_along(contacts: Contacts, turnstile: Gate) -> None:
    """A key that was minted under the old account key and is not committed yet is re-wrapped, not stranded."""
    first, second = contacts.person(), contacts.person()
    contacts.name(first)
    contacts.cut(first)  # so that the account gets a new key
    writer = turnstile.hold(lambda: contacts.name(second))
    rotation = Running(lambda: rotate(contacts.cell.settings, "contacts")).start()
    await_lock_wait(contacts.cell, "contacts", rotation)
    writer.release()
    rotation.result()
    assert ["Alice Adams"] == contacts.opened()[f"person/{second}"]


def test_a_writer_with_an_old_account_key_wraps_again_after_a_rotation(contacts: Contacts) -> None:
    """A replica that mints under an account key which a rotation has replaced is refused by the database, and mints anew."""
    first, second = contacts.person(), contacts.person()
    contacts.name(first)
    contacts.cut(first)
    assert contacts.store.keys.newest(contacts.account) is not None
    rotated = rotate(contacts.cell.settings, "contacts")
    assert rotated.accounts_rekeyed >= 1
    contacts.name(second)
    assert ["Alice Adams"] == contacts.opened()[f"person/{second}"]


def test_a_rotation_waits_for_an_account_that_is_being_opened(contacts: Contacts, turnstile: Gate) -> None:
    """The first key of a new account, under the old root and not committed yet, is not left behind when that root goes."""
    person = new_id()
    added = PersonAdded(person_id=person, origin="user")
    writer = turnstile.hold(
        lambda: contacts.run(
            lambda work: work.append(f"person/{person}", 0, [added, PersonNamed(person_id=person, name="Alice Adams")])
        )
    )
    rotation = Running(lambda: rotate(contacts.cell.settings, "contacts")).start()
    await_lock_wait(contacts.cell, "contacts", rotation)
    writer.release()
    rotation.result()
    assert ["Alice Adams"] == contacts.opened()[f"person/{person}"]


def test_an_account_that_is_opened_under_a_root_that_just_went_takes_the_next(
    contacts: Contacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that wrapped a new account's key before a rotation and stores it after it is told so, and wraps again."""
    person, keys = contacts.person(), contacts.store.keys
    made = keys.new_account_key
    rotated: list[Rotated] = []

    def slowly(account: str, generation: int) -> tuple[int, bytes, bytes]:
        wrapped = made(account, generation)
        if not rotated:
            rotated.append(rotate(contacts.cell.settings, "contacts"))
        return wrapped

    monkeypatch.setattr(keys, "new_account_key", slowly)
    contacts.name(person)
    assert rotated
    assert ["Alice Adams"] == contacts.opened()[f"person/{person}"]


def test_a_writer_that_holds_a_key_and_mints_another_does_not_deadlock_with_a_rotation(contacts: Contacts) -> None:
    """A writer holds an item's key while a rotation takes the account's; then it mints, which needs the account's key."""
    person, other = contacts.person(), contacts.person()
    identifier = contacts.identifier(person)
    contacts.name(other)
    contacts.cut(other)
    new = contacts.person()
    rotations: list[Running[Any]] = []

    def hold_then_mint(work: Work) -> None:
        work.item_key_for_writing(identifier, stream="", persons=())
        work.flush()
        if not rotations:
            rotations.append(Running(lambda: rotate(contacts.cell.settings, "contacts")).start())
            eventually(
                lambda: rotations[0].is_over or count(contacts.cell, "contacts", LOCK_WAITS) > 0, "the rotation's next step"
            )
        work.append(f"person/{new}", 1, [PersonNamed(person_id=new, name="Alice Adams")])

    contacts.run(hold_then_mint)
    rotations[0].result()
    assert ["Alice Adams"] == contacts.opened()[f"person/{new}"]
    assert ["a@example.org"] == contacts.opened()[f"identifier/{identifier}"]


def test_a_reader_between_whose_looks_a_rotation_falls_still_reads(
    contacts: Contacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item key and the account key over it are looked up at one moment: a rotation does not come between."""
    person, other = contacts.person(), contacts.person()
    contacts.name(person)
    contacts.name(other)
    contacts.cut(other)
    fetch = Work.fetch
    rotated: list[Rotated] = []

    def slowly(work: Work, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        rows = fetch(work, sql, values)
        if "item_key" in sql and not rotated:
            rotated.append(rotate(contacts.cell.settings, "contacts"))
        return rows

    reader = Cell(contacts.cell.settings)
    monkeypatch.setattr(Work, "fetch", slowly)
    assert ["Alice Adams"] == contacts.opened(reader)[f"person/{person}"]
    assert [1] == [one.accounts_rekeyed for one in rotated]


def test_what_was_flushed_is_committed(contacts: Contacts) -> None:
    """Rows that a unit of work sent early are committed with it, also where nothing comes after them."""
    person = new_id()

    def decide(work: Work) -> None:
        work.append(f"person/{person}", 0, [PersonAdded(person_id=person, origin="user")])
        work.flush()

    before = events(contacts)
    contacts.run(decide)
    assert before + 1 == events(contacts)


def test_writers_go_on_through_rotations_and_nothing_is_stranded(settings: Settings) -> None:
    """While two replicas write, mint and cut all the time, and open new accounts, three rotations end three epochs: no
    writer and no rotation fails, and every key that was not cut opens afterwards."""
    stop = threading.Event()

    def write() -> list[tuple[Contacts, int]]:
        done = []
        replica = Cell(settings)
        while not stop.is_set():
            contacts = Contacts(replica)
            people = [contacts.person() for _ in range(4)]
            for person in people:
                contacts.name(person)
            identifier = contacts.identifier(*people)
            for _ in range(3):
                contacts.spell(identifier, *people)
            doomed = contacts.person()
            contacts.name(doomed)
            contacts.cut(doomed)
            contacts.name(people[0])
            done.append((contacts, 9))
        return done

    writers = [Running(write).start() for _ in range(2)]
    try:
        for _ in range(3):
            rotate(settings, "contacts")
    finally:
        stop.set()
    written = [one for writer in writers for one in writer.result()]
    assert len(written) >= 2
    for contacts, names in written:
        values = [
            value
            for values in contacts.opened().values()
            for value in values
        ]
        assert names == sum(not isinstance(value, Erased) for value in values)
        assert 1 == sum(isinstance(value, Erased) for value in values)


@pytest.mark.parametrize("place", ["begun", "account", "dumped", "destroyed"])
def test_a_rotation_that_crashed_anywhere_is_completed_by_the_next(contacts: Contacts, place: str) -> None:
    """kill -9 at each failpoint of a rotation, then again: one root key is left, every living key opens, and what was cut does
    not open with the keys of a dump from before."""
    settings = contacts.cell.settings
    person, doomed = contacts.person(), contacts.person()
    contacts.name(person)
    contacts.name(doomed)
    contacts.cut(doomed)
    crashed = subprocess.run(
        [sys.executable, "-c", "from shared.rotation import rotate; from shared.settings import Settings;"
         " rotate(Settings.load(), 'contacts')"],
        cwd=CHECKOUT, env=_environment(settings, f"rotation.{place}"), check=False,
    )  # fmt: skip
    assert -9 == crashed.returncode
    rotated = rotate(settings, "contacts")
    roots = sorted(path.name for path in settings.path("root-keys", "contacts").glob("epoch-*.key"))
    assert [f"epoch-{rotated.epoch}.key"] == roots
    behind = "SELECT count(*) FROM keys.account_key WHERE epoch <> %s"
    assert 0 == count(contacts.cell, "contacts", behind, rotated.epoch)
    values = contacts.opened()
    assert ["Alice Adams"] == values[f"person/{person}"]
    assert [ERASED] == values[f"person/{doomed}"]
    contacts.name(person)


def _environment(settings: Settings, failpoint: str) -> dict[str, str]:
    return {**os.environ, "LETHE_HOME": str(settings.home), "LETHE_FAILPOINT": failpoint}
