"""The form of a mail that goes out, and the settings that say where to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default

import pytest

from shared.ids import new_id
from shared.mail_delivery import MailServer, address_of, message_of
from shared.outgoing_mail import OutgoingMail, is_too_old, retry_delay
from shared.personal import undeclared_fields

QUEUED = datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)


def mail(to: str = "vera@orchard.example", subject: str = "Your way in", text: str = "Here it is.\n") -> OutgoingMail:
    return OutgoingMail(item_id=new_id(), person_id=new_id(), to=to, subject=subject, text=text)


def test_a_message_is_ascii_on_its_way_and_itself_again_on_arrival() -> None:
    """Any server takes the bytes; subject and text come out as they were, whatever the script and however long the lines."""
    sent = mail(subject="Zugang für Frau Čapková " * 8, text="Здравствуйте\n" + "ä" * 2_000 + "\n.\nFrom here on\n")
    raw = message_of(sent, new_id(), QUEUED, "Pult <desk@support.example>").as_bytes()
    assert raw.isascii()
    assert 998 >= max(len(line) for line in raw.split(b"\r\n"))
    read = message_from_bytes(raw, policy=default)
    assert sent.subject == read["Subject"]
    assert sent.text == read.get_content().replace("\r\n", "\n")  # type: ignore[attr-defined]


def test_a_message_says_that_no_person_typed_it() -> None:
    """Others' automatons do not answer it; the date is that of the queueing, in UTC."""
    read = message_of(mail(), "an-id", QUEUED, "Desk <desk@support.example>")
    assert "auto-generated" == read["Auto-Submitted"]
    assert "Sun, 01 Mar 2026 12:30:05 +0000" == read["Date"]
    assert "<an-id@support.example>" == read["Message-ID"]
    assert "Desk <desk@support.example>" == read["From"]


def test_a_message_is_the_same_at_each_try() -> None:
    """A doubled mail is recognised."""
    sent = mail()
    one, other = (message_of(sent, "an-id", QUEUED, "a@b.example").as_bytes() for _ in range(2))
    assert one == other


def test_an_international_domain_travels_in_its_ascii_form() -> None:
    """IDNA (RFC 5891): a server that knows no Unicode takes it."""
    assert "vera@xn--kse-qla.example" == message_of(mail("vera@käse.example"), "id", QUEUED, "a@b.example")["To"]


@pytest.mark.parametrize("to", ["vera@a..example", "vera@-.example", "vera@" + "x" * 70 + ".example"])
def test_an_impossible_domain_is_an_error_at_once(to: str) -> None:
    """The mail is refused before any server is asked."""
    with pytest.raises(ValueError):
        message_of(mail(to), "id", QUEUED, "a@b.example")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example", ("mail.example", 25, False, None, None)),
        ("smtp://127.0.0.1:2525/", ("127.0.0.1", 2525, False, None, None)),
        ("smtp://desk%40a.example:p%3Aw@mail.example", ("mail.example", 587, False, "desk@a.example", "p:w")),
        ("smtps://desk:secret@mail.example", ("mail.example", 465, True, "desk", "secret")),
    ],
)
def test_a_url_says_where_and_as_whom(url: str, expected: tuple[object, ...]) -> None:
    """Ports that are not named are those of the kind of server; name and password may hold any character."""
    server = MailServer.of(url)
    assert expected == (server.host, server.port, server.is_tls_from_start, server.user, server.password)
    assert "secret" not in repr(server)


@pytest.mark.parametrize("url", ["", "mail.example", "http://mail.example", "smtp://", "smtp://a:secret@mail.example:port"])
def test_a_wrong_url_is_refused_without_repeating_it(url: str) -> None:
    """What is wrong with the settings is said without the password in them."""
    with pytest.raises(ValueError, match="the mail server's URL has the form") as refused:
        MailServer.of(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("rest", ["?tls=no", "?tls=never&x=1", "?x", "#x"])
def test_what_the_url_does_not_know_is_refused(rest: str) -> None:
    """A misspelt wish to send in the open is no wish, and one for `smtps://` makes no sense: neither is passed over."""
    for url in (f"smtp://mail.example{rest}", "smtps://mail.example?tls=never"):
        with pytest.raises(ValueError, match="ends with nothing but"):
            MailServer.of(url)
    assert MailServer.of("smtp://mail.example?tls=never").may_be_open
    assert not MailServer.of("smtp://mail.example").may_be_open


@pytest.mark.parametrize("sender", ["", "Desk", "a@b.example, c@d.example"])
def test_a_wrong_sender_is_refused(sender: str) -> None:
    """There is one address that mails come from."""
    with pytest.raises(ValueError):
        address_of(sender)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_is_known(host: str) -> None:
    """An unencrypted password goes nowhere else."""
    assert MailServer.of(f"smtp://{host}").is_on_this_machine
    assert not MailServer.of("smtp://127.0.0.1.example").is_on_this_machine
    assert not MailServer.of("smtp://192.0.2.1").is_on_this_machine


def test_the_pauses_grow_up_to_an_hour_for_a_day() -> None:
    """5 s, 30 s, 2 min, 10 min, then each hour; after 24 hours it is enough."""
    assert [5, 30, 120, 600, 3600, 3600] == [retry_delay(tries).total_seconds() for tries in range(1, 7)]
    assert not is_too_old(QUEUED, QUEUED + timedelta(hours=24) - timedelta(seconds=1))
    assert is_too_old(QUEUED, QUEUED + timedelta(hours=24))


def test_every_string_of_a_sealed_mail_is_declared() -> None:
    """What stands in a sealed mail is declared as an event's fields are (mission G6)."""
    assert [] == list(undeclared_fields(OutgoingMail))
