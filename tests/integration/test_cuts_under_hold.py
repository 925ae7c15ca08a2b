"""What is cut in spite of a legal hold is found in the log itself, by whoever verifies it (mission A2, E12)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from audit.export import export
from audit.verify import verify
from audit.verify_offline import verify_offline
from shared import clock
from shared.erasing import SubjectCut, erase_subject
from shared.ids import new_id
from shared.settings import ACCOUNT_SERVICES, Settings
from tests.support.asking import WHO, Asking
from tests.support.cell import Cell
from tests.support.databases import superuser


@pytest.fixture
def held(cell: Cell) -> Asking:
    """An account whose one person is under a hold, which every service has noted."""
    asking = Asking(cell)
    asked = {"who": WHO, "basis": "legal-claims", "reference": "file 12", "expires_at": clock.now() + timedelta(days=30)}
    asking.call("place_hold", asked)
    asking.settle()
    return asking


def test_a_cut_in_spite_of_a_hold_is_found(held: Asking) -> None:
    """Somebody who owns the database takes the hold out of its table and has the person erased, signed and journalled as any
    other: each log gives it away by itself, and names the event. Erasure's list of suppressions knows nothing of it either."""
    settings = held.cell.settings
    for service in ACCOUNT_SERVICES:
        as_attacker(settings, service, "DELETE FROM keys.hold WHERE account_id = %s", held.account)
        told = held.cell.logged(held.account, service)[-1]
        data = {"request_id": new_id(), "person_ids": [held.person]}
        envelope = msgspec.structs.replace(told, data=data)
        erase_subject(held.cell.store(service), held.cell.service(service).holdings, envelope)
        held.cell.sign(service)
    for service in ACCOUNT_SERVICES:
        cut = next(one for one in held.cell.logged(held.account, service) if one.type.endswith(".SubjectCut"))
        found = verify(settings, service, patience_seconds=1).findings
        unlisted = [("journal", None)] if service == "erasure" else []
        named = ("cut under hold", f"erasure/{cut.data['request_id']}")
        assert [*unlisted, named] == [(one.kind, one.stream) for one in found]
        assert found[-1].event_id == cut.event and held.person in found[-1].text


def test_a_held_persons_key_cut_under_another_name_is_found(
    held: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event that calls the key cut names somebody else, or an item: what is pruned says itself whose it was. An export
    gives it away as well."""
    settings, store = held.cell.settings, held.cell.store("contacts")
    theirs = [one for one in held.cell.logged(held.account, "contacts") if one.sealed]
    keys = sorted({field.key for one in theirs for field in one.sealed})
    cut = SubjectCut(request_id=new_id(), person_id=new_id(), keys=keys, shared_items=0)
    store.run(held.account, lambda work: work.append(f"erasure/{cut.request_id}", 0, [cut]))
    as_attacker(
        settings, "contacts",
        "UPDATE lethe.event SET sealed = array_fill(NULL::bytea, ARRAY[cardinality(sealed)])"
        " WHERE account_id = %s AND cardinality(sealed) > 0", held.account,
    )  # fmt: skip
    held.cell.sign("contacts")
    found = verify(settings, "contacts", patience_seconds=0).findings
    named = {one.event_id for one in found if one.kind == "cut under hold"}
    assert named >= {one.event for one in theirs}
    monkeypatch.setattr("audit.export.PATIENCE_SECONDS", 0.1)  # for the journal, which never hears of this cut
    export(settings, tmp_path / "export", services=["contacts"])
    (offline,) = verify_offline(tmp_path / "export", services=["contacts"])
    assert named == {one.event_id for one in offline.findings if one.kind == "cut under hold"}


def as_attacker(settings: Settings, service: str, sql: str, *values: Any) -> None:
    """A statement of somebody who owns the database, whom no trigger stops."""
    connection = superuser(settings, service)
    with connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(sql, values)
    connection.close()
