"""The ways in which a person's address and number come into other people's mail, written down by hand.

The tests replace these in what was seen before an erasure and compare it with what is seen after it, so this must not use the
product's own finder of identifiers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import quote

from deploy.demo_people import DemoPerson

MARKER = "[erased]"


def spellings_of(address: str) -> list[str]:
    """How an address is written, one by one: what is erased of each is all of it."""
    local, _, domain = address.partition("@")
    ways = [
        address,
        address.title(),
        f"{local}&#64;{domain}",
        f"{local}&#x40;{domain}",
        f"{local}&commat;{domain}",
        f"{local}%40{domain}",
        f"{quote(local)}%40{domain}",
        f"{local}%2540{domain}",
        f"bounces-{local}={domain}@lists.example",
        f"bounces+17-{local}={domain}@lists.example",
        f"SRS0=ab12=Zq={domain}={local}@forwarder.example",
    ]
    if address.isascii():
        ways.append(address.upper())
        ways.append("".join(f"&#{ord(letter)};" for letter in local) + f"&#64;{domain}")
    return list(dict.fromkeys(ways))


def phone_spellings(person: DemoPerson) -> list[str]:
    """How a person's number is written, where they have one."""
    if not person.phone:
        return []
    digits = person.phone[1:]
    dashed = f"+{digits[:2]} {digits[2:4]}-{digits[4:8]}-{digits[8:]}"
    return [person.phone_spelling, person.phone, f"%2B{digits}", f"&#43;{digits}", dashed]


def all_spellings(person: DemoPerson) -> list[str]:
    """Everything that names a person exactly."""
    addresses = (person.address, person.other_address)
    return [one for address in addresses for one in spellings_of(address)] + phone_spellings(person)


def eraser_of(person: DemoPerson) -> re.Pattern[str]:
    """Finds each spelling of a person in a text; the longest first, since some hold others."""
    ways = sorted(all_spellings(person), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ways)))


def mails_about(person: DemoPerson, author: DemoPerson, desk: str) -> Iterator[bytes]:
    """Mails by somebody else in which the person's identifiers stand in every way and place."""
    ways = all_spellings(person)
    lines = [f"Case {number} says {way} and goes on." for number, way in enumerate(ways)]
    mail = _mail(author, desk, "spelled", f"About {person.address} and <{person.address.title()}>")
    mail["Cc"] = f"{person.mailbox()}, {person.mailbox(other_address=True)}, Somebody Else <{author.other_address}>"
    mail.set_content("\n".join(lines) + "\nThe end of the cases.\n", cte="base64")
    mail.add_attachment("\n".join(lines[::-1]) + "\n", filename=f"notes on {person.address}.txt")
    yield mail.as_bytes()
    addressed = _mail(author, person.address, "addressed", "Have you heard of them")
    addressed["Reply-To"] = person.mailbox(other_address=True)
    addressed.set_content("A text that has nothing of theirs.\n")
    yield addressed.as_bytes()
    html = _mail(author, desk, "marked up", "In markup")
    hrefs = "".join(f'<p>Link <a href="mailto:{way}">{way}</a> of {number}.</p>' for number, way in enumerate(ways))
    html.set_content(f"<html><body>{hrefs}</body></html>", subtype="html")
    yield html.as_bytes()


def _mail(author: DemoPerson, to: str, name: str, subject: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = author.mailbox(), to, subject
    mail["Date"] = "Thu, 4 Apr 2024 10:11:12 +0200"
    mail["Message-ID"] = f"<{name.replace(' ', '.')}.{author.address.partition('@')[0]}@about.example>"
    return mail
