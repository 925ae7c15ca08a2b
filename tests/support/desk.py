"""One account of a stack, driven by RPC: opened by an operator, filled, looked at and erased from by its owner.

It drives and looks only; what is to be seen is for each test to say. Every view is plain data as it came over the wire.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from shared.ids import new_id
from shared.mail.archive import MailSource, walk
from shared.rpc_client import RpcClient
from shared.settings import Settings
from shared.tokens import Actor, Scope, TokenIssuer, service_actor
from shared.transport import Transport

T = TypeVar("T")
Row = dict[str, Any]
CALL_SECONDS = 60.0
MAILS_AT_ONCE = 20
CALLS_AT_ONCE = 8


class Callers:
    """Whoever may call the services of a home: one client, and a token for each actor."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings.load(home)
        self.client = RpcClient(self.settings.amqp_url, lambda: "", sealing=Transport(home / "root-keys"))
        self.operator, self.second_operator = (
            self._issuer("operator").mint(Actor(kind="operator", id=new_id(), role="operator"), timedelta(hours=4))
            for _ in range(2)
        )

    def service(self, name: str) -> str:
        """A token of a service."""
        return self._issuer(name).mint(service_actor(name), timedelta(hours=1))

    def user(self, account: str, role: str = "owner", user: str | None = None, scope: Scope = "manage") -> str:
        """A token of a user, who need not exist."""
        actor = Actor(kind="user", id=user or new_id(), account_id=account, role=role, scope=scope)  # type: ignore[arg-type]
        return self._issuer("identity").mint(actor, timedelta(hours=4))

    def customer(self, account: str, person: str, scope: Scope = "manage") -> str:
        """A token of a customer, good for a minute."""
        actor = Actor(kind="customer", id=person, account_id=account, role="customer", scope=scope)
        return self._issuer("identity").mint(actor, timedelta(seconds=60))

    def operate(self, method: str, argument: Any, account: str | None) -> Any:
        """Calls a method of lifecycle as the operator."""
        return self.client.call(
            "lifecycle", method, argument, account=account, token=self.operator, timeout_seconds=CALL_SECONDS
        )

    def _issuer(self, name: str) -> TokenIssuer:
        return TokenIssuer(name, self.settings.path("root-keys", name, "token.key"))


@dataclass(frozen=True)
class View:
    """All that a user of an account can see: by id."""

    persons: dict[str, Row]
    tickets: dict[str, Row]
    messages: dict[str, Row]
    attachments: dict[str, Row]
    put_aside: dict[str, Row]

    def strings(self) -> Iterator[str]:
        """Every text in it."""
        yield from _strings([self.persons, self.tickets, self.messages, self.attachments, self.put_aside])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from (key, *_strings(inner))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)


@dataclass
class Desk:
    """An account with its owner."""

    callers: Callers
    account: str
    owner: str
    token: str = field(repr=False)

    @classmethod
    def open(cls, callers: Callers) -> Desk:
        """A new account with an owner, as an operator opens it."""
        name = f"desk {secrets.token_hex(8)}"
        call, operator = callers.client.call, callers.operator
        account = call("lifecycle", "open_account", {"name": name}, account=None, token=operator)["account_id"]
        owner = {"role": "owner", "name": f"Olga {name}", "login": f"owner.{name[5:]}@desk.example"}
        user = call("identity", "add_user", owner, account=account, token=operator)["user_id"]
        minted = call("identity", "mint_token", {"user": user, "minutes": 600}, account=account, token=operator)
        return cls(callers, account, user, minted["token"])

    # -- calls

    def call(self, service: str, method: str, argument: Any = None, *, seconds: float = CALL_SECONDS, **others: Any) -> Any:
        """Calls a method as the owner, in this account; `token` and `account` stand for others."""
        others = {"account": self.account, "token": self.token} | others
        return self.callers.client.call(service, method, argument, timeout_seconds=seconds, **others)

    def calls(self, service: str, method: str, arguments: Iterable[Any]) -> list[Any]:
        """The answers to many calls of one method, several at a time."""
        arguments, answers = list(arguments), []
        for at in range(0, len(arguments), CALLS_AT_ONCE):
            futures: list[Future[Any]] = [
                self.callers.client.call_async(
                    service, method, one, account=self.account, token=self.token, timeout_seconds=CALL_SECONDS
                )
                for one in arguments[at : at + CALLS_AT_ONCE]
            ]
            answers += [one.result() for one in futures]
        return answers

    # -- what comes in

    def add_mailbox(self, address: str) -> None:
        """An address of the account's own."""
        self.call("contacts", "add_mailbox", {"address": address})

    def take_in(self, mails: Sequence[bytes]) -> list[Row]:
        """Imports mails; what became of each."""
        answers: list[Row] = []
        for at in range(0, len(mails), MAILS_AT_ONCE):
            batch = list(mails[at : at + MAILS_AT_ONCE])
            answers += self.call("tickets", "import_mails", {"mails": batch})["mails"]
        return answers

    # -- what is there

    def see(self) -> View:
        """Everything."""
        tickets = self.pages("tickets", "list_tickets", "tickets")
        shown = self.calls("tickets", "show_ticket", ({"ticket_id": one["ticket_id"]} for one in tickets))
        messages = {
            message["message_id"]: message | {"ticket_id": one["ticket"]["ticket_id"]}
            for one in shown
            for message in one["messages"]
        }
        blobs = [one["blob_id"] for message in messages.values() for one in message["attachments"]]
        contents = self.calls("tickets", "show_attachment", ({"blob_id": blob} for blob in blobs))
        persons = self.pages("contacts", "list_persons", "persons", include_quoted=True)
        put_aside = self.pages("tickets", "list_put_aside", "mails")
        return View(
            persons={one["person_id"]: one for one in persons},
            tickets={one["ticket_id"]: one for one in tickets},
            messages=messages,
            attachments=dict(zip(blobs, contents, strict=True)),
            put_aside={one["put_aside_id"]: one for one in put_aside},
        )

    def pages(self, service: str, method: str, key: str, **argument: Any) -> list[Row]:
        """All of a list that comes in pages."""
        rows: list[Row] = []
        after: str | None = None
        while True:
            page = self.call(service, method, {"limit": 500, "after": after, **argument})
            rows += page[key]
            after = page["next_after"]
            if after is None:
                return rows

    def await_reads(self) -> None:
        """Returns when all reads so far are recorded: each service (one replica of it) writes them in their order, so a read
        by a user of this call's own is the last. There has to be a person and a ticket to be read."""
        last = new_id()
        token = self.callers.user(self.account, "owner", last)

        def recorded(service: str) -> bool:
            return bool(self.call(service, "list_reads", {"actor_id": last})["reads"])

        for service, method in (("contacts", "list_persons"), ("tickets", "list_tickets"), ("identity", "list_users")):
            self.call(service, method, {}, token=token)
            await_it(partial(recorded, service), 30)

    # -- erasing

    def erase(self, who: str, addresses: Sequence[str] = ()) -> Row:
        """Erases a person and waits for the certificate; the completed request."""
        asked = {"who": who, "reason": "they asked for it", "addresses": list(addresses)}
        request = self.call("erasure", "request_erasure", asked)["request_id"]
        return self.await_erasure(request)

    def await_erasure(self, request: str) -> Row:
        """The request once it is completed."""

        def completed() -> Row | None:
            shown: Row = self.call("erasure", "show_erasure", {"request_id": request})
            return shown if shown["state"] == "completed" else None

        def state() -> str:
            return str(self.call("erasure", "show_erasure", {"request_id": request}))

        return await_it(completed, 60, state)


def await_it(condition: Callable[[], T | None], seconds: float, otherwise: Callable[[], str] = str) -> T:
    """What a condition gives once it gives something; `AssertionError` with what `otherwise` says after so many seconds."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"not within {seconds} s: {otherwise()}"
        time.sleep(0.02)
    return found


def mails_of(folder: Path) -> list[MailSource]:
    """The mails of an archive, in order."""
    return [one for one in walk([folder]) if not one.problem]
