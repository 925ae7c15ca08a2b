"""The way through a log: a server that sends anything in any order is answered with findings, never with another error."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from audit.displacements import Displacements
from audit.event_checks import EventChecks
from audit.findings import Findings
from audit.log_rows import parse_row
from audit.log_walk import LogWalk
from audit.tile_check import SignedTree
from shared.checkpoint import Checkpoint
from shared.tile_writer import TileWriter
from shared.tiles import files_in
from tests.unit.audit.test_plain_rows import envelope, row

LAST = 2**63 - 1


@pytest.fixture
def findings() -> Findings:
    return Findings()


@pytest.fixture
def walk(tmp_path: Path, findings: Findings) -> LogWalk:
    """Through the log of `EVENTS`."""
    writer = TileWriter(tmp_path)
    writer.append([sha256(parse_row(row(one)).salted).digest() for one in EVENTS])
    tree = SignedTree(files_in(tmp_path), Checkpoint("test/log", writer.size, writer.root()), [], findings)
    displaced = Displacements(writer.size)
    return LogWalk(tree, EventChecks("tickets", findings, lambda: False), displaced, findings, lambda at: None)


EVENTS = [envelope(version=1) for _ in range(3)]
"""Each the first of its stream."""


def test_a_log_as_it_was_signed_has_nothing_to_find(walk: LogWalk, findings: Findings) -> None:
    """In the order of the indices: as many are checked as there are."""
    walk.take([row(one, at=at) for at, one in enumerate(EVENTS)])
    assert walk.finish()
    assert ([], 3, 3) == (findings.kept, walk.checked, walk.position)


def test_a_row_with_the_highest_index_is_a_finding_and_so_is_what_follows(walk: LogWalk, findings: Findings) -> None:
    """No number of a row leads to where no finding is."""
    walk.take([row(EVENTS[0], at=0), row(EVENTS[1], at=LAST), row(EVENTS[2], at=1), row(EVENTS[2], at=-(2**63))])
    assert ["the log has this index twice"] * 2 == [one.text for one in findings.kept if one.index in (1, -(2**63))]
