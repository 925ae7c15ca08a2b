"""An account with customers in a cell, for the tests of the portal: what the gateway, customers and apps would call."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from services.identity.access_commands import Authenticate, Authenticated
from shared.ids import new_id
from shared.outgoing_mail import OutgoingMail, claim, read_claimed, remove
from shared.settings import SERVICES
from shared.tokens import Actor, Scope, service_actor
from tests.support.cell import Cell

GATEWAY = service_actor("gateway")
SOURCE = "203.0.113.7"
ALICE, BOB = "alice.adams@example.org", "bob.brown@example.net"
DESK = "desk@kettles.example"
PASSWORD = "a kettle that sings in the night"


def mail(sender: str, message: str, subject: str, text: str, to: str = DESK, reply_to: str = "") -> bytes:
    """A mail with a text attachment."""
    answered = f"In-Reply-To: <{reply_to}@mail.example>\r\n" if reply_to else ""
    return (
        f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{message}@mail.example>\r\n{answered}"
        "Date: Mon, 4 Mar 2024 09:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n"
        f"--cut\r\nContent-Type: text/plain\r\n\r\n{text}\r\n--cut\r\nContent-Type: text/plain\r\n"
        f"Content-Disposition: attachment; filename=note.txt\r\n\r\nNote of {text}\r\n--cut--\r\n"
    ).encode()


class Portal:
    """One account. Alice requested a ticket in which Bob and the desk wrote too; Bob requested one of his own."""

    def __init__(self, cell: Cell, account: str | None = None) -> None:
        self.cell = cell
        self.account = account or new_id()
        self.owner = Actor(kind="user", id=new_id(), account_id=self.account, role="owner")
        self.call("contacts", "add_mailbox", {"address": DESK})
        imported = self.call(
            "tickets", "import_mails",
            {"mails": [
                mail(f"Alice Adams <{ALICE}>", "a1", "The kettle", "My kettle leaks."),
                mail(f"Bob Brown <{BOB}>", "b1", "Re: The kettle", "Mine leaks as well.", reply_to="a1"),
                mail(f"Desk <{DESK}>", "d1", "Re: The kettle", "We send another.", to=ALICE, reply_to="a1"),
                mail(f"Bob Brown <{BOB}>", "b2", "A toaster", "It burns."),
            ]},
        )  # fmt: skip
        assert ["imported"] * 4 == [one.status for one in imported.mails]
        self.ticket_of_alice = imported.mails[0].ticket_id
        self.ticket_of_bob = imported.mails[3].ticket_id
        self.alice = self.person(ALICE)
        self.bob = self.person(BOB)

    # -- calls

    def call(self, service: str, method: str, argument: Any = None, actor: Actor | None = None, key: str | None = None) -> Any:
        """As the owner, or another actor."""
        return self.cell.call(self.account, service, method, argument, actor or self.owner, key)

    def gateway(self, method: str, **argument: Any) -> Any:
        """Of identity, as the gateway calls for who has not signed in."""
        return self.call("identity", method, argument, GATEWAY)

    def person(self, address: str) -> str:
        """The person of an address."""
        found: str = self.call("contacts", "show_person", {"who": address}).person_id
        return found

    def customer(self, person: str, scope: Scope = "manage") -> Actor:
        """A person as an actor, as identity vouches for them."""
        return Actor(kind="customer", id=person, account_id=self.account, role="customer", scope=scope)

    # -- signing in

    def link(self, address: str = ALICE) -> str:
        """The token of a link that was asked for and mailed."""
        self.gateway("ask_sign_in_link", address=address)
        (mailed,) = self.mails()
        return mailed.text.split("/sign-in#")[1].split()[0]

    def mails(self) -> list[OutgoingMail]:
        """The mails of the account that are to go out; they are taken out of the queue."""
        store, found = self.cell.store("identity"), []
        while (claimed := claim(store)) is not None:
            opened = read_claimed(store, *claimed)
            if opened is not None and opened.mail is not None and claimed[0] == self.account:
                found.append(opened.mail)
            with store.work(claimed[0]) as work:
                remove(work, claimed[1])
        return found

    def sign_in(self, address: str = ALICE) -> str:
        """A session's token, by a link."""
        token: str = self.gateway("sign_in_by_link", link_token=self.link(address), source=SOURCE).session_token
        return token

    def authenticate(self, token: str) -> Authenticated:
        """Who that is."""
        return self.cell.service("identity").runtime.authenticator.authenticate(Authenticate(token=token, source=SOURCE))

    # -- afterwards

    def settle(self) -> None:
        """Delivers what happened, to everybody, until all is done."""
        delivered: set[str] = set()
        while True:
            for service in SERVICES:
                self.cell.sign(service)
            due = [one for one in self.cell.deliveries(self.account, SERVICES) if one.envelope.event not in delivered]
            if not due:
                return
            delivered |= {one.envelope.event for one in due}
            for one in due:
                self.cell.deliver(one)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The public data of identity's events of a type."""
        with self.cell.store("identity").work(self.account) as work:
            rows = work.fetch(
                "SELECT envelope FROM lethe.event WHERE account_id = %s AND type = %s ORDER BY sequence",
                (self.account, f"identity.{kind}"),
            )
        return [json.loads(bytes(envelope))["data"] for (envelope,) in rows]

    def count(self, table: str, person: str | None = None) -> int:
        """How many rows of a table of identity there are, of the account or of a person in it."""
        with self.cell.store("identity").work(self.account) as work:
            rows = work.fetch(
                f"SELECT count(*) FROM {table} WHERE account_id = %s AND (%s::uuid IS NULL OR person_id = %s)",
                (self.account, person, person),
            )
        return int(rows[0][0])


@dataclass
class AnApp:
    """A registered app that does its part of OAuth 2."""

    portal: Portal
    app_id: str
    redirect_uri: str

    @classmethod
    def registered(cls, portal: Portal, redirect_uri: str = "https://app.example/back") -> AnApp:
        """Registered by the account's owner."""
        argument = {"name": "The Kettle App", "redirect_uris": ["http://127.0.0.1:8123/back", redirect_uri]}
        return cls(portal, portal.call("identity", "register_app", argument).app_id, redirect_uri)

    def request(self, challenge: str, scope: str | None = "read", **others: Any) -> dict[str, Any]:
        """What it asks a customer for."""
        return {
            "response_type": "code", "client_id": self.app_id, "redirect_uri": self.redirect_uri, "scope": scope,
            "state": 'a state "of" its own', "code_challenge": challenge, "code_challenge_method": "S256",
        } | others  # fmt: skip

    def code(self, person: str, scope: str | None = "read") -> tuple[str, str]:
        """A code that the customer let it have, and its verifier."""
        verifier = secrets.token_urlsafe(40)
        argument = {"request": self.request(challenge_of(verifier), scope), "approve": True}
        answered = self.portal.call("identity", "answer_app", argument, self.portal.customer(person))
        back = parse_qs(urlsplit(answered.redirect_to).query)
        assert ['a state "of" its own'] == back["state"]
        return back["code"][0], verifier

    def exchange(self, code: str, verifier: str, **others: Any) -> tuple[int, dict[str, Any]]:
        """What the token endpoint answers to a code."""
        argument = {
            "grant_type": "authorization_code", "client_id": self.app_id, "code": code, "redirect_uri": self.redirect_uri,
            "code_verifier": verifier,
        }  # fmt: skip
        return self._answer("issue_app_tokens", argument | others)

    def refresh(self, refresh_token: str, **others: Any) -> tuple[int, dict[str, Any]]:
        """What it answers to a refresh token."""
        argument = {"grant_type": "refresh_token", "client_id": self.app_id, "refresh_token": refresh_token}
        return self._answer("issue_app_tokens", argument | others)

    def revoke(self, token: str, **others: Any) -> tuple[int, dict[str, Any]]:
        """What the revocation endpoint answers."""
        return self._answer("revoke_app_token", {"token": token, "client_id": self.app_id} | others)

    def tokens(self, person: str, scope: str | None = "read") -> dict[str, Any]:
        """The tokens of a new grant."""
        status, document = self.exchange(*self.code(person, scope))
        assert 200 == status, document
        return document

    def _answer(self, method: str, argument: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = self.portal.gateway(method, **argument)
        return answer.status, msgspec.json.decode(answer.document)


def challenge_of(verifier: str) -> str:
    """RFC 7636, section 4.2, written down a second time."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
