"""Mails that are broken in each way that an import must bear (`deploy.demo_mail`): written byte by byte."""

from __future__ import annotations

import base64

from deploy.demo_people import DESK_ADDRESS, DemoPerson

Broken = tuple[bytes, str, bool]
"""The bytes, the address in From ("" where none is), and whether it can be read as a mail at all."""


def malformed_mails(people: list[DemoPerson], large_part_bytes: int) -> dict[str, Broken]:
    """One mail for each kind of malformation, by its name."""
    writers = [person for person in people if person.address.isascii()] or people
    broken: dict[str, Broken] = {}
    for position, (name, (fields, body)) in enumerate(_kinds(large_part_bytes).items()):
        sender = writers[position % len(writers)].address
        identity = f"From: {sender}\r\n" if b"From:" not in fields and name != "no-from" else ""
        dated = "" if b"Date:" in fields or name == "no-date" else "Date: Tue, 5 Mar 2024 10:00:00 +0100\r\n"
        to = "" if b"To:" in fields else f"To: {DESK_ADDRESS}\r\n"
        subject = "" if b"Subject:" in fields else f"Subject: broken in the way {name}\r\n"
        head = f"{identity}{dated}{to}{subject}".encode()
        broken[name] = (head + fields + b"\r\n" + body, sender if identity else "", True)
    broken["empty"] = (b"", "", False)
    broken["no-mail"] = (b"\x89PNG\r\n\x1a\nthis was never a mail\r\n", "", False)
    return broken


def _kinds(large_part_bytes: int) -> dict[str, tuple[bytes, bytes]]:
    text = b"Content-Type: text/plain; charset="
    mixed = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="cut"\r\n'
    large = base64.encodebytes(b"0123456789abcdef" * (large_part_bytes // 16))
    crowd = ",\r\n ".join(f"Guest {number} <guest{number}@crowd.example>" for number in range(2_000))
    deep = b"--d\r\n" + b"".join(
        b'Content-Type: multipart/mixed; boundary="d%d"\r\n\r\n--d%d\r\n' % (level, level)
        for level in range(60)
    )
    return {
        "bad-charset": (text + b"utf-8\r\n", b"Gr\xfc\xdfe aus K\xf6ln\r\n"),
        "unknown-charset": (text + b"x-harbour-9\r\n", "Grüße aus Köln\r\n".encode()),
        "broken-base64": (
            text + b"utf-8\r\nContent-Transfer-Encoding: base64\r\n",
            b"SGVsbG8gdGhlcmU*\r\n=\r\nzzz",
        ),
        "missing-boundary": (b"Content-Type: multipart/mixed\r\n", b"There is no boundary here.\r\n"),
        "open-boundary": (mixed, b"--cut\r\n\r\nThe last boundary never comes.\r\n"),
        "no-from": (b"", b"Nobody wrote this.\r\n"),
        "no-date": (b"", b"Nobody knows when this was written.\r\n"),
        "year-102": (
            b"Date: Mon, 11 Nov 102 12:06:05 +0000\r\n",
            b"Written by a clock that stood in the year 102.\r\n",
        ),
        "nul-bytes": (b"Subject: a \0 in the subject\r\n", b"There is a \0 in this text.\r\n"),
        "raw-header": (b"Subject: Gr\xfc\xdfe ohne Kodierung\r\n", b"The header has bytes above 127.\r\n"),
        "wrong-words": (
            b"Subject: =?utf-8?B?4pyTIGhhbGY?= =?x-no?Q?a=zz?= =?utf-8?Q?\r\n",
            b"Words that are none.\r\n",
        ),
        "group": (b"To: undisclosed-recipients:;\r\n", b"It was sent to a group.\r\n"),
        "long-header": (b"X-Long: " + b"abc " * 100_000 + b"\r\n", b"A header of 400 KB.\r\n"),
        "many-recipients": (b"To: " + crowd.encode() + b"\r\n", b"It was sent to 2,000 people.\r\n"),
        "deep": (b'Content-Type: multipart/mixed; boundary="d"\r\n', deep + b"\r\nVery deep.\r\n"),
        "large-part": (
            mixed,
            b"--cut\r\n\r\nA large part follows.\r\n--cut\r\nContent-Type: application/octet-stream\r\n"
            b'Content-Disposition: attachment; filename="large.bin"\r\n'
            b"Content-Transfer-Encoding: base64\r\n\r\n" + large + b"--cut--\r\n",
        ),
    }
