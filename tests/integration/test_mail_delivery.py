"""The conversation with a real SMTP server: encryption, login, and a server that hangs."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared import mail_delivery
from shared.ids import new_id
from shared.mail_delivery import Delivery, MailServer, deliver, message_of
from shared.outgoing_mail import OutgoingMail
from tests.support.mail_server import MailTaker, mail_taker, server_context


def message(to: str = "vera@orchard.example") -> EmailMessage:
    mail = OutgoingMail(item_id=new_id(), person_id=new_id(), to=to, subject="Your way in", text="Here.\n")
    return message_of(mail, new_id(), datetime(2026, 3, 1, tzinfo=UTC), "desk@support.example")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a mail server of a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "certificate").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(folder / "certificate"), str(folder / "key")


@contextmanager
def encrypting(certificate: tuple[str, str], **options: object) -> Iterator[MailTaker]:
    """A server that offers STARTTLS."""
    with mail_taker(tls_context=server_context(*certificate), **options) as taker:
        yield taker


def test_starttls_is_used_where_it_is_offered(certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail goes encrypted, to a server whose certificate is good."""
    monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
    with encrypting(certificate) as taker:
        assert Delivery("delivered", 250) == deliver(MailServer.of(f"smtp://127.0.0.1:{taker.port}"), message())
    assert [True] == taker.was_encrypted


def test_a_server_that_can_not_prove_who_it_is_gets_no_mail(certificate: tuple[str, str]) -> None:
    """A certificate that nobody vouches for ends the try; the mail waits."""
    with encrypting(certificate) as taker:
        assert Delivery("failed") == deliver(MailServer.of(f"smtp://127.0.0.1:{taker.port}"), message())
    assert [] == taker.received


def test_tls_from_the_start(certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`smtps://` speaks TLS before anything is said."""
    monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
    context: ssl.SSLContext = server_context(*certificate)
    with mail_taker(ssl_context=context) as taker:
        assert Delivery("delivered", 250) == deliver(MailServer.of(f"smtps://127.0.0.1:{taker.port}"), message())
    assert ["vera@orchard.example"] == taker.recipients


def test_name_and_password_are_given_where_they_are_set(
    certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gets the login of the URL; without it, or with a wrong one, the mail waits, for the mail is not at fault."""
    monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
    with encrypting(certificate, auth_required=True) as taker:
        place = f"127.0.0.1:{taker.port}"
        assert Delivery("failed", 530) == deliver(MailServer.of(f"smtp://{place}"), message())
        assert Delivery("failed", 535) == deliver(MailServer.of(f"smtp://desk:wrong@{place}"), message())
        assert [] == taker.received
        assert Delivery("delivered", 250) == deliver(MailServer.of(f"smtp://desk:right%3A%20one@{place}"), message())
    assert ("desk", "right: one") == taker.logins[-1]


def test_no_password_goes_over_an_open_line_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no encryption is offered, a server elsewhere never sees the login. (This machine plays the other one.)"""
    monkeypatch.setattr(MailServer, "is_on_this_machine", False)
    with mail_taker(auth_require_tls=False) as taker:
        server = MailServer.of(f"smtp://desk:right%3A%20one@127.0.0.1:{taker.port}")
        assert Delivery("failed") == deliver(server, message())
    assert ([], []) == (taker.logins, taker.received)


def test_no_mail_goes_over_an_open_line_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server elsewhere that offers no encryption gets nothing, unless its URL says so. (This machine plays the other one.)"""
    monkeypatch.setattr(MailServer, "is_on_this_machine", False)
    with mail_taker() as taker:
        assert Delivery("failed") == deliver(MailServer.of(f"smtp://127.0.0.1:{taker.port}"), message())
        assert [] == taker.received
        assert Delivery("delivered", 250) == deliver(MailServer.of(f"smtp://127.0.0.1:{taker.port}?tls=never"), message())
    assert [False] == taker.was_encrypted


def test_an_address_beyond_ascii_needs_a_server_that_takes_it() -> None:
    """SMTPUTF8 (RFC 6531) where it is offered; a server without it will never take the mail."""
    to = "věra@orchard.example"
    with mail_taker(enable_SMTPUTF8=True) as taker:
        assert Delivery("delivered", 250) == deliver(MailServer.of(f"smtp://127.0.0.1:{taker.port}"), message(to))
    assert [to] == taker.recipients
    with mail_taker(enable_SMTPUTF8=False) as taker:
        assert "rejected" == deliver(MailServer.of(f"smtp://127.0.0.1:{taker.port}"), message(to)).outcome


def test_a_server_that_hangs_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that greets and then says a little now and then does not hold the sender beyond its limit."""
    monkeypatch.setattr(mail_delivery, "CONVERSATION_SECONDS", 1.0)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 hello\r\n")
                connection.recv(1_000)
                connection.sendall(b"250-here\r\n")
                over.wait(30)

        thread = threading.Thread(target=hang)
        thread.start()
        assert Delivery("failed") == deliver(MailServer.of(f"smtp://127.0.0.1:{listener.getsockname()[1]}"), message())
        assert not over.is_set()
        over.set()
        thread.join()


@pytest.mark.timeout(30)
def test_a_server_that_is_no_mail_server_is_a_failed_try() -> None:
    """Whatever answers at the port, the sender goes on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"SSH-2.0-something\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        assert "failed" == deliver(MailServer.of(f"smtp://127.0.0.1:{listener.getsockname()[1]}"), message()).outcome
        thread.join()
