"""The page on access for staff does what it says: its commands, one after the other, on the real stack."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import cast
from unittest import mock

import pytest

from cli.main import invoke
from tests.support.desk import Desk

PAGE = Path(__file__).resolve().parents[2] / "docs" / "staff-access.md"
MAIL = b"From: Alice Adams <alice@people.example>\nSubject: The kettle\nMessage-ID: <1@people.example>\n\nIt leaks\n"
_ASSIGNED = re.compile(r"([A-Z_]+)=(.+)")


class Shell:
    """As much of a shell as the page needs: variables, and the id out of a command's JSON."""

    def __init__(self, desk: Desk) -> None:
        self.around = {"LETHE_HOME": str(desk.callers.settings.home), "LETHE_ACCOUNT": desk.account}
        self.variables: dict[str, str] = {}

    def lethe(self, words: list[str], **environment: str) -> tuple[int, str]:
        """A command's exit status and what it printed."""
        stdout = io.TextIOWrapper(io.BytesIO(), "utf-8")
        with mock.patch.dict(os.environ, self.around | environment), redirect_stdout(stdout), redirect_stderr(io.StringIO()):
            status = invoke(words)
        stdout.flush()
        return status, cast(io.BytesIO, stdout.buffer).getvalue().decode()

    def run(self, line: str) -> tuple[int, str]:
        """Runs a line of the page."""
        line = re.sub(r"\$([A-Z]+)", lambda name: self.variables[name[1]], line.partition("#")[0].strip())
        assigned = _ASSIGNED.fullmatch(line)
        if assigned is None or "lethe" not in line:
            if assigned is not None:
                self.variables[assigned[1]] = assigned[2].strip()
                return 0, ""
            return self.lethe(shlex.split(line)[1:])
        if assigned[2].startswith("$("):
            command = assigned[2].removeprefix("$(").removesuffix(" | jq -r .grant_id)")
            status, said = self.lethe(shlex.split(command)[1:])
            self.variables[assigned[1]] = json.loads(said)["grant_id"]
            return status, said
        words = shlex.split(line)
        at = words.index("lethe")
        return self.lethe(words[at + 1 :], **dict(cast(tuple[str, str], one.split("=")) for one in words[:at]))


def lines_of_the_page() -> list[str]:
    """The example, without comments and empty lines."""
    example = PAGE.read_text().partition("```sh\n")[2].partition("```")[0]
    return [line for line in example.splitlines() if line and not line.startswith("#")]


@pytest.fixture
def shell(fresh_desk: Desk) -> Shell:
    """In an account with a ticket."""
    fresh_desk.take_in([MAIL])
    return Shell(fresh_desk)


def test_the_example_of_the_page_runs(shell: Shell, fresh_desk: Desk) -> None:
    """Every line succeeds; staff see the ticket, the owner sees that they did, and after the revocation they see nothing."""
    said = {}
    for line in lines_of_the_page():
        status, said[line] = shell.run(line)
        assert 0 == status, (line, said[line])
    (listed,) = [text for line, text in said.items() if "lethe ticket list" in line]
    assert "The kettle" in listed
    assert "tickets.list_tickets" in said["lethe staff lookups"]
    (ticket,) = fresh_desk.call("tickets", "list_tickets")["tickets"]
    assert ticket["ticket_id"] in said["lethe staff lookups"]
    for grant in ("GRANT", "GLASS"):
        as_staff = {"LETHE_STAFF": shell.variables["STAFF"], "LETHE_STAFF_GRANT": shell.variables[grant]}
        assert 1 == shell.lethe(["ticket", "list"], **as_staff)[0]


def test_staff_can_not_change_anything_by_the_command_line(shell: Shell) -> None:
    """With an active grant: no erasure, no user, no approval of a grant."""
    for line in lines_of_the_page()[:5]:
        assert 0 == shell.run(line)[0]
    as_staff = {"LETHE_STAFF": shell.variables["STAFF"], "LETHE_STAFF_GRANT": shell.variables["GRANT"]}
    assert 0 == shell.lethe(["ticket", "list"], **as_staff)[0]
    for words in (
        ["erase", "alice@people.example", "--reason", "because", "--yes"], ["user", "add", "eve@vendor.example"],
        ["staff", "approve", shell.variables["GRANT"]],
    ):  # fmt: skip
        status, said = shell.lethe(words, **as_staff)
        assert 1 == status, said


def test_a_grant_is_shown_as_a_table_and_as_json(shell: Shell) -> None:
    """The same grant to people and to programs; the owner denies it."""
    for line in lines_of_the_page()[:3]:
        assert 0 == shell.run(line)[0]
    grant = shell.variables["GRANT"]
    assert grant in shell.lethe(["staff", "list"])[1]
    (listed,) = json.loads(shell.lethe(["staff", "list", "--json"])[1])["grants"]
    assert (grant, "requested", "case 4711") == (listed["grant_id"], listed["state"], listed["reference"])
    status, said = shell.lethe(["staff", "deny", grant, "--json"])
    assert (0, "denied") == (status, json.loads(said)["state"])
    assert 1 == shell.lethe(["staff", "approve", grant])[0]
    assert {"lookups": []} == json.loads(shell.lethe(["staff", "lookups", "--json"])[1])
