"""`lethe demo-access`: who gets in and who does not, in short, over HTTPS as any program would do it.

An account and its owner, a login, the second factor, a token for a program, a wrong address, a customer who signs in by a
mailed link and erases themselves. The page docs/api.md says the same with `curl`.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pyotp
import typer
from rich.text import Text

from cli import exit_status
from cli.api_client import Answer, ApiClient
from cli.demo import Steps
from cli.options import HELP
from cli.output import note, show, write_file
from deploy.stack import control
from deploy.stack.stack import Stack
from shared import clock

PASSWORD: Final = "a long sentence of your own"
CUSTOMER: Final = "ann@mail.example"
MAIL: Final = (
    f"From: Ann Archer <{CUSTOMER}>\r\nTo: help@desk.example\r\nSubject: The invoice is broken\r\n"
    "Date: Mon, 4 Mar 2024 09:00:00 +0000\r\n\r\nIt shows a total of zero.\r\n"
)
PATIENCE_SECONDS: Final = 30.0
_LINK = re.compile(r"lethe_link_[\w-]+")


def register(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command("demo-access", context_settings=HELP)(demo_access)


def demo_access() -> None:
    """Show in short who gets in over HTTPS and who does not. A stack that is not up is started for it, and stopped again.

    Example: lethe demo-access
    """
    home = Path(os.environ.setdefault("LETHE_HOME", str(Path(".lethe").absolute())))
    stack = Stack(home, note=note)
    was_up = bool(stack.status()["up"])
    steps = Steps("Who gets in", "Who may gets in, and nobody else.")
    try:
        steps.begin("Start the local stack with its gateway")
        stack.up()
        steps.end()
        _Demonstration(steps, stack).run()
    finally:
        if not was_up:
            steps.begin("Stop the stack")
            stack.down()
            steps.end()
    steps.summary()
    if steps.failed:
        raise typer.Exit(exit_status.REFUSED)


class _Demonstration:
    """The steps, and what one gives to the next."""

    def __init__(self, steps: Steps, stack: Stack) -> None:
        self._steps = steps
        self._home = stack.home
        self._gateway: dict[str, Any] = stack.status()["gateway"]
        self._owner = self._client()
        self._program = self._client()
        self._login = f"olga@{secrets.token_hex(4)}.example"
        self._account = ""
        self._ticket = ""

    def run(self) -> None:
        """All steps."""
        for title, step in (
            ("Open an account, and log in", self._open_account),
            ("Switch the second factor on: from now on a password is not enough", self._second_factor),
            ("A token that may only read, for a program", self._token),
            ("Let users in from one address only: the same token is refused from another", self._ranges),
            ("A customer signs in by a mailed link, and sees what is theirs", self._customer),
            ("The customer erases themselves, and keeps the certificate", self._erase),
        ):
            self._steps.begin(title)
            step()
            self._steps.end()

    def _client(self, source: str | None = None) -> ApiClient:
        return ApiClient(self._gateway["url"], self._gateway["certificate"], source=source)

    def _ask(
        self, client: ApiClient, method: str, path: str, body: Any = None, *, expected: int,
        says: Callable[[Any], object] = lambda _: "", **options: Any,
    ) -> Any:  # fmt: skip
        """Asks, and shows the request, the status and what of the answer is worth a look."""
        answer: Answer = client.ask(method, path, body, **options)
        told = answer.body["detail"] if answer.status >= 400 and answer.body else says(answer.body)
        style = "red" if answer.status >= 400 else "green"
        show(Text.assemble((f"{method} {path}", "bold"), "   ", (str(answer.status), style), f"   {told}"))
        if answer.status != expected:
            self._steps.failed.append(f"{method} {path}: status {answer.status}, expected {expected}")
        return answer.body

    def _open_account(self) -> None:
        owner = {"name": "Olga Example", "login": self._login, "password": PASSWORD}
        asked = {"name": f"Desk {self._login[5:13]}", "owner": owner}
        opened = self._ask(
            self._owner, "POST", "/v1/accounts", asked, expected=201, key=secrets.token_hex(16),
            says=lambda body: f"account {body['account']['account_id']}",
        )  # fmt: skip
        self._account = opened["account"]["account_id"]
        wrong = {"login": self._login, "password": "a long sentence of somebody else"}
        self._ask(self._owner, "POST", "/v1/sessions", wrong, expected=401)
        self._owner.token = self._logged_in()["session_token"]
        self._ask(self._owner, "GET", "/v1/users/me", expected=200, says=lambda body: f"{body['name']}, {body['role']}")

    def _logged_in(self) -> Any:
        self._owner.token = None
        said = {"login": self._login, "password": PASSWORD, "account_id": self._account}
        return self._ask(
            self._owner, "POST", "/v1/sessions", said, expected=200, says=lambda body: f"status: {body['status']}"
        )

    def _second_factor(self) -> None:
        begun = self._ask(
            self._owner, "POST", "/v1/second-factor/enrolment", expected=200,
            says=lambda body: f"a seed for the app, also as a QR code ({len(base64.b64decode(body['qr_png'])):,} bytes of PNG)",
        )  # fmt: skip
        app = pyotp.TOTP(parse_qs(urlsplit(begun["uri"]).query)["secret"][0])
        code = app.at(int(clock.now().timestamp()))
        on = self._ask(
            self._owner, "POST", "/v1/second-factor/confirmation", {"code": code}, expected=200,
            says=lambda body: f"{len(body['recovery_codes'])} recovery codes",
        )  # fmt: skip
        challenge = self._logged_in()["challenge"]
        again = {"challenge": challenge, "code": code}
        self._ask(self._owner, "POST", "/v1/sessions/completion", again, expected=401)
        recovery = {"challenge": challenge, "code": on["recovery_codes"][0]}
        completed = self._ask(
            self._owner, "POST", "/v1/sessions/completion", recovery, expected=200,
            says=lambda body: f"status: {body['status']}",
        )  # fmt: skip
        self._owner.token = completed["session_token"]

    def _token(self) -> None:
        taken_in = self._ask(
            self._owner, "POST", "/v1/messages", expected=200, raw=MAIL.encode(), media_type="message/rfc822",
            says=lambda body: f"ticket {body['ticket_id']}",
        )  # fmt: skip
        self._ticket = taken_in["ticket_id"]
        asked = {"name": "nightly report", "scope": "read", "days": 30}
        made = self._ask(
            self._owner, "POST", "/v1/tokens", asked, expected=201, says=lambda body: f"{body['token'][:12]}…, shown once"
        )
        self._program.token = made["token"]
        self._ask(
            self._program, "GET", f"/v1/tickets/{self._ticket}", expected=200,
            says=lambda body: f"“{body['ticket']['subject']}”",
        )  # fmt: skip
        self._ask(self._program, "POST", "/v1/erasure-requests", {"who": CUSTOMER, "reason": "by mistake"}, expected=403)

    def _ranges(self) -> None:
        path = "/v1/account/ip-ranges"
        self._ask(self._owner, "PUT", path, {"ranges": ["203.0.113.0/24"]}, expected=409)
        self._ask(self._owner, "PUT", path, {"ranges": ["127.0.0.1/32"]}, expected=200, says=lambda body: body["ranges"])
        elsewhere = self._client(source="127.0.0.2")
        elsewhere.token = self._program.token
        self._ask(self._program, "GET", "/v1/account", expected=200)
        self._ask(elsewhere, "GET", "/v1/account", expected=403)

    def _customer(self) -> None:
        customer = self._customer_client = self._client()
        portal = f"/v1/accounts/{self._account}/portal"
        self._ask(customer, "POST", f"{portal}/links", {"address": CUSTOMER}, expected=204)
        link = self._await(self._mailed_link, "a mail with a link")
        signed_in = self._ask(customer, "POST", f"{portal}/sessions/by-link", {"link_token": link}, expected=200)
        self._ask(self._client(), "POST", f"{portal}/sessions/by-link", {"link_token": link}, expected=401)
        customer.token = signed_in["session_token"]
        self._ask(customer, "GET", "/v1/portal/profile", expected=200, says=lambda body: body["name"])
        self._ask(
            customer, "GET", "/v1/portal/tickets", expected=200, says=lambda body: [one["subject"] for one in body["tickets"]]
        )

    def _erase(self) -> None:
        customer = self._customer_client
        asked = self._ask(customer, "POST", "/v1/portal/erasure-requests", {"reason": "I want to go."}, expected=202)
        claim = {"request_id": asked["request_id"], "claim_code": asked["claim_code"]}
        path = f"/v1/accounts/{self._account}/portal/erasure-claims"

        def completed() -> Any:
            claimed = self._client().ask("POST", path, claim).body
            return claimed if claimed["state"] == "completed" else None

        claimed = self._await(completed, "the certificate")
        certificate = self._home / "demo-access-certificate.json"
        write_file(certificate, base64.b64decode(claimed["document"]))
        self._steps.run(["certificate", "verify", str(certificate)])
        self._ask(customer, "GET", "/v1/portal/profile", expected=401)
        self._ask(self._program, "GET", f"/v1/tickets/{self._ticket}", expected=404)

    def _mailed_link(self) -> str | None:
        answer = control.ask(self._home, {"do": "show", "number": None}, control.MAILBOX) or {}
        mail = answer.get("mail")
        found = _LINK.search(mail["text"]) if mail and CUSTOMER in mail["to"] else None
        return found[0] if found else None

    def _await(self, look: Callable[[], Any], what: str) -> Any:
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > until:
                raise TimeoutError(f"{what} did not come")
            time.sleep(0.5)  # what asks for no credential is not to be asked too often
