"""Reading single mails, whole and broken."""

from __future__ import annotations

import base64
import random
import time
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy.demo_malformed import malformed_mails
from deploy.demo_people import invent_people
from shared.mail import Attachment, Mail, Mailbox, Unreadable, content_digest, read_mail
from shared.mail.reading import DEFECTS

NOW = datetime(2024, 3, 10, tzinfo=UTC)


def mail(head: str, body: str | bytes = "Hello\r\n") -> Mail:
    content = body.encode() if isinstance(body, str) else body
    return read_mail(head.strip().replace("\n", "\r\n").encode() + b"\r\n\r\n" + content, now=NOW)


MULTIPART = """From: alice@example.org
Date: Tue, 5 Mar 2024 10:00:00 +0100
MIME-Version: 1.0
Content-Type: multipart/{kind}; boundary="b"
"""


def parts(kind: str, *pieces: str) -> Mail:
    body = "".join(f"--b\n{piece}\n" for piece in pieces) + "--b--\n"
    return mail(MULTIPART.format(kind=kind), body.replace("\n", "\r\n"))


def test_a_plain_mail_is_read_whole() -> None:
    """People, subject, date, thread and text of an ordinary mail come out as they are."""
    read = mail(
        """From: "Smith, Alice" <Alice@Example.org>
To: support@desk.example, Bob <bob@example.org>
Cc: carol@example.org (Carol Jones)
Subject: =?utf-8?Q?Gr=C3=B6=C3=9Fe?= and
 more
Date: Tue, 5 Mar 2024 10:00:00 +0100
Message-ID: <2@x>
In-Reply-To: <1@x>
References: <0@x> <1@x>""",
        "Hello\r\nworld\r\n",
    )
    assert read.senders == (Mailbox("Smith, Alice", "Alice@Example.org"),)
    assert read.to == (Mailbox("", "support@desk.example"), Mailbox("Bob", "bob@example.org"))
    assert read.cc == (Mailbox("Carol Jones", "carol@example.org"),)
    assert read.subject == "Größe and more"
    assert read.sent_at == datetime(2024, 3, 5, 9, tzinfo=UTC)
    assert (read.message_id, read.in_reply_to, read.references) == ("2@x", ("1@x",), ("0@x", "1@x"))
    assert read.text == "Hello\nworld\n"
    assert (read.attachments, read.defects, read.is_list_mail) == ((), (), False)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("Smith, John <john@x.org>", [("Smith, John", "john@x.org")]),
        ("john@x.org, jane@x.org", [("", "john@x.org"), ("", "jane@x.org")]),
        ("undisclosed-recipients:;", []),
        ("Friends: john@x.org, Jane <jane@x.org>;", [("", "john@x.org"), ("Jane", "jane@x.org")]),
        ("=?iso-8859-1?Q?J=FCrgen, M=FCller?= <j@x.org>", [("Jürgen, Müller", "j@x.org")]),
        ("=?utf-8?B?w?= =?utf-8?B?7w==?= <j@x.org>", [("=?utf-8?B?w?= ï", "j@x.org")]),
        ('"unclosed <john@x.org>', [("unclosed", "john@x.org")]),
        ("<@relay.org:john@x.org>", [("", "john@x.org")]),
        ('"john smith"@x.org', [("", '"john smith"@x.org')]),
        ("John john@x.org", [("John", "john@x.org")]),
        ("nobody in particular", [("nobody in particular", "")]),
        ("<>", []),
        ("'John' <'john@x.org'>", [("John", "john@x.org")]),
        ("a@x.org; b@x.org", [("", "a@x.org"), ("", "b@x.org")]),
    ],
)
def test_mailboxes_are_found_however_they_are_written(field: str, expected: list[tuple[str, str]]) -> None:
    """Groups, comments, routes, unquoted commas, encoded words and missing quotes do not hide an address."""
    assert [(box.name, box.address) for box in mail(f"Subject: x\nTo: {field}").to] == expected


@pytest.mark.parametrize(
    ("field", "expected", "defects"),
    [
        ("Tue, 5 Mar 2024 10:00:00 GMT", datetime(2024, 3, 5, 10, tzinfo=UTC), []),
        ("5 Mar 24 10:00 -0500", datetime(2024, 3, 5, 15, tzinfo=UTC), []),
        ("2024-03-05T10:00:00+01:00", datetime(2024, 3, 5, 9, tzinfo=UTC), []),
        ("Mon, 11 Nov 102 12:06:05 +0000", None, ["implausible-date"]),
        ("Mon, 11 Nov 2030 12:06:05 +0000", None, ["implausible-date"]),
        ("Thu, 1 Jan 1970 00:00:00 +0000", None, ["implausible-date"]),
        ("yesterday", None, ["bad-date"]),
        ("31 Feb 2024 10:00:00", None, ["bad-date"]),
        ("5 Mar 99999999999999999999 10:00:00 +0000", None, ["bad-date"]),
    ],
)
def test_a_date_is_read_or_left_out(field: str, expected: datetime | None, defects: list[str]) -> None:
    """A date that is unreadable, before 1971 or in the future is none, and the defect says why."""
    read = mail(f"From: alice@example.org\nDate: {field}")
    assert (read.sent_at, list(read.defects)) == (expected, defects)


def test_the_earliest_plausible_relay_says_when_it_came() -> None:
    """`received_at` is the earliest Received date, those of broken clocks left out."""
    read = mail(
        """Received: from a by b; Tue, 5 Mar 2024 10:00:09 +0000
Received: from x by a; Tue, 5 Mar 2024 10:00:02 +0000
Received: from y by x; Mon, 5 Mar 1962 10:00:02 +0000
From: alice@example.org"""
    )
    assert read.received_at == datetime(2024, 3, 5, 10, 0, 2, tzinfo=UTC)
    assert read.defects == ("no-date",)


@pytest.mark.parametrize(
    ("charset", "content", "text", "right"),
    [
        ("utf-8", "Größe".encode(), "Größe", True),
        ("utf-8", "Größe".encode("cp1252"), "Größe", False),
        ("us-ascii", "Größe".encode(), "Größe", False),
        ("x-unheard-of", b"\x93hi\x94", "“hi”", False),
        ("iso-8859-2", "Dvořák".encode("iso-8859-2"), "Dvořák", True),
        ("gb2312", "镕基".encode("gb18030"), "镕基", True),
        ("zlib", b"plain", "plain", False),
        ("idna", b"plain", "plain", False),
        ("utf-8", b"\x81\x8d", "\x81\x8d", False),
        ("utf-16", b"odd", "odd", False),
    ],
)
def test_text_is_decoded_whatever_its_charset_claims(
    charset: str, content: bytes, text: str, right: bool
) -> None:
    """The declared charset first, then UTF-8, windows-1252 and ISO 8859-1; never an exception."""
    read = mail(
        f"From: a@x.org\nDate: 5 Mar 2024 10:00 GMT\nContent-Type: text/plain; charset={charset}", content
    )
    assert read.text == text
    assert read.defects == (() if right else ("bad-charset",))


def test_nul_and_lone_surrogates_become_replacement_characters() -> None:
    """What PostgreSQL and UTF-8 can't hold is replaced, in the text and in the headers."""
    read = mail("From: a@x.org\nSubject: a\0b\nContent-Type: text/plain; charset=utf-7", b"x\0y +2AA-")
    assert "\0" not in read.text + read.subject
    read.text.encode("utf-8")
    assert "nul-bytes" in read.defects


def test_of_alternatives_the_plain_one_is_the_text() -> None:
    """HTML beside plain text is dropped; a blank plain text is passed over for the HTML."""
    html = "Content-Type: text/html\n\n<p>Rich <b>text</b></p>"
    assert parts("alternative", "Content-Type: text/plain\n\nPlain", html).text == "Plain"
    assert parts("alternative", "Content-Type: text/plain\n\n \n", html).text == "Rich text\n"


def test_inline_texts_are_joined_and_the_rest_is_attached() -> None:
    """Text parts follow each other; attachments keep name, type and bytes."""
    picture = base64.b64encode(b"\x89PNG\0").decode()
    read = parts(
        "mixed",
        "\nOne",
        f'Content-Type: image/png; name="a/../b.png"\nContent-Transfer-Encoding: base64\n\n{picture}',
        "Content-Type: text/plain\nContent-Disposition: attachment; filename*=utf-8''%C3%BC.txt\n\nattached",
        "Content-Type: text/plain\n\nTwo",
    )
    assert read.text == "One\nTwo"
    shown = [(part.name, part.media_type, part.content, part.is_text) for part in read.attachments]
    assert shown == [
        ("a_.._b.png", "image/png", b"\x89PNG\0", False),
        ("ü.txt", "text/plain", b"attached", True),
    ]


def test_a_mail_in_a_mail_is_a_readable_attachment() -> None:
    """The inner mail becomes a text with its readable headers; its attachments join those of the outer
    mail."""
    inner = (
        "From: =?utf-8?Q?B=C3=B6b?= <bob@example.org>\nSubject: Inner\n"
        'Content-Type: multipart/mixed; boundary="i"\n\n'
        "--i\nContent-Transfer-Encoding: base64\n\nYWxpY2VAZXhhbXBsZS5vcmc=\n"
        "--i\nContent-Type: image/gif\nContent-Disposition: attachment; filename=x.gif\n\nGIF\n--i--\n"
    )
    read = parts("mixed", "\nOuter", f"Content-Type: message/rfc822\n\n{inner}")
    assert read.text == "Outer"
    assert [part.name for part in read.attachments] == ["Inner.eml", "x.gif"]
    assert read.attachments[0].text() == "From: Böb <bob@example.org>\nSubject: Inner\n\nalice@example.org"


def test_html_is_read_in_the_order_of_its_source() -> None:
    """Scripts, styles and tags are gone, entities undone once, table rows are lines, lists have their
    marks."""
    source = (
        "<style>p{}</style><script>alert(1)</script><p>Dear &lt;Alice&gt; &amp;amp; Bob</p>"
        "<table><tr><td>one</td><td>two</td></tr><tr><td>three</td></tr></table><ul><li>item</li></ul>"
    )
    text = mail("From: a@x.org\nContent-Type: text/html", source).text
    assert text.split() == ["Dear", "<Alice>", "&amp;", "Bob", "one", "two", "three", "*", "item"]
    assert "one two" in " ".join(text.splitlines()[2:4])


@pytest.mark.parametrize(
    "hostile", ["<div>", "<ul><li>", "<b id=1><p>", "<table>x<b></b>", "<", "<a ", "&", "<script>"]
)
def test_hostile_html_is_read_in_time(hostile: str) -> None:
    """Hundreds of thousands of nested or broken tags take seconds of the processor at most, whatever else it has to do."""
    began = time.process_time()
    mail("From: a@x.org\nContent-Type: text/html", hostile * (400_000 // len(hostile)) + "end")
    assert time.process_time() - began < 10


def test_lists_and_their_robots_are_told_from_people() -> None:
    """List-Post, List-Id, bounce senders and the list under another host are lists; author and other
    recipients are not."""
    read = mail(
        """Return-Path: <kettles-bounces+bob=example.org@lists.example.net>
Sender: kettles-admin@lists.example.net
From: alice@example.org
To: kettles@listman.example.net, bob@example.org
List-Id: Kettle lovers <kettles.lists.example.net>
List-Post: <mailto:kettles@lists.example.net>
List-Unsubscribe: <mailto:kettles-request@lists.example.net?subject=x>, <mailto:alice@example.org>"""
    )
    assert read.is_list_mail
    assert read.list_addresses == {
        f"{local}@lists.example.net" for local in ("kettles", "kettles-admin", "kettles-request")
    } | {"kettles@listman.example.net"}


def test_a_role_address_without_a_list_is_a_person() -> None:
    """`support-admin@…` in Sender alone makes nobody a list."""
    read = mail("From: alice@example.org\nSender: support-admin@example.org\nTo: support@example.org")
    assert (read.is_list_mail, read.list_addresses) == (False, frozenset())


BROKEN = malformed_mails(invent_people(5, random.Random(1)), 20_000_000)


@pytest.mark.parametrize("name", BROKEN)
def test_a_malformed_mail_is_taken_in_as_far_as_it_can_be_read(name: str) -> None:
    """Each kind of malformation gives a mail, its sender found, and only known defects; what is no mail gives
    a reason."""
    raw, sender, readable = BROKEN[name]
    if not readable:
        with pytest.raises(Unreadable) as caught:
            read_mail(raw)
        assert caught.value.reason in Unreadable.REASONS
        return
    began = time.process_time()
    read = read_mail(raw)
    assert time.process_time() - began < 10
    assert [box.address for box in read.senders] == ([sender] if sender else [])
    assert set(read.defects) <= DEFECTS
    assert read.text.strip()


def test_a_part_of_20_megabytes_is_kept_to_the_last_byte() -> None:
    """A large attachment comes out whole; a large text is cut for reading and kept whole as an attachment."""
    assert len(read_mail(BROKEN["large-part"][0]).attachments[0].content) == 20_000_000
    long = mail("From: a@x.org\nDate: 5 Mar 2024 10:00 GMT", b"word and word\r\n" * 200_000)
    assert len(long.text) == 2_000_000
    assert (long.defects, len(long.attachments[0].content)) == (("oversized-part",), 14 * 200_000)


def test_markup_of_thousands_of_recipients_and_deep_parts_is_bounded() -> None:
    """20,000 recipients are cut at the limit, and a thousand nested parts are read flat, both quickly and
    with a defect."""
    crowd = ", ".join(f"g{number}@x.org" for number in range(20_000))
    read = mail(f"From: a@x.org\nTo: {crowd}")
    assert (len(read.to), "too-many-recipients" in read.defects) == (10_000, True)
    deep = "".join(
        f'--d{n}\r\nContent-Type: multipart/mixed; boundary="d{n + 1}"\r\n\r\n' for n in range(1_000)
    )
    read = mail('From: a@x.org\nContent-Type: multipart/mixed; boundary="d0"', deep + "bottom")
    assert "too-many-parts" in read.defects
    assert "bottom" in read.text


@pytest.mark.parametrize(
    "raw", [b"", b" \r\n\r\n", b"\0\0\0", b"just words", b"Note: a file\n\nof notes", b"\xff\xd8\xff\xe0"]
)
def test_what_is_no_mail_is_unreadable_with_a_reason(raw: bytes) -> None:
    """Nothing, blanks, other files: `Unreadable`, whose reason has nothing of the content."""
    with pytest.raises(Unreadable) as caught:
        read_mail(raw)
    assert str(caught.value) in Unreadable.REASONS


WHOLE = BROKEN["deep"][0][:400] + b"\r\n".join(
    [
        b"From: =?utf-8?Q?a?= <a@x.org>",
        b"Content-Type: multipart/mixed; boundary=\"b\"; charset*0*=x''%zz",
        b"Date: Tue, 5 Mar 2024 10:00:00 +0100",
        b"List-Id: <a.b.c>",
        b"",
        b"--b",
        b"Content-Type: text/html; charset=utf-7",
        b"Content-Transfer-Encoding: base64",
        b"",
        b"PGI+aGk8L2I+",
        b"--b",
        b"Content-Type: message/rfc822",
        b"Content-Disposition: attachment; filename*=iso-2022-jp''%1B",
        b"",
        b"Subject: =?big5?B?!!?=",
        b"",
        b"--b--",
    ]
)
PIECES = st.sampled_from(
    [
        b"",
        b"\0",
        b"\xff\xfe",
        b"\r",
        b"\n\n",
        b":",
        b"--b",
        b"=?",
        b"?=",
        b'"',
        b"<",
        b"(",
        b";",
        b"%",
        b"Content-Type: x",
    ]
)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 40), PIECES | st.binary(max_size=8)), max_size=8
    )
)
@example([(266, 11, b"/\x00")])
@example([(0, 0, b"Content-Type: multipart/mixed; boundary*=idna''x\n")])
@example([(0, 0, b"Content-Type: text/plain; charset*=utf-16''x\n")])
def test_a_mutated_mail_never_raises_anything_but_unreadable(changes: list[tuple[int, int, bytes]]) -> None:
    """Whatever is cut out of a mail or put into it: it is read, or it is `Unreadable`; and the result can be
    stored."""
    raw = WHOLE
    for position, length, piece in changes:
        raw = raw[:position] + piece + raw[position + length :]
    try:
        read = read_mail(raw, now=NOW)
    except Unreadable:
        return
    people = (*read.senders, *read.to, *read.cc, *read.reply_to)
    stored = [read.text, read.subject, read.message_id or "", *read.references, *read.in_reply_to]
    stored += [text for box in people for text in (box.name, box.address)] + [
        part.name for part in read.attachments
    ]
    for text in stored:
        text.encode("utf-8")
        assert "\0" not in text
    assert set(read.defects) <= DEFECTS
    assert len(content_digest(read)) == 32


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_after_a_header_are_a_mail(body: bytes) -> None:
    """With one header of a mail, every body can be read."""
    assert read_mail(b"From: a@x.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + body).senders


def test_the_content_digest_knows_a_mail_under_other_headers() -> None:
    """Other ids, dates and white space: the same digest. Another word or another attachment: another one."""
    digest = content_digest(mail("From: a@x.org\nMessage-ID: <1@x>", "Hello  big\r\nworld"))
    assert digest == content_digest(
        mail("From: a@x.org\nMessage-ID: <2@y>\nDate: 5 Mar 2024 10:00", "Hello big world\n")
    )
    assert digest != content_digest(mail("From: a@x.org", "hello big world"))
    with_part = parts("mixed", "\nHello big world", "Content-Type: image/gif\n\nGIF")
    assert digest != content_digest(with_part)


def test_no_value_shows_its_content_in_a_traceback() -> None:
    """`repr` of a mail, a mailbox and an attachment has nothing of what they hold."""
    read = mail("From: Alice <alice@example.org>\nSubject: secret")
    assert "alice" not in repr(read) + repr(read.senders[0]) + repr(
        Attachment("alice.txt", "text/plain", b"alice", True)
    )
