"""A service for tests of RPC and bus. It writes what it does to `home/probe.log`, where a test reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import eventlet
import msgspec

from shared.bus import reaction
from shared.errors import AccountSuspended, Conflict, InvalidArgument, Unavailable
from shared.events import Envelope
from shared.ids import Id
from shared.personal import InTransit, NotPersonal
from shared.rpc import Call, rpc_method

ALL_ROLES = frozenset({"owner", "admin", "agent", "service", "operator"})


def note(*words: object) -> None:
    """Appends a line to the probe's log, at once."""
    with (Path(os.environ["LETHE_HOME"]) / "probe.log").open("a") as file:
        file.write(" ".join(map(str, words)) + "\n")


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    address: Annotated[str, msgspec.Meta(max_length=40), InTransit(category="e-mail")]


class Echo(msgspec.Struct, frozen=True, kw_only=True):
    text: Annotated[str, msgspec.Meta(max_length=100_000), InTransit(category="content")]
    recipients: list[Recipient] = []


class Work(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, NotPersonal("a name made up by a test")]
    seconds: float = 0.0


class Echoed(msgspec.Struct, frozen=True, kw_only=True):
    text: Annotated[str, InTransit(category="content")]
    account: Id | None


class ProbeService:
    """Does what tests ask of it."""

    name = "probe"

    def admit(self, call: Call, allow_suspended: bool) -> None:
        if call.idempotency_key == "suspended" and not allow_suspended:
            raise AccountSuspended()

    @rpc_method(argument=Echo, result=Echoed, roles=ALL_ROLES, scope="read")
    def echo(self, call: Call) -> Echoed:
        """Gives the text back."""
        return Echoed(text=call.argument.text, account=call.account_id)

    @rpc_method(argument=Work, result=str, roles=ALL_ROLES, scope="write")
    def work(self, call: Call) -> str:
        """Takes its time."""
        note("begun", call.argument.name)
        eventlet.sleep(call.argument.seconds)
        note("done", call.argument.name)
        return str(call.argument.name)

    @rpc_method(argument=Echo, roles=frozenset({"owner"}))
    def fail(self, call: Call) -> None:
        """Fails in the way that it is asked to."""
        if call.argument.text == "conflict":
            raise Conflict("it is closed", state="closed")
        raise RuntimeError(f"unforeseen, with {call.argument.text}")

    @rpc_method(roles=ALL_ROLES, scope="read", allow_suspended=True)
    def remaining(self, call: Call) -> float:
        """Seconds until the deadline."""
        return call.remaining_seconds()

    @reaction("other.ThingHappened")
    def on_thing_happened(self, envelope: Envelope) -> None:
        """Succeeds, at last, where the event says so."""
        note("event", envelope.event)
        eventlet.sleep(float(envelope.data.get("milliseconds", 0)) / 1000)
        tried = (Path(os.environ["LETHE_HOME"]) / "probe.log").read_text().count(f"event {envelope.event}")
        if tried <= int(envelope.data.get("fail_times", 0)):
            if envelope.data.get("away"):
                raise Unavailable()
            raise RuntimeError("not yet")
        if envelope.data.get("poison") and not (Path(os.environ["LETHE_HOME"]) / "cured").exists():
            raise InvalidArgument(field="thing", rule="can be handled")
        note("reacted", envelope.event)
