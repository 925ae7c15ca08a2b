"""What a certificate's check says of older copies."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from cli.certificate_commands import Verdict, second_stage
from shared import clock

GOOD = Verdict(holds=True, reason=None, service=None, request=None, participants=[])


@pytest.mark.parametrize(
    ("due", "ended", "said"),
    [
        (timedelta(hours=1), None, "Unrecoverable from any copy once the key epochs end, at the latest"),
        (timedelta(hours=-1), None, "That time is over, and that the key epochs ended is not known here"),
        (timedelta(hours=-1), timedelta(hours=-2), "it is unrecoverable from any copy: the key epochs ended"),
    ],
)
def test_whether_copies_still_open(due: timedelta, ended: timedelta | None, said: str) -> None:
    """Promised, overdue, or kept: what is overdue does not read as what is kept."""
    now = clock.now()
    verdict = msgspec.structs.replace(GOOD, unrecoverable_by=now + due, epoch_ended_at=None if ended is None else now + ended)
    assert said in second_stage(verdict)
