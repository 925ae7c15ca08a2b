"""What `lethe keys status` says: since when copies could open something that was cut, and whether that is overdue."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cli.exit_status import UNAVAILABLE
from cli.keys_commands import EpochView, status_of
from cli.main import invoke
from shared import account_end, clock
from shared.rotation import rotate
from shared.settings import ACCOUNT_SERVICES, SERVICES, Settings
from tests.support.cell import Cell
from tests.support.databases import Template, fresh_home
from tests.support.ending import Ending
from tests.support.portal import ALICE


@pytest.fixture
def alone(
    superuser_url: str, template: Template, hashes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ending]:
    """One account in a cell in which nothing was ever cut."""
    monkeypatch.setattr(account_end, "PUBLISHED_SECONDS", 0.02)  # no relay runs here beside
    with fresh_home(tmp_path / "home", superuser_url, template=template) as settings:
        cell = Cell(settings)
        yield Ending(cell)
        cell.close()


def epochs(settings: Settings) -> dict[str, EpochView]:
    return {service: status_of(settings, service) for service in SERVICES}


def test_what_was_cut_is_due_a_day_later(
    alone: Ending, later: Callable[[timedelta], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A person's cut, and an account's end, of which the databases know nothing any more."""
    settings = alone.cell.settings
    assert not any(one.oldest_cut_in_epoch or one.rotate_by or one.is_overdue for one in epochs(settings).values())
    later(timedelta(hours=1))
    began = clock.now()
    alone.call("erasure", "request_erasure", {"who": ALICE, "reason": "asked"})
    alone.settle()
    assert began == epochs(settings)["tickets"].oldest_cut_in_epoch
    later(timedelta(hours=1))
    for service in SERVICES:
        rotate(settings, service)
    assert not any(one.oldest_cut_in_epoch for one in epochs(settings).values())
    later(timedelta(hours=1))
    ended = clock.now()
    alone.end()
    alone.settle()
    assert {} == alone.left()
    found = epochs(settings)
    assert {(ended, ended + timedelta(days=1), False)} == {
        (one.oldest_cut_in_epoch, one.rotate_by, one.is_overdue) for name, one in found.items() if name in ACCOUNT_SERVICES
    }
    assert 0 == invoke(["keys", "status"]) and "rotate by" in capsys.readouterr().out
    later(timedelta(days=1, seconds=1))
    assert set(ACCOUNT_SERVICES) == {name for name, one in epochs(settings).items() if one.is_overdue}
    assert 0 == invoke(["keys", "status"])
    said = capsys.readouterr()
    assert "OVERDUE" in said.out and "lethe keys rotate" in said.err
    assert set(ACCOUNT_SERVICES) == set(overdue_in_status(capsys))
    for service in SERVICES:
        rotate(settings, service)
    assert not any(one.is_overdue for one in epochs(settings).values()) and [] == overdue_in_status(capsys)


def overdue_in_status(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What `lethe status` says, of a stack that is down: this is to be known all the same."""
    assert UNAVAILABLE == invoke(["status", "--json"])
    found: list[str] = json.loads(capsys.readouterr().out)["keys_overdue"]
    assert UNAVAILABLE == invoke(["status"]) and bool(found) == ("lethe keys rotate" in capsys.readouterr().err)
    return found
