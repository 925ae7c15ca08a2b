"""Each kind of error ends the program with the number that the command line promises."""

from __future__ import annotations

import pytest

from cli.exit_status import INTERRUPTED, exit_status_of
from cli.main import explain, invoke
from deploy.stack import Stack
from shared import errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Refused("no"), 1),
        (errors.PermissionRefused(), 1),
        (errors.AccountSuspended(), 1),
        (errors.Unauthenticated(), 1),
        (errors.Conflict("no"), 1),
        (errors.InvalidArgument(field="who", rule="is required"), 2),
        (errors.NotFound(), 3),
        (errors.Incomplete("not yet"), 4),
        (errors.Tampered("changed"), 5),
        (errors.Unavailable(), 6),
        (errors.TimedOut(), 6),
    ],
)
def test_the_exit_status_of_each_error(error: errors.LetheError, status: int) -> None:
    """A program can tell the ends of a command apart by the exit status."""
    assert status == exit_status_of(error)


def test_every_error_on_the_wire_has_an_exit_status() -> None:
    """No error of a service ends the program with success."""
    assert all(exit_status_of(kind("x")) != 0 for kind in errors.ERRORS.values())


def test_an_error_is_told_with_its_details_and_without_repeating_its_rule() -> None:
    """What an error says fits in one line."""
    assert explain(errors.InvalidArgument(field="who", rule="is required")) == "who: is required"
    assert explain(
        errors.Tampered("it is incomplete", missing=["contacts", "tickets"])
    ) == "it is incomplete (missing: contacts, tickets)"


def test_who_presses_ctrl_c_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """That it stopped, and that nothing is taken back."""

    def interrupted(_: Stack) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stack, "status", interrupted)
    assert INTERRUPTED == invoke(["status"])
    assert "stopped. What was done so far stays done" in capsys.readouterr().err
