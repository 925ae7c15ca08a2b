"""A real SMTP server for tests: it takes mails, or answers as the test says."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from deploy.stack.ports import free_ports


class MailTaker:
    """A server at 127.0.0.1. `to_recipient` and `to_text` are its next answers to RCPT and DATA; then it takes what comes."""

    def __init__(self, **options: Any) -> None:
        self.received: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.logins: list[tuple[str, str]] = []
        self.was_encrypted: list[bool] = []
        self.to_recipient: list[str] = []
        self.to_text: list[str] = []
        self._options = options
        self._controller: Controller | None = None
        self.port = 0

    # -- what aiosmtpd calls

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if self.to_recipient:
            return self.to_recipient.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:
        if self.to_text:
            return self.to_text.pop(0)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.received.append(message)
        self.recipients += envelope.rcpt_tos
        self.was_encrypted.append(session.ssl is not None)
        return "250 OK"

    def _authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == b"right: one", handled=False)  # aiosmtpd says 235 or 535

    # -- life

    def start(self) -> None:
        """Listens: at a free port, and after a stop at the same one again."""
        self._controller = Controller(
            self, hostname="127.0.0.1", port=self.port or free_ports(1)[0], authenticator=self._authenticate, **self._options
        )
        self._controller.start()
        self.port = self._controller.port

    def stop(self) -> None:
        """Nobody listens any more."""
        if self._controller is not None:
            self._controller.stop(no_assert=True)
            self._controller = None


@contextmanager
def mail_taker(**options: Any) -> Iterator[MailTaker]:
    """A server for the length of the block."""
    taker = MailTaker(**options)
    taker.start()
    try:
        yield taker
    finally:
        taker.stop()


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """What a server speaks TLS with."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context
