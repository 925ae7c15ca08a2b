"""The gateway for tests: an application that is connected to nothing, and a client of a running one, over TLS."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from services.gateway.app import build
from services.gateway.edge import Edge
from services.gateway.settings import GatewaySettings
from shared.rpc_client import RpcClient
from tests.support.mailbox import mailed_token

PASSWORD = "a long sentence of my own"
LOG_TOKEN = "lets-an-auditor-read-the-event-logs"
Plain = dict[str, Any]


def settings(**changed: Any) -> GatewaySettings:
    """Settings with nothing behind them, and limits that nobody meets."""
    nowhere = Path("/nonexistent")
    fields: dict[str, Any] = {
        "home": nowhere, "amqp_url": "amqp://127.0.0.1:1", "host": "127.0.0.1", "https_port": 8443, "http_port": None,
        "tls_certificate": nowhere, "tls_key": nowhere, "trusted_proxies": (), "cors_origins": (), "sign_up_open": True,
        "source_rate": 1e6, "source_burst": 1e6, "credential_rate": 1e6, "credential_burst": 1e6, "sign_ups_per_hour": 1e6,
        "door_rate": 1e6, "door_burst": 1e6,
        "mail_bytes": 1000, "body_bytes": 1 << 30, "body_seconds": 5.0, "head_seconds": 5.0,
    }  # fmt: skip
    return GatewaySettings(**fields | changed)


def application(**changed: Any) -> Edge:
    """The application with its edge; the services that it calls are not there."""
    return build(settings(**changed), RpcClient("amqp://127.0.0.1:1", lambda: ""), bytes(32))


@dataclass(frozen=True)
class Api:
    """A caller of one gateway."""

    client: httpx.Client = field(repr=False)
    home: Path
    """Of the stack, for its mailbox."""

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str) -> httpx.Response:
        """One request; `token` is shown as Bearer, a header's name has `_` for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if isinstance(body, bytes):
            return self.client.request(method, path, content=body, headers=sent)
        return self.client.request(method, path, json=body, headers=sent)

    def open_account(
        self, key: str | None = None, password: str = PASSWORD, *, is_confirmed: bool = False
    ) -> tuple[Plain, str]:
        """A fresh account as `POST /v1/accounts` answers it, and its owner's session. `is_confirmed`: they have followed the
        link in the mail, so that their login leads to the account by itself."""
        word = secrets.token_hex(6)
        owner = {"name": f"Olga {word}", "login": f"olga.{word}@desk.example", "password": password}
        asked = {"name": f"desk {word}", "owner": owner}
        answer = self.call("POST", "/v1/accounts", asked, Idempotency_Key=key or word)
        assert 201 == answer.status_code, answer.text
        if is_confirmed:
            followed = {"link_token": mailed_token(self.home, owner["login"])}
            assert 204 == self.call("POST", "/v1/logins/confirmation", followed).status_code
        return answer.json(), self.log_in(owner["login"], password, answer.json()["account"]["account_id"])

    def log_in(self, login: str, password: str = PASSWORD, account: str | None = None) -> str:
        """A session's token. Who has not confirmed the mailbox of their login names their account."""
        named = {} if account is None else {"account_id": account}
        answer = self.call("POST", "/v1/sessions", {"login": login, "password": password} | named)
        assert 200 == answer.status_code, answer.text
        return str(answer.json()["session_token"])


@contextmanager
def api(url: str, certificate: str | Path) -> Iterator[Api]:
    """A caller who trusts this one certificate, and follows no redirect."""
    context = ssl.create_default_context(cafile=str(certificate))
    with httpx.Client(base_url=url, verify=context, timeout=30) as client:
        yield Api(client, Path(certificate).parents[1])


def mail(sender: str, subject: str, text: str) -> bytes:
    """A mail to the desk."""
    lines: Sequence[str] = (
        f"From: {sender}", "To: help@desk.example", f"Subject: {subject}", f"Message-ID: <{secrets.token_hex(8)}@mail.example>",
        "Date: Mon, 4 Mar 2024 01:00:00 +0000", "MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=cut", "",
        "--cut", "Content-Type: text/plain", "", text,
        "--cut", "Content-Type: text/html", "Content-Disposition: attachment; filename=\"note ü.html\"", "", f"<p>{text}</p>",
        "--cut--", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode()
