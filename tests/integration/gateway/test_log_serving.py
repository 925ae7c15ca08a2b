"""A whole stack's event logs, read from outside by HTTPS with nothing but the formats."""

from __future__ import annotations

import time

from deploy.stack import Stack
from shared.checkpoint import open_checkpoint
from shared.settings import SERVICES
from shared.signed_note import Verifier
from shared.tiles import TileReader
from tests.support.gateway import LOG_TOKEN, Api

PATIENCE_SECONDS = 20.0


def test_an_auditor_reads_a_log_that_grows(desk: Api, other_desk: Api, desk_stack: Stack) -> None:
    """From either gateway, with a token: the root of a real log from its served tiles, before and after it has grown, and the
    proof that the later one extends the earlier one. Without the token there is nothing to read."""
    desk.open_account()
    before = _read(desk, desk_stack, "identity")
    desk.open_account()
    until = time.monotonic() + PATIENCE_SECONDS
    while (after := _read(other_desk, desk_stack, "identity")).size <= before.size:
        assert time.monotonic() < until, "the log that is served does not grow"
    assert 0 < before.size
    assert before.root() == after.root(before.size)
    for service in SERVICES:
        assert 401 == desk.call("GET", f"/logs/{service}/checkpoint").status_code


def test_a_session_of_the_desk_reads_no_log(desk: Api) -> None:
    """An account's owner is no auditor of the cell."""
    _, session = desk.open_account()
    assert 401 == desk.call("GET", "/logs/tickets/checkpoint", token=session).status_code


def _read(api: Api, stack: Stack, service: str) -> TileReader:
    """A log as the gateway serves it, its root compared with what the log's key signed."""
    verifier = Verifier.parse((stack.home / "verifiers" / f"log-{service}.vkey").read_text())
    until = time.monotonic() + PATIENCE_SECONDS
    while (note := api.call("GET", f"/logs/{service}/checkpoint", token=LOG_TOKEN)).status_code == 404:
        assert time.monotonic() < until, "the log has no checkpoint"
    assert f"{verifier}\n" == api.call("GET", f"/logs/{service}/verifier.vkey", token=LOG_TOKEN).text
    checkpoint = open_checkpoint(note.content, [verifier])

    def read(path: str) -> bytes | None:
        answer = api.call("GET", f"/logs/{service}/{path}", token=LOG_TOKEN)
        assert answer.status_code in (200, 404)
        return answer.content if answer.status_code == 200 else None

    reader = TileReader(read, checkpoint.size)
    assert checkpoint.root == reader.root()
    assert checkpoint.size == len(list(reader.entries()))
    return reader
