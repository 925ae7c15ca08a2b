"""Hands one mail over to an SMTP server: the message's form, the conversation, and what the answer means.

Knows no queue and no database. Nothing that it raises, returns or logs holds an address or a text: answers of a server repeat
addresses, so of them only the code goes on.
"""

from __future__ import annotations

import contextlib
import ipaddress
import smtplib
import ssl
import time
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import idna

from shared.outgoing_mail import OutgoingMail

CONVERSATION_SECONDS = 45.0
"""The longest that one delivery may take: shorter than a claim's lease, so that no other sender takes the mail meanwhile."""
SHORTEST_WAIT_SECONDS = 0.1
NO_TLS = "tls=never"
GOODBYE_SECONDS = 2.0
"""What a server may take to say goodbye: the mail is its own by then."""
_ABOUT_THE_SENDER = frozenset({530, 534, 535, 538})
"""Codes (RFC 4954, section 6) by which a server wants a login, or another: they say nothing of the mail."""


@dataclass(frozen=True, repr=False)
class MailServer:
    """Where mail is handed over. `repr` is left out since there may be a password."""

    host: str
    port: int
    is_tls_from_start: bool
    user: str | None
    password: str | None
    may_be_open: bool = False
    """Whether mail goes there unencrypted, as its operator wants it to."""

    @classmethod
    def of(cls, url: str) -> MailServer:
        """From `smtp://user:password@host:port` or `smtps://…` (TLS from the start); `smtp://…?tls=never` sends in the open.
        Raises `ValueError`, without the URL."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or port == 0 or parts.path not in ("", "/"):
            raise ValueError("the mail server's URL has the form smtp://user:password@host:port, or smtps://")
        is_tls = parts.scheme == "smtps"
        if parts.fragment or parts.query not in ("", NO_TLS) or (is_tls and parts.query):
            raise ValueError(f"the mail server's URL ends with nothing but ?{NO_TLS}, and that with smtp:// only")
        user, password = ((None if one is None else unquote(one)) for one in (parts.username, parts.password))
        port = port or (465 if is_tls else 587 if user else 25)
        return cls(parts.hostname, port, is_tls, user or None, password, may_be_open=bool(parts.query))

    @property
    def is_on_this_machine(self) -> bool:
        """Whether what is said to it never leaves the machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class Delivery(NamedTuple):
    """What came of a try. `code` is the server's reply code, 0 where there was none."""

    outcome: Literal["delivered", "failed", "rejected"]
    """failed: may go well later. rejected: the server will never take this mail."""
    code: int = 0


def message_of(mail: OutgoingMail, mail_id: str, created_at: datetime, sender: str) -> EmailMessage:
    """The message, the same bytes at each try: by its Message-ID a doubled mail is recognised (RFC 5322, section 3.6.4), and
    `Auto-Submitted` keeps others' automatons from answering (RFC 3834). Raises `ValueError` for an address that can't be used.
    """
    local, _, domain = mail.to.rpartition("@")
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = Address(username=local, domain=idna.encode(domain, uts46=True).decode())
    message["Subject"] = mail.subject
    message["Date"] = created_at
    message["Message-ID"] = f"<{mail_id}@{address_of(sender).domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text, charset="utf-8", cte="quoted-printable")
    return message


def address_of(sender: str) -> Address:
    """The address in a sender such as `Lethe <lethe@example.org>`. Raises `ValueError`."""
    header = EmailMessage(policy=SMTP)
    header["From"] = sender
    found: tuple[Address, ...] = header["From"].addresses
    if len(found) != 1 or not found[0].domain:
        raise ValueError("the sender of mails has the form name@example.org, or Name <name@example.org>")
    return found[0]


def deliver(server: MailServer, message: EmailMessage) -> Delivery:
    """One try, to the one address that the message is to. Raises nothing that server, network or mail could cause."""
    try:
        conversation = _connected(server)
    except smtplib.SMTPResponseException as error:
        return Delivery("failed", int(error.smtp_code))
    except (OSError, smtplib.SMTPException, UnicodeError):
        return Delivery("failed")
    try:
        conversation.send_message(message)
        return Delivery("delivered", 250)
    except smtplib.SMTPRecipientsRefused as refused:
        return _rejection(*(code for code, _ in refused.recipients.values()))
    except smtplib.SMTPResponseException as error:
        return _rejection(error.smtp_code)
    except (smtplib.SMTPNotSupportedError, UnicodeError, ValueError):
        return Delivery("rejected")  # an address that this server can't be told of
    except (OSError, smtplib.SMTPException):
        return Delivery("failed")
    finally:
        conversation.deadline = min(conversation.deadline, time.monotonic() + GOODBYE_SECONDS)
        with contextlib.suppress(OSError, smtplib.SMTPException):
            conversation.quit()
        conversation.close()


def _rejection(*codes: int) -> Delivery:
    code = int(codes[0])
    return Delivery("rejected" if 500 <= code < 600 and code not in _ABOUT_THE_SENDER else "failed", code)


def _connected(server: MailServer) -> _Conversation | _TlsConversation:
    """A conversation that is greeted, encrypted (unless the server is on this machine, or its URL says to speak in the open),
    and logged in where we have a name. Raises where that can't be: whoever sits on the way could leave STARTTLS out of the
    server's offer, and read the links in the mails."""
    deadline = time.monotonic() + CONVERSATION_SECONDS
    context = ssl.create_default_context()
    conversation: _Conversation | _TlsConversation
    if server.is_tls_from_start:
        conversation = _TlsConversation(server, deadline, context)
    else:
        conversation = _Conversation(server, deadline)
    try:
        conversation.ehlo_or_helo_if_needed()
        is_encrypted = server.is_tls_from_start
        if not is_encrypted and not server.may_be_open and conversation.has_extn("starttls"):
            conversation.starttls(context=context)
            conversation.ehlo()
            is_encrypted = True
        if not (is_encrypted or server.may_be_open or server.is_on_this_machine):
            raise smtplib.SMTPNotSupportedError("no mail goes over an open line")
        if server.user is not None:
            if not is_encrypted and not server.is_on_this_machine:
                raise smtplib.SMTPNotSupportedError("no password goes over an open line")
            conversation.login(server.user, server.password or "")
    except BaseException:
        conversation.close()
        raise
    return conversation


class _Limited:
    """Holds a conversation to its deadline: smtplib's own time-out is for each single wait. Mixed into smtplib's classes."""

    sock: Any
    deadline: float

    def getreply(self) -> tuple[int, bytes]:
        self._limit()
        answer: tuple[int, bytes] = super().getreply()  # type: ignore[misc]
        return answer

    def send(self, text: Any) -> None:
        self._limit()
        super().send(text)  # type: ignore[misc]

    def _limit(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self.sock is not None:
            self.sock.settimeout(max(left, SHORTEST_WAIT_SECONDS))


class _Conversation(_Limited, smtplib.SMTP):
    """Begins in the open."""

    def __init__(self, server: MailServer, deadline: float) -> None:
        self.deadline = deadline
        super().__init__(server.host, server.port, local_hostname="[127.0.0.1]", timeout=CONVERSATION_SECONDS)


class _TlsConversation(_Limited, smtplib.SMTP_SSL):
    """Begins with TLS."""

    def __init__(self, server: MailServer, deadline: float, context: ssl.SSLContext) -> None:
        self.deadline = deadline
        super().__init__(
            server.host, server.port, local_hostname="[127.0.0.1]", timeout=CONVERSATION_SECONDS, context=context
        )
